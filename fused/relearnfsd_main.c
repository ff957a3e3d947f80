/* relearnfsd SOURCE MOUNTPOINT: the daemon behind a mount; also mount.fuse.relearnfs, the helper of
 * mount(8). */
#include "daemon.h"

#include <unistd.h>

int main(int argc, char **argv)
{
    int rc = cpu_check("relearnfsd");
    if (rc)
        return rc;
    /* What the caller had open (a lock that ends with its last descriptor, a pipe somebody waits
       on) is not the daemon's to keep. */
    close_range(STDERR_FILENO + 1, ~0u, 0);
    log_init("relearnfsd");
    struct daemon_options opt;
    rc = options_parse(argc, argv, &opt);
    if (rc != OPTIONS_GO)
        return rc;
    rc = daemon_run(&opt);
    options_done(&opt);
    return rc;
}
