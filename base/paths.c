#include "paths.h"

#include "seam.h"
#include <limits.h>
#include <pwd.h>
#include <string.h>

#include "banned.h"

static status give(char *s, char **out)
{
    if (!s)
        return STATUS_NOMEM;
    *out = s;
    return STATUS_OK;
}

/* $xdg/relearnfs when that is an absolute path, as the XDG base directory specification demands. */
static status xdg_dir(const char *xdg, const char *under_home, const char *system, char **out)
{
    const char *dir = getenv(xdg), *home = getenv("HOME");
    if (dir && dir[0] == '/')
        return give(mem_printf("%s/relearnfs", dir), out);
    if (home && home[0] == '/')
        return give(mem_printf("%s/%s/relearnfs", home, under_home), out);
    if (geteuid() == 0)
        return give(mem_strdup(system), out);
    const struct passwd *pw = getpwuid(geteuid());
    if (pw && pw->pw_dir && pw->pw_dir[0] == '/')
        return give(mem_printf("%s/%s/relearnfs", pw->pw_dir, under_home), out);
    return STATUS_NOT_FOUND;
}

status path_cache_dir(char **out)
{
    return xdg_dir("XDG_CACHE_HOME", ".cache", "/var/cache/relearnfs", out);
}

status path_config_dir(char **out)
{
    return xdg_dir("XDG_CONFIG_HOME", ".config", "/etc/relearnfs", out);
}

/* The directory of the running program, without a trailing slash. */
static status exe_dir(char out[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    if (n <= 0)
        return STATUS_NOT_FOUND;
    out[n] = 0;
    char *slash = strrchr(out, '/');
    if (!slash)
        return STATUS_NOT_FOUND;
    *slash = 0;
    return STATUS_OK;
}

status path_data_dir(char **out)
{
    const char *dir = getenv("RELEARN_DATA_DIR");
    if (dir && *dir)
        return give(mem_strdup(dir), out);
    char exe[PATH_MAX];
    status st = exe_dir(exe);
    return st ? st : give(mem_printf("%s/../share/relearnfs", exe), out);
}

status path_sibling(const char *program, char **out)
{
    char exe[PATH_MAX];
    status st = exe_dir(exe);
    return st ? st : give(mem_printf("%s/%s", exe, program), out);
}
