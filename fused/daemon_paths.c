/* Where the view may be mounted, and what the daemon uses that may not lie there. */
#include "daemon_parts.h"

#include <string.h>

#include "base/banned.h"

/* What the daemon uses while it serves, or writes. Before anything is made. */
static status check_places(const struct daemon_options *opt, const struct mount_paths *p,
                           struct errmsg *e)
{
    static const char how_cache[] = "choose another with --cache DIR (-o cache=DIR)";
    AUTO(mem_free) char *cache_dir = NULL;
    AUTO(mem_free) char *socket_dir = NULL;
    AUTO(mem_free) char *data_dir = NULL;
    status st = STATUS_OK;
    if (opt->cache_dir)
        cache_dir = mem_strdup(opt->cache_dir);
    else
        st = path_cache_dir(&cache_dir);
    if (!st && !cache_dir)
        st = STATUS_NOMEM;
    if (!st)
        st = control_socket_dir(cache_dir, &socket_dir);
    if (!st)
        st = path_data_dir(&data_dir);
    if (!st)
        st = mount_paths_check(p, "the cache", cache_dir, true, how_cache, e);
    if (!st)
        st = mount_paths_check(p, "the control socket's directory", socket_dir, true,
                               "set XDG_RUNTIME_DIR to another", e);
    if (!st)
        st = mount_paths_check(p, "the log", opt->log_path, true, "choose another with -o log=FILE",
                               e);
    bool is_file = opt->profile && strchr(opt->profile, '/');
    if (!st)
        st = mount_paths_check(p, "the profile", is_file ? opt->profile : NULL, false,
                               "keep it elsewhere", e);
    return st ? st
              : mount_paths_check(p, "the directory of the shipped models", data_dir, false,
                                  "choose another mountpoint", e);
}

status daemon_check_models(const struct purify_profile *profile, const struct mount_paths *p,
                           struct errmsg *e)
{
    struct purify_weights w;
    status st = STATUS_OK;
    for (int i = 0; !st && purify_profile_weights(profile, i, &w); i++)
        st = mount_paths_check(p, "the model", strchr(w.file, '/') ? w.file : NULL, false,
                               "keep it elsewhere", e);
    return st;
}

status daemon_find_paths(const struct daemon_options *opt, struct daemon *d, struct errmsg *e)
{
    status st = mount_paths_find(opt->source, opt->mountpoint, opt->nonempty, &d->paths, e);
    if (st)
        return st;
    d->fs.path.source = mem_strdup(d->paths.source);
    d->fs.path.mountpoint = mem_strdup(d->paths.mountpoint);
    return d->fs.path.source && d->fs.path.mountpoint ? check_places(opt, &d->paths, e)
                                                      : STATUS_NOMEM;
}
