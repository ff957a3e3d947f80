/* Start, wait, end. */
#include "daemon_parts.h"

#include "sd.h"
#include "selftest.h"
#include "sweep.h"
#include "watch.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#include "base/banned.h"

/* Bytes of names in each list of the status. Of files that are no images only the latest are of
 * interest, and there may be as many of them as of images. */
static const size_t all_names = 64u << 20, few_names = 4u << 20;

/* ---- start ---- */

static status open_source(struct fs *fs, struct errmsg *e)
{
    struct stat sb;
    status st =
        io_open(AT_FDCWD, fs->path.source, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, &fs->root_fd);
    if (st || fstat(fs->root_fd, &sb) < 0)
        return errmsg_set(e, st ? st : STATUS_IO, "%s: %s", fs->path.source,
                          status_text(st ? st : STATUS_IO));
    fs->root_device = sb.st_dev;
    st = table_new(sb.st_dev, sb.st_ino, &fs->table);
    if (!st)
        table_set_changed(fs->table, table_root(fs->table), fs_changed_ns(&sb));
    return st;
}

static status open_parts(struct daemon *d, struct errmsg *e)
{
    struct fs *fs = &d->fs;
    const struct daemon_options *o = d->opt;
    struct fused_stack_options so = {.profile = o->profile,
                                     .cache_dir = o->cache_dir,
                                     .cache_bytes = o->cache_bytes,
                                     .min_free_bytes = o->min_free_bytes,
                                     .encoded_bytes = o->encoded_bytes,
                                     .threads = o->threads,
                                     .max_pixels = o->max_pixels,
                                     .immutable = o->immutable,
                                     .rules = &o->rules,
                                     .idle_sweep = true};
    status st = open_source(fs, e);
    if (!st)
        st = fused_stack_open(&so, &fs->stack, e);
    if (!st)
        st = daemon_check_models(&fs->stack.profile, &d->paths, e);
    if (st)
        return st;
    fs->pipeline = fs->stack.pipeline;
    for (int g = 0; !st && g < FUSED_GROUP_COUNT; g++)
        if (g != FUSED_GROUP_IMAGE)
            st = name_list_new(g == FUSED_GROUP_OTHER ? few_names : all_names, &fs->lists.group[g]);
    if (!st)
        st = name_list_new(all_names, &fs->lists.failures);
    if (!st)
        st = park_new(&fs->park);
    if (!st)
        st = selftest_purify(&fs->stack, e);
    purify_service_stats(fs->stack.service, &fs->before);
    if (!st)
        st = daemon_session_new(d, e);
    if (!st)
        st = notifier_new(fs->session, &fs->notifier);
    return st;
}

static void on_stop_command(void *arg)
{
    struct daemon *d = arg;
    eventfd_write(d->event_fd, 1);
}

static void start_watch(struct fs *fs)
{
    struct errmsg e = {""};
    status st = fs->opt.no_watch ? STATUS_OK : watch_start(fs, &fs->watching.watch, &e);
    if (st)
        log_warn("%s is not watched: %s; changes are seen after a second", fs->path.source,
                 errmsg_text(&e, st));
}

static status start(struct daemon *d, struct errmsg *e)
{
    status st = open_parts(d, e);
    if (!st)
        st = sweep_new(&d->fs, &d->fs.sweep);
    if (!st)
        st = control_start(&d->fs, on_stop_command, d, &d->control, e);
    if (!st)
        st = daemon_mount(d, e);
    if (!st)
        start_watch(&d->fs);
    return st;
}

/* ---- end ---- */

static void end(struct daemon *d)
{
    struct fs *fs = &d->fs;
    atomic_store(&fs->ending, true);
    control_stop(d->control);
    watch_stop(fs->watching.watch);
    sweep_stop(fs->sweep);
    if (d->loop_started)
        daemon_unmount(d);
    if (d->mounted && !d->covered)
        fuse_session_unmount(fs->session); /* does nothing where nothing is mounted any more */
    status st = fused_stack_close(&fs->stack);
    if (st)
        log_error("the cache was not written to its end: %s", status_text(st));
    notifier_free(fs->notifier);
    files_end(fs);
    virtual_end(fs);
    if (fs->session)
        fuse_session_destroy(fs->session);
    sweep_free(fs->sweep);
    park_free(fs->park);
    for (int g = 0; g < FUSED_GROUP_COUNT; g++)
        name_list_free(fs->lists.group[g]);
    name_list_free(fs->lists.failures);
    table_free(fs->table);
    if (fs->root_fd >= 0)
        close(fs->root_fd);
    mount_paths_done(&d->paths);
    mem_free(fs->path.source);
    mem_free(fs->path.mountpoint);
    mem_free(fs->path.log);
    mem_free(fs->path.socket);
}

