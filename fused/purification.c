/* DST.purification.json: what was done to a tree, for whoever trains on it. */
#include "fused.h"

#include "json_name.h"
#include "profile_json.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

/* For mem_free; NULL: dst is not there, or memory is short. */
static char *record_path(const char *dst)
{
    char *real = realpath(dst, NULL);
    char *path = real ? mem_printf("%s.purification.json", real) : NULL;
    free(real);
    return path;
}

static bool is_tree(const char *path)
{
    struct stat sb;
    return stat(path, &sb) == 0 && S_ISDIR(sb.st_mode);
}

static status set_source(json_t *j, const char *src)
{
    char *real = realpath(src, NULL);
    status st = json_name_set(j, "source", real ? real : src);
    free(real);
    return st;
}

/* For free. */
static char *record_text(const struct fused_copy *copy, const struct purify_profile *profile,
                         const struct fused_copy_result *r)
{
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 20);
    status st = purify_profile_text(profile, &text);
    json_t *j = json_pack("{s:s,s:o,s:I,s:I,s:I}", "version", RELEARN_VERSION, "profile",
                          profile_json(profile), "images", (json_int_t)r->group[FUSED_GROUP_IMAGE],
                          "not_purified", (json_int_t)r->group[FUSED_GROUP_UNPURIFIED], "failed",
                          (json_int_t)r->failed);
    if (!st && j)
        st = set_source(j, copy->src);
    if (!st && j) /* a path in a profile may be of any bytes */
        json_object_set_new(j, "profile_text", json_stringn(text.data, text.len));
    char *out = st || !j ? NULL : json_dumps(j, JSON_INDENT(2));
    json_decref(j);
    return out;
}

status fused_purification_write(const struct fused_copy *copy, const struct purify_profile *profile,
                                const struct fused_copy_result *r, struct errmsg *e)
{
    if (!is_tree(copy->src))
        return STATUS_OK;
    AUTO(mem_free) char *path = record_path(copy->dst);
    char *text = path ? record_text(copy, profile, r) : NULL;
    status st = text ? io_write_file(path, text, strlen(text), e)
                     : errmsg_set(e, STATUS_NOMEM, "%s", status_text(STATUS_NOMEM));
    free(text);
    return st;
}

status fused_purification_remove(const struct fused_copy *copy, struct errmsg *e)
{
    AUTO(mem_free) char *path = is_tree(copy->src) ? record_path(copy->dst) : NULL;
    struct stat sb; /* on a read-only file system unlink does not say that nothing is there */
    if (!path || lstat(path, &sb) < 0 || unlink(path) == 0)
        return STATUS_OK;
    int err = errno;
    return errmsg_set(e, status_from_errno(err), "%s: %s (it tells what was done to %s)", path,
                      strerror(err), copy->dst);
}
