/*
 * Start
 *   paths; fork (launch.h); profile, model, cache, threads; one small image is purified; mount;
 *   INIT; stat of the root from outside; sweep; READY
 *
 * End, after a signal, the stop command, or an unmount
 *   STOPPING; control, watch and sweep end; unmount, lazily when files stay open; the FUSE threads
 *   end; the purifier ends, which answers every parked request; the cache is written; the rest is
 *   freed
 *
 * The order of the end matters: whoever calls into something ends before it. Parked requests are
 * answered by callbacks of the purifier, those that need an invalidation by the notifier, so it
 * outlives both.
 */
#include "daemon.h"

#include "control.h"
#include "fs.h"
#include "launch.h"
#include "mounts.h"
#include "place.h"
#include "sd.h"
#include "selftest.h"
#include "sweep.h"
#include "watch.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#include "base/banned.h"

/* Held READs and readahead are background requests; the kernel's default of 12 would queue readers
 * behind each other. */
enum { MAX_BACKGROUND = 512 };
enum { FUSE_THREADS = 16 }; /* none of them waits for the purifier */
static const int init_seconds = 30;
static const int busy_unmount_ms = 3000; /* readers may finish what they read */
static const uint64_t log_bytes_max = 8u << 20;
/* Bytes of names in each list of the status. Of files that are no images only the latest are of
 * interest, and there may be as many of them as of images. */
static const size_t all_names = 64u << 20, few_names = 4u << 20;
/* The look at the source before a mount is said to be ready: so many entries, and so long. */
enum { LOOK_ENTRIES = 10000 };
static const uint64_t look_ns = 100 * 1000000u;
enum { LOOK_NAMES = 3 };

struct daemon {
    const struct daemon_options *opt;
    struct fs fs;
    struct place place;
    struct launch launch;
    struct control *control;
    struct fuse_lowlevel_ops ops;
    pthread_t loop;
    bool loop_started, mounted;
    int mount_id; /* in the kernel's list; -1 */
    bool covered; /* something else was mounted over it: it cannot be unmounted */
    int loop_rc;
    sem_t inited;
    int event_fd; /* eventfd: the loop ended, or a client said stop */
    int signal_fd;
    sigset_t signals;
};

/* ---- session ---- */

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

static status session_new(struct daemon *d, struct errmsg *e)
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

static status mount_and_loop(struct daemon *d, struct errmsg *e)
{
    if (fuse_session_mount(d->fs.session, d->fs.path.mountpoint))
        return errmsg_set(e, STATUS_IO,
                          "%s: the kernel did not mount it (is fuse there? see above)",
                          d->fs.path.mountpoint);
    d->mounted = true;
    d->mount_id = mount_id_at(d->fs.path.mountpoint);
    place_unlock(&d->place);
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

/* ---- start ---- */

/* What the daemon uses while it serves, or writes. Before anything is made. */
static status check_places(const struct daemon_options *opt, const struct place *p,
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
        st = place_check(p, "the cache", cache_dir, true, how_cache, e);
    if (!st)
        st = place_check(p, "the control socket's directory", socket_dir, true,
                         "set XDG_RUNTIME_DIR to another", e);
    if (!st)
        st = place_check(p, "the log", opt->log_path, true, "choose another with -o log=FILE", e);
    bool is_file = opt->profile && strchr(opt->profile, '/');
    if (!st)
        st = place_check(p, "the profile", is_file ? opt->profile : NULL, false,
                         "keep it elsewhere", e);
    return st ? st
              : place_check(p, "the directory of the shipped models", data_dir, false,
                            "choose another mountpoint", e);
}

/* Once the profile is read. */
static status check_models(const struct purify_profile *profile, const struct place *p,
                           struct errmsg *e)
{
    struct purify_weights w;
    status st = STATUS_OK;
    for (int i = 0; !st && purify_profile_weights(profile, i, &w); i++)
        st = place_check(p, "the model", strchr(w.file, '/') ? w.file : NULL, false,
                         "keep it elsewhere", e);
    return st;
}

static status find_paths(const struct daemon_options *opt, struct daemon *d, struct errmsg *e)
{
    status st = place_find(opt->source, opt->mountpoint, opt->nonempty, &d->place, e);
    if (st)
        return st;
    d->fs.path.source = mem_strdup(d->place.source);
    d->fs.path.mountpoint = mem_strdup(d->place.mountpoint);
    return d->fs.path.source && d->fs.path.mountpoint ? check_places(opt, &d->place, e)
                                                      : STATUS_NOMEM;
}

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
        st = check_models(&fs->stack.profile, &d->place, e);
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
        st = session_new(d, e);
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
        st = mount_and_loop(d, e);
    if (!st)
        start_watch(&d->fs);
    return st;
}

/* ---- what there is to say at the start ---- */

struct first_look {
    struct fs *fs;
    uint64_t until_ns;
    unsigned entries;
    bool all;
};

static status look_visit(const struct image_entry *entry, void *arg)
{
    struct first_look *l = arg;
    if (++l->entries > LOOK_ENTRIES || time_mono_ns() > l->until_ns)
        return STATUS_CANCELLED;
    if (entry->kind == IMAGE_ENTRY_DIR && mount_guard(entry->dirfd, entry->name))
        *entry->descend = false;
    if (entry->kind == IMAGE_ENTRY_FILE || entry->kind == IMAGE_ENTRY_SYMLINK)
        sweep_look(l->fs, entry->dirfd, entry->name, entry->path);
    return STATUS_OK;
}