/* ---- run ---- */

static void nothing(int sig)
{
    (void)sig;
}

/* Before any thread exists: they all inherit the mask, and signals are read from a descriptor. */
static status take_signals(struct daemon *d)
{
    struct sigaction sa = {.sa_handler = nothing}; /* no SA_RESTART: it is there to interrupt */
    sigemptyset(&d->signals);
    sigaddset(&d->signals, SIGTERM);
    sigaddset(&d->signals, SIGINT);
    sigaddset(&d->signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &d->signals, NULL);
    sigaction(SIGUSR1, &sa, NULL);
    signal(SIGPIPE, SIG_IGN);
    d->signal_fd = signalfd(-1, &d->signals, SFD_CLOEXEC);
    d->event_fd = eventfd(0, EFD_CLOEXEC);
    return d->signal_fd < 0 || d->event_fd < 0 ? STATUS_LIMIT : STATUS_OK;
}

/* Until it is time to end. A background daemon has no terminal whose hang-up would matter. */
static void wait_for_end(struct daemon *d)
{
    for (;;) {
        struct pollfd p[] = {{.fd = d->signal_fd, .events = POLLIN},
                             {.fd = d->event_fd, .events = POLLIN}};
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return;
        if (p[1].revents)
            return;
        struct signalfd_siginfo si;
        if (p[0].revents && read(d->signal_fd, &si, sizeof si) == sizeof si &&
            (si.ssi_signo != SIGHUP || d->opt->foreground))
            return;
    }
}

static void raise_descriptor_limit(void)
{
    struct rlimit rl;
    if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
        rl.rlim_cur = rl.rlim_max;
        status_ignore(setrlimit(RLIMIT_NOFILE, &rl) ? STATUS_DENIED : STATUS_OK,
                      "one descriptor for each open file: fewer then");
    }
}

static int serve(struct daemon *d)
{
    struct errmsg e = {""};
    status st = take_signals(d);
    if (!st)
        st = start(d, &e);
    if (!st) {
        daemon_say_limits(d);
        daemon_say_unpurified(&d->fs);
        launch_end(&d->launch, 0, "");
        if (!d->opt->foreground)
            daemon_leave_terminal(d);
        log_info("%s is served at %s with profile %s", d->fs.path.source, d->fs.path.mountpoint,
                 d->fs.stack.profile.name);
        sd_tell("READY=1");
        wait_for_end(d);
        sd_tell("STOPPING=1");
        log_info("%s: ending", d->fs.path.mountpoint);
    }
    end(d);
    launch_end(&d->launch, status_exit(st), errmsg_text(&e, st));
    if (d->loop_rc < 0)
        log_error("the FUSE loop ended with: %s", strerror(-d->loop_rc));
    close(d->signal_fd);
    close(d->event_fd);
    sem_destroy(&d->inited);
    return st ? status_exit(st) : d->loop_rc < 0 ? 1 : 0;
}

int daemon_run(const struct daemon_options *opt)
{
    static struct daemon d; /* one for each process */
    struct errmsg e = {""};
    d.opt = opt;
    d.signal_fd = d.event_fd = -1;
    d.fs.root_fd = d.paths.lock_fd = d.mount_id = -1;
    d.fs.opt = (struct view_options){.timeout = opt->timeout,
                                     .no_watch = !opt->watch,
                                     .sweeping = opt->sweep,
                                     .allow_other = opt->allow_other,
                                     .strict = opt->strict,
                                     .follow = opt->follow};
    atomic_init(&d.fs.freezing.state, opt->frozen ? FREEZE_INIT : FREEZE_OFF);
    d.fs.started_ns = time_real_ns();
    pthread_mutex_init(&d.fs.files.lock, NULL);
    devices_init(&d.fs.devices);
    pthread_mutex_init(&d.fs.virtual_files.lock, NULL);
    sem_init(&d.inited, 0, 0);
    status st = daemon_find_paths(opt, &d, &e);
    if (!st && !opt->fake)
        st = launch_begin(opt->foreground, d.fs.path.mountpoint, &d.launch);
    if (st) {
        fprintf(stderr, "relearnfsd: %s\n", TEXT_SHOWN(errmsg_text(&e, st)));
        return status_exit(st);
    }
    raise_descriptor_limit();
    return opt->fake ? 0 : serve(&d);
}
