/*
 * .relearn/ in the mount's root: reachable by name, never listed there. Its files are written when
 * they are opened and read with direct I/O, so their size is not known before (0, as in /proc). A
 * mount that freezes writes them when it is asked for their size, since it will not be asked to
 * open them, and again when that is a second ago: the kernel asks before each read, and drops its
 * pages when the time of change is another.
 */
#include "fs.h"

#include <errno.h>
#include <string.h>

#include "base/banned.h"

static const struct {
    const char *name;
    fuse_ino_t ino;
} files[] = {
    {"status.json", VIRTUAL_STATUS},
    {"metrics", VIRTUAL_METRICS},
    {"profile.ini", VIRTUAL_PROFILE},
};

/* Above what file systems give out. */
static const uint64_t shown_inode_base = 0xffffffffffffff00u;

static const uint64_t snapshot_ns = 1000000000u;

/* Called with virtual_files.lock held. */
static const struct virtual_snapshot *snapshot(struct fs *fs, fuse_ino_t ino)
{
    struct virtual_snapshot *s = &fs->virtual_files.snapshot[ino];
    uint64_t now = time_real_ns();
    if (now - s->made_ns >= snapshot_ns) {
        buf_done(&s->text);
        s->text = (struct buf)BUF_INIT(64u << 20);
        status_ignore(virtual_text(fs, ino, &s->text), "without memory it is empty for a second");
        s->made_ns = now;
    }
    return s;
}

void virtual_end(struct fs *fs)
{
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        buf_done(&fs->virtual_files.snapshot[files[i].ino].text);
}

void virtual_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off)
{
    struct fs *fs = fs_of(req);
    pthread_mutex_lock(&fs->virtual_files.lock);
    const struct buf *text = &fs->virtual_files.snapshot[ino].text;
    size_t len = text->len;
    AUTO(mem_free) char *copy = len ? mem_alloc(len) : NULL;
    if (copy)
        memcpy(copy, text->data, len);
    pthread_mutex_unlock(&fs->virtual_files.lock);
    if (len && !copy)
        fuse_reply_err(req, ENOMEM);
    else
        reply_slice(req, copy, len, size, off);
}

/* Seconds that the kernel may believe what fill_attr says. */
static double attr_timeout(const struct fs *fs, fuse_ino_t ino)
{
    return fs_freezes(fs) && ino != VIRTUAL_DIR ? 0 : fs->opt.timeout;
}

static void fill_attr(struct fs *fs, fuse_ino_t ino, struct stat *sb)
{
    memset(sb, 0, sizeof *sb);
    sb->st_ino = shown_inode_base + ino;
    sb->st_mode = ino == VIRTUAL_DIR ? S_IFDIR | 0555 : S_IFREG | 0444;
    if (ino == VIRTUAL_STATUS) /* names files that others may not know of */
        sb->st_mode = S_IFREG | 0400;
    sb->st_nlink = ino == VIRTUAL_DIR ? 2 : 1;
    sb->st_uid = getuid();
    sb->st_gid = getgid();
    sb->st_mtim.tv_sec = sb->st_ctim.tv_sec = sb->st_atim.tv_sec =
        (time_t)(fs->started_ns / 1000000000u);
    if (!fs_freezes(fs) || ino == VIRTUAL_DIR)
        return;
    pthread_mutex_lock(&fs->virtual_files.lock);
    const struct virtual_snapshot *s = snapshot(fs, ino);
    sb->st_size = (off_t)s->text.len;
    sb->st_mtim.tv_sec = (time_t)(s->made_ns / 1000000000u);
    sb->st_mtim.tv_nsec = (long)(s->made_ns % 1000000000u);
    pthread_mutex_unlock(&fs->virtual_files.lock);
}

void virtual_lookup(fuse_req_t req, const char *name)
{
    struct fs *fs = fs_of(req);
    fuse_ino_t ino = name ? 0 : VIRTUAL_DIR;
    for (size_t i = 0; name && i < ARRAY_LEN(files); i++)
        if (strcmp(name, files[i].name) == 0)
            ino = files[i].ino;
    if (!ino) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    struct fuse_entry_param e = {
        .ino = ino, .attr_timeout = attr_timeout(fs, ino), .entry_timeout = fs->opt.timeout};
    fill_attr(fs, ino, &e.attr);
    fuse_reply_entry(req, &e);
}

void virtual_getattr(fuse_req_t req, fuse_ino_t ino)
{
    struct stat sb;
    fill_attr(fs_of(req), ino, &sb);
    fuse_reply_attr(req, &sb, attr_timeout(fs_of(req), ino));
}

/* Offsets: 1 after ".", 2 after "..", 3.. after the files. */
void virtual_readdir(fuse_req_t req, size_t size, off_t off, bool plus)
{
    char data[1024];
    size_t used = 0;
    if (size > sizeof data)
        size = sizeof data;
    for (off_t at = off < 0 ? 0 : off; at < (off_t)ARRAY_LEN(files) + 2; at++) {
        const char *name = at == 0 ? "." : at == 1 ? ".." : files[at - 2].name;
        fuse_ino_t ino = at < 2 ? VIRTUAL_DIR : files[at - 2].ino;
        struct fuse_entry_param e = {.ino = 0}; /* no attributes: they are looked up */
        fill_attr(fs_of(req), ino, &e.attr);
        size_t n = plus ? fuse_add_direntry_plus(req, data + used, size - used, name, &e, at + 1)
                        : fuse_add_direntry(req, data + used, size - used, name, &e.attr, at + 1);
        if (n > size - used)
            break;
        used += n;
    }
    fuse_reply_buf(req, data, used);
}

status virtual_text(struct fs *fs, fuse_ino_t ino, struct buf *out)
{
    switch (ino) {
    case VIRTUAL_STATUS:
        return report_json(fs, out);
    case VIRTUAL_METRICS:
        return report_metrics(fs, out);
    case VIRTUAL_PROFILE:
        return purify_profile_text(&fs->stack.profile, out);
    default:
        return STATUS_INTERNAL;
    }
}