struct saying {
    struct buf *text;
    int left;
};

static void say_name(void *arg, const struct name_list_entry *en)
{
    struct saying *s = arg;
    if (s->left-- > 0)
        status_ignore(buf_addf(s->text, "%s%s (%s)", s->left == LOOK_NAMES - 1 ? "" : ", ",
                               TEXT_SHOWN(en->name), en->why),
                      "the count says enough");
}

/* A first part of the source, so that who mounts a folder of files that we cannot purify hears it
   now. The sweep and the readers find the rest. */
static void say_unpurified(struct fs *fs)
{
    struct first_look l = {.fs = fs, .until_ns = time_mono_ns() + look_ns};
    char root[64];
    snprintf(root, sizeof root, "/proc/self/fd/%d", fs->root_fd);
    l.all = image_walk(root, NULL, look_visit, &l, NULL) == STATUS_OK;
    uint64_t n = name_list_count(fs->lists.group[FUSED_GROUP_UNPURIFIED]);
    if (!n)
        return;
    AUTO(buf_done) struct buf names = BUF_INIT(64u << 10);
    struct saying s = {&names, LOOK_NAMES};
    name_list_each(fs->lists.group[FUSED_GROUP_UNPURIFIED], say_name, &s);
    fprintf(stderr,
            "relearnfsd: %s%" PRIu64 " images NOT PURIFIED, %s: %s%s (relearn status names them)\n",
            l.all ? "" : "at least ", n,
            fs->opt.strict ? "reading them is an error" : "served as they are",
            names.len ? names.data : "", n > LOOK_NAMES ? ", ..." : "");
}

/* The limits that nobody asked for are said, too. */
static void say_limits(struct daemon *d)
{
    struct fs *fs = &d->fs;
    struct cache_stats cs = {0};
    if (!fs->stack.cache || cache_stats(fs->stack.cache, &cs))
        return; /* said before */
    char limit[64] = "no limit", size[32];
    uint64_t min_free = d->opt->min_free_bytes;
    if (!min_free)
        min_free = cache_default_limits(fs->stack.cache_dir).min_free_bytes;
    if (cs.max_bytes && cs.max_bytes != CACHE_NO_LIMIT)
        snprintf(limit, sizeof limit, "at most %s", text_bytes(cs.max_bytes, size));
    fprintf(stderr, "relearnfsd: cache %s: %s, %s stay free (-o cache_size, min_free)\n",
            TEXT_SHOWN(fs->stack.cache_dir), limit, text_bytes(min_free, size));
}

/* For appending. A link is not followed, and a file that is not ours not written: the directory may
   be one in which others can make names. */
static int open_log(const char *path)
{
    AUTO(fd_close)
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    struct stat sb;
    if (fd < 0 || fstat(fd, &sb) < 0)
        return -1;
    if (S_ISCHR(sb.st_mode))
        return TAKE_FD(fd);
    if (!S_ISREG(sb.st_mode) || sb.st_uid != geteuid() || sb.st_nlink != 1) {
        errno = EPERM;
        return -1;
    }
    if ((uint64_t)sb.st_size > log_bytes_max && ftruncate(fd, 0) < 0)
        return -1;
    return TAKE_FD(fd);
}

static status name_log(struct daemon *d)
{
    struct fs *fs = &d->fs;
    const char *slash = strrchr(fs->path.socket, '/');
    fs->path.log = d->opt->log_path
                       ? mem_strdup(d->opt->log_path)
                       : mem_printf("%s/relearnfsd-%.16s.log", fs->stack.cache_dir, slash + 1);
    return fs->path.log ? STATUS_OK : STATUS_NOMEM;
}

/* Leaves the terminal: what is logged from now on goes to a file. */
static void leave_terminal(struct daemon *d)
{
    struct fs *fs = &d->fs;
    AUTO(fd_close) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    AUTO(fd_close) int log = name_log(d) ? -1 : open_log(fs->path.log);
    if (log < 0)
        log_warn("%s: no log file: %s; nothing will be logged (-o log=FILE names another)",
                 fs->path.log ? fs->path.log : "?", strerror(errno));
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(log >= 0 ? log : null, STDERR_FILENO);
    }
    log_init("relearnfsd");
    if (chdir("/") < 0)
        log_warn("chdir: %s", strerror(errno));
}

/* ---- end ---- */

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
static void end_loop(struct daemon *d)
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

static void end(struct daemon *d)
{
    struct fs *fs = &d->fs;
    atomic_store(&fs->ending, true);
    control_stop(d->control);
    watch_stop(fs->watching.watch);
    sweep_stop(fs->sweep);
    if (d->loop_started)
        end_loop(d);
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
    place_done(&d->place);
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
        say_limits(d);
        say_unpurified(&d->fs);
        launch_end(&d->launch, 0, "");
        if (!d->opt->foreground)
            leave_terminal(d);
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
    d.fs.root_fd = d.place.lock_fd = d.mount_id = -1;
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
    status st = find_paths(opt, &d, &e);
    if (!st && !opt->fake)
        st = launch_begin(opt->foreground, d.fs.path.mountpoint, &d.launch);
    if (st) {
        fprintf(stderr, "relearnfsd: %s\n", TEXT_SHOWN(errmsg_text(&e, st)));
        return status_exit(st);
    }
    raise_descriptor_limit();
    return opt->fake ? 0 : serve(&d);
}
