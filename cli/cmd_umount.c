/* relearn umount: unmounts, and waits until the daemon has written its cache. */
#include "cli.h"
#include "fused/fused.h"

#include "base/banned.h"

int cmd_umount(int argc, char **argv)
{
    const struct cli_spec spec = {"relearn umount",
                                  "MOUNTPOINT",
                                  "Unmounts. Returns when everything that was purified is written "
                                  "to the cache. A mount whose\n"
                                  "daemon died is taken away.",
                                  NULL,
                                  0,
                                  1,
                                  1};
    int first, rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    struct errmsg e = {""};
    status st = fused_umount(argv[first], &e);
    return st ? cli_fail(st, &e) : 0;
}
