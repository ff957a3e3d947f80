/* relearnfsd SOURCE MOUNTPOINT: the daemon behind a mount; also mount.fuse.relearnfs, the helper of
 * mount(8). */
#include "daemon.h"

int main(int argc, char **argv)
{
    log_init("relearnfsd");
    struct daemon_options opt;
    int rc = options_parse(argc, argv, &opt);
    if (rc != OPTIONS_GO)
        return rc;
    rc = daemon_run(&opt);
    options_done(&opt);
    return rc;
}
