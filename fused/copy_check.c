/* Whether there may be a copy, and where it goes. */
#include "fused.h"

#include "mounts.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/banned.h"

static status check_dirs(const char *src, const char *dst, struct errmsg *e)
{
    bool in = false, around = false;
    status st = mount_lies_in(dst, src, &in, e);
    if (!st && access(dst, F_OK) == 0)
        st = mount_lies_in(src, dst, &around, e);
    if (st)
        return st;
    return in || around
               ? errmsg_set(e, STATUS_INVALID,
                            "%s and %s: one lies in the other (choose a DST beside SRC)", src, dst)
               : STATUS_OK;
}

/* By their names, for what is not there yet. */
static bool holds(const char *dir, const char *path)
{
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/')
        n--;
    return strncmp(dir, path, n) == 0 && (path[n] == 0 || path[n] == '/');
}

static status check_cache(const char *src, const char *dst, const char *cache_dir, struct errmsg *e)
{
    bool in_src = false, in_dst = holds(dst, cache_dir), around = holds(cache_dir, dst);
    status st = src ? mount_lies_in(cache_dir, src, &in_src, e) : STATUS_OK;
    if (!st && !in_dst && access(dst, F_OK) == 0)
        st = mount_lies_in(cache_dir, dst, &in_dst, e);
    if (!st && !around && access(cache_dir, F_OK) == 0)
        st = mount_lies_in(dst, cache_dir, &around, e);
    if (st)
        return st;
    if (in_src)
        return errmsg_set(e, STATUS_INVALID,
                          "the cache %s lies in %s, which is never written (--cache DIR puts it "
                          "elsewhere)",
                          cache_dir, src);
    if (in_dst || around)
        return errmsg_set(e, STATUS_INVALID,
                          "the cache %s and %s: one lies in the other (--cache DIR puts it "
                          "elsewhere)",
                          cache_dir, dst);
    return STATUS_OK;
}

static char *dest_of_file(const char *src, const char *dst)
{
    struct stat sb;
    const char *name = strrchr(src, '/') ? strrchr(src, '/') + 1 : src;
    if (stat(dst, &sb) < 0 || !S_ISDIR(sb.st_mode))
        return mem_strdup(dst);
    return mem_printf("%s/%s", dst, name);
}

status fused_copy_check(const char *src, const char *dst, const char *cache_dir, char **out_to,
                        bool *out_tree, struct errmsg *e)
{
    struct stat sb, there;
    if (stat(src, &sb) < 0)
        return errmsg_set(e, status_from_errno(errno), "%s: %s", src, strerror(errno));
    bool tree = S_ISDIR(sb.st_mode);
    if (!tree && !S_ISREG(sb.st_mode))
        return errmsg_set(e, STATUS_INVALID, "%s: neither a file nor a directory", src);
    AUTO(mem_free) char *to = tree ? mem_strdup(dst) : dest_of_file(src, dst);
    AUTO(mem_free) char *cache = NULL;
    status st = !to ? STATUS_NOMEM : cache_dir ? STATUS_OK : path_cache_dir(&cache);
    if (!st && tree)
        st = check_dirs(src, dst, e);
    if (!st && !tree && stat(to, &there) == 0 && there.st_dev == sb.st_dev &&
        there.st_ino == sb.st_ino)
        st = errmsg_set(e, STATUS_INVALID, "%s and %s are the same file", src, to);
    if (!st)
        st = check_cache(tree ? src : NULL, to, cache_dir ? cache_dir : cache, e);
    if (st)
        return st;
    *out_to = TAKE(to);
    *out_tree = tree;
    return STATUS_OK;
}
