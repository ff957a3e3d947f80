/* The FUSE session: INIT, the loop's threads, mounting and unmounting. */
#include "daemon_parts.h"

#include "mounts.h"
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/banned.h"

/* Held READs and readahead are background requests; the kernel's default of 12 would queue readers
 * behind each other. */
enum { MAX_BACKGROUND = 512 };
enum { FUSE_THREADS = 16 }; /* none of them waits for the purifier */
static const int init_seconds = 30;
static const int busy_unmount_ms = 3000; /* readers may finish what they read */

static void on_init(void *userdata, struct fuse_conn_info *conn)
{
    struct fs *fs = userdata;
    struct daemon *d = (struct daemon *)((char *)fs - offsetof(struct daemon, fs));
    conn->max_background = MAX_BACKGROUND;
    conn->congestion_threshold = MAX_BACKGROUND * 3 / 4;
    fuse_want(conn, FUSE_CAP_SPLICE_WRITE);
    fuse_want(conn, FUSE_CAP_PARALLEL_DIROPS);
    fuse_want(conn, FUSE_CAP_CACHE_SYMLINKS);
#ifdef FUSE_CAP_DIRECT_IO_ALLOW_MMAP
    fuse_want(conn, FUSE_CAP_DIRECT_IO_ALLOW_MMAP);
#endif
    if (atomic_load(&fs->freezing.state) == FREEZE_INIT) {
        if (conn->capable & FUSE_CAP_NO_OPEN_SUPPORT)
            atomic_store(&fs->freezing.state, FREEZE_SWEEP);
        else
            fs_not_frozen(fs, "this kernel always asks to open files");
    }
    sem_post(&d->inited);
}

static status session_args(const struct daemon *d, struct fuse_args *args)
{
    char *opts = NULL;
    AUTO(mem_free) char *fsname = mem_printf("fsname=%s", d->fs.path.source);
    int rc = fsname ? 0 : -1;
    rc |= fuse_opt_add_opt(&opts, "ro,nosuid,nodev,default_permissions,subtype=relearnfs");
    if (d->opt->allow_other)
        rc |= fuse_opt_add_opt(&opts, "allow_other");
    if (d->opt->noexec)
        rc |= fuse_opt_add_opt(&opts, "noexec");
    if (fsname)
        rc |= fuse_opt_add_opt_escaped(&opts, fsname);
    rc |= fuse_opt_add_arg(args, "relearnfsd") | fuse_opt_add_arg(args, "-o") |
          fuse_opt_add_arg(args, opts ? opts : "");
    if (d->opt->debug)
        rc |= fuse_opt_add_arg(args, "-d");
    free(opts);
    return rc ? STATUS_NOMEM : STATUS_OK;
}

status daemon_session_new(struct daemon *d, struct errmsg *e)
{
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    status st = session_args(d, &args);
    d->ops = fs_ops;
    d->ops.init = on_init;
    if (!st)
        d->fs.session = fuse_session_new(&args, &d->ops, sizeof d->ops, &d->fs);
    fuse_opt_free_args(&args);
    if (!d->fs.session)
        return errmsg_set(e, STATUS_INTERNAL, "libfuse refused to make a session");
    return STATUS_OK;
}

static void *loop_main(void *arg)
{
    struct daemon *d = arg;
    pthread_setname_np(pthread_self(), "fuse");
    struct fuse_loop_config *cfg = fuse_loop_cfg_create();
    if (cfg) {
        fuse_loop_cfg_set_clone_fd(cfg, 0);
        fuse_loop_cfg_set_idle_threads(cfg, FUSE_THREADS);
        fuse_loop_cfg_set_max_threads(cfg, FUSE_THREADS);
        d->loop_rc = fuse_session_loop_mt(d->fs.session, cfg);
        fuse_loop_cfg_destroy(cfg);
    }
    sem_post(&d->inited); /* whoever waits for INIT need not any more */
    eventfd_write(d->event_fd, 1);
    return NULL;
}

status daemon_mount(struct daemon *d, struct errmsg *e)
{
    if (fuse_session_mount(d->fs.session, d->fs.path.mountpoint))
        return errmsg_set(e, STATUS_IO,
                          "%s: the kernel did not mount it (is fuse there? see above)",
                          d->fs.path.mountpoint);
    d->mounted = true;
    d->mount_id = mount_id_at(d->fs.path.mountpoint);
    mount_paths_unlock(&d->paths);
    int err = pthread_create(&d->loop, NULL, loop_main, d);
    if (err)
        return errmsg_set(e, status_from_errno(err), "no thread for the mount");
    d->loop_started = true;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += init_seconds;
    while (sem_timedwait(&d->inited, &until) < 0)
        if (errno != EINTR)
            return errmsg_set(e, STATUS_TIMEOUT, "%s: the kernel did not begin to talk",
                              d->fs.path.mountpoint);
    err = launch_test_root(&d->launch);
    return err ? errmsg_set(e, STATUS_IO, "%s: the mount does not answer: %s",
                            d->fs.path.mountpoint, strerror(err))
               : STATUS_OK;
}

static bool loop_has_ended(struct daemon *d, int wait_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)wait_ms % 1000 * 1000000;
    until.tv_sec += wait_ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return pthread_timedjoin_np(d->loop, NULL, &until) == 0;
}

/* The FUSE threads end by themselves when nothing is mounted any more. What somebody mounted over
   our mount is theirs: ours then stays below it, dead, until both are unmounted. */
void daemon_unmount(struct daemon *d)
{
    struct errmsg e = {""};
    int waited = 0, step = 100;
    status st = mount_detach(d->fs.path.mountpoint, d->mount_id, false, &e);
    d->covered = st == STATUS_EXISTS;
    if (d->covered)
        log_warn("%s", errmsg_text(&e, st));
    while (!loop_has_ended(d, step)) {
        waited += step;
        if (d->covered)
            st = STATUS_OK;
        else if (st && waited < busy_unmount_ms) {
            st = mount_detach(d->fs.path.mountpoint, d->mount_id, false, &e);
        } else if (st) {
            log_warn("%s: files are still open; they will give errors from now on",
                     d->fs.path.mountpoint);
            st = mount_detach(d->fs.path.mountpoint, d->mount_id, true, &e);
            d->covered = st == STATUS_EXISTS;
            if (st)
                log_warn("%s", errmsg_text(&e, st));
            st = STATUS_OK;
        }
        if (!st && (d->covered || waited >= busy_unmount_ms)) {
            fuse_session_exit(d->fs.session);
            pthread_kill(d->loop, SIGUSR1); /* out of its wait, to see that */
        }
    }
}
