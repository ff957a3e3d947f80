/* relearn mount: starts relearnfsd and waits until it serves. */
#include "cli.h"
#include "fused/fused.h"

#include "base/banned.h"

int cmd_mount(int argc, char **argv)
{
    const char *profile = NULL, *cache = NULL;
    struct cli_list lists = {.n = 0};
    int foreground = 0, threads = 0;
    char threads_option[32];
    const struct cli_option options[] = {
        {"foreground", 'f', CLI_FLAG, &foreground, NULL, "stay, and log to the terminal"},
        {"option", 'o', CLI_LIST, &lists, "OPT,…",
         "as after mount -o; relearnfsd --help lists them"},
        CLI_ROW_PROFILE(profile),
        CLI_ROW_CACHE(cache),
        CLI_ROW_THREADS(threads),
    };
    const struct cli_spec spec = {"relearn mount",
                                  "[-f] [-o OPT,…] [--profile P] [--cache DIR] [-j N] SOURCE "
                                  "MOUNTPOINT",
                                  "Mounts a read-only view of SOURCE in which every image is "
                                  "purified when it is first read.\n"
                                  "Returns when the mount is ready. SOURCE is never written.",
                                  options,
                                  ARRAY_LEN(options),
                                  2,
                                  2};
    int first, rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    if (threads && lists.n < CLI_LIST_MAX) { /* checked where -o threads= is */
        snprintf(threads_option, sizeof threads_option, "threads=%d", threads);
        lists.item[lists.n++] = threads_option;
    }
    const struct fused_mount_options mount = {.source = argv[first],
                                              .mountpoint = argv[first + 1],
                                              .profile = profile,
                                              .cache_dir = cache,
                                              .options = lists.item,
                                              .n_options = lists.n,
                                              .foreground = foreground};
    struct errmsg e = {""};
    status st = fused_mount(&mount, &rc, &e);
    return st ? cli_fail(st, &e) : rc;
}
