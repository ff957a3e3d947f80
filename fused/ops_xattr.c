/*
 * Extended attributes of regular files, computed when asked for and not listed, so that `cp -a` and
 * `rsync -X` do not copy them:
 *
 *     user.relearn.state          absent, queued, running, cached, original, error
 *     user.relearn.profile        name and id of the profile
 *     user.relearn.source_sha256  of the source file's bytes
 *     user.relearn.error          why it is served as it is, or why purifying it failed
 *
 * The source's own attributes are not shown.
 */
#include "fs.h"

#include <errno.h>
#include <string.h>

#include "base/banned.h"

#define PREFIX "user.relearn."

struct xattr_file {
    struct fs *fs;
    struct fused_file file;
    bool stored;
};
typedef int xattr_fn(const struct xattr_file *f, struct buf *out);

static int text(struct buf *out, const char *s)
{
    return buf_add(out, s, strlen(s)) ? ENOMEM : 0;
}

static int x_state(const struct xattr_file *f, struct buf *out)
{
    static const char *const working[] = {
        [PIPELINE_IDLE] = "absent", [PIPELINE_QUEUED] = "queued", [PIPELINE_RUNNING] = "running"};
    if (f->file.verdict.group != FUSED_GROUP_IMAGE)
        return text(out, "original");
    if (f->stored || fused_is_cached(f->fs->pipeline, &f->file.verdict))
        return text(out, "cached");
    enum pipeline_state state = pipeline_state_of(f->fs->pipeline, &f->file.id, &f->file.verdict);
    AUTO(mem_free) char *why = name_list_why(f->fs->lists.failures, &f->file.id);
    return text(out, state == PIPELINE_IDLE && why ? "error" : working[state]);
}

static int x_profile(const struct xattr_file *f, struct buf *out)
{
    char hex[DIGEST_HEX_LEN + 1];
    digest_hex(&f->fs->stack.profile.id, hex);
    return buf_addf(out, "%s %s", f->fs->stack.profile.name, hex) ? ENOMEM : 0;
}

static int x_source_sha256(const struct xattr_file *f, struct buf *out)
{
    if (f->file.id.size > image_limits_default().max_file_bytes)
        return EFBIG;
    uint64_t n;
    struct digest d;
    char hex[DIGEST_HEX_LEN + 1];
    status st = digest_sha256_fd(f->file.fd, f->file.id.size, &d, &n);
    if (st)
        return fs_errno(st);
    digest_hex(&d, hex);
    return text(out, hex);
}

static int x_error(const struct xattr_file *f, struct buf *out)
{
    AUTO(mem_free) char *why = name_list_why(f->fs->lists.failures, &f->file.id);
    if (why)
        return text(out, why);
    return f->file.verdict.reason[0] ? text(out, f->file.verdict.reason) : ENODATA;
}

static const struct {
    const char *name;
    xattr_fn *fn;
} xattrs[] = {
    {PREFIX "state", x_state},
    {PREFIX "profile", x_profile},
    {PREFIX "source_sha256", x_source_sha256},
    {PREFIX "error", x_error},
};

static int read_xattr(struct fs *fs, fuse_ino_t ino, const char *name, struct buf *out)
{
    xattr_fn *fn = NULL;
    for (size_t i = 0; i < ARRAY_LEN(xattrs); i++)
        if (strcmp(name, xattrs[i].name) == 0)
            fn = xattrs[i].fn;
    if (!fn || is_virtual(ino))
        return ENODATA;
    struct node *n = fs_node(fs, ino);
    char path[PATH_MAX];
    struct stat sb;
    AUTO(fd_close) int probe = -1;
    int err = fs_open_node(fs, n, path, &sb, &probe);
    if (err)
        return err;
    if (!S_ISREG(sb.st_mode))
        return ENODATA;
    AUTO(fd_close) int fd = -1;
    err = fs_open_node_data(fs, n, path, &sb, &fd);
    struct xattr_file f = {.fs = fs, .file = fused_file_of(fd, path, &sb)};
    if (!err)
        err = fs_judge_file(fs, n, &f.file, &f.stored);
    struct errmsg e = {""};
    if (!err && (fn == x_state || fn == x_error)) /* both are about the bytes */
        err = fs_errno(fused_identify(fs->pipeline, &f.file, &e));
    return err ? err : fn(&f, out);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    AUTO(buf_done) struct buf out = BUF_INIT(4096);
    int err = read_xattr(fs_of(req), ino, name, &out);
    if (!err && size && size < out.len)
        err = ERANGE;
    if (err)
        fuse_reply_err(req, err);
    else if (size == 0)
        fuse_reply_xattr(req, out.len);
    else
        fuse_reply_buf(req, out.data, out.len);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    (void)ino;
    if (size == 0)
        fuse_reply_xattr(req, 0);
    else
        fuse_reply_buf(req, NULL, 0);
}
