/* Whether a command may write to a path. */
#include "cli.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base/banned.h"

static bool dir_is_empty(const char *path)
{
    DIR *d = opendir(path);
    int entries = 0;
    while (d && entries < 3 && readdir(d))
        entries++;
    if (d)
        closedir(d);
    return d && entries < 3; /* . and .. */
}

static status check_parent(const char *path, struct errmsg *e)
{
    AUTO(mem_free) char *dir = mem_strdup(path);
    if (!dir)
        return errmsg_set(e, STATUS_NOMEM, "%s: out of memory", path);
    char *slash = strrchr(dir, '/');
    if (slash)
        slash[slash == dir] = 0; /* the root keeps its slash */
    const char *parent = slash ? dir : ".";
    if (access(parent, W_OK | X_OK) == 0)
        return STATUS_OK;
    int err = errno;
    return errmsg_set(e, status_from_errno(err), "cannot write %s: %s: %s", path, parent,
                      strerror(err));
}

status cli_output_check(const char *path, enum cli_output kind, int force, struct errmsg *e)
{
    struct stat sb;
    if (stat(path, &sb) < 0 && errno != ENOENT) {
        int err = errno;
        return errmsg_set(e, status_from_errno(err), "cannot write %s: %s", path, strerror(err));
    }
    bool there = stat(path, &sb) == 0;
    if (kind == CLI_OUTPUT_FILE) {
        if (there && S_ISDIR(sb.st_mode))
            return errmsg_set(e, STATUS_EXISTS, "%s is a directory, not a file to write", path);
        if (there && !force && S_ISREG(sb.st_mode)) /* devices such as /dev/null and pipes may
                                                       always be written */
            return errmsg_set(e, STATUS_EXISTS, "%s exists (replace it with --force)", path);
        return there && !S_ISREG(sb.st_mode) ? STATUS_OK : check_parent(path, e);
    }
    if (there && !S_ISDIR(sb.st_mode))
        return errmsg_set(e, STATUS_EXISTS, "%s exists and is not a directory", path);
    if (there && !force && !dir_is_empty(path))
        return errmsg_set(e, STATUS_EXISTS,
                          "%s exists and is not an empty directory (write into it with --force)",
                          path);
    return STATUS_OK;
}
