#ifndef FUSED_DAEMON_PARTS_H
#define FUSED_DAEMON_PARTS_H
/*
 * What the parts of the daemon share:
 *
 *     daemon.c           start, wait, end
 *     daemon_paths.c     where it may be mounted, and what may not lie there
 *     daemon_session.c   the FUSE session: INIT, the loop's threads, mounting and unmounting
 *     daemon_say.c       what the user is told at the start
 *     daemon_log.c       the log file, and leaving the terminal
 *
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
#include "mount_paths.h"

#include <semaphore.h>
#include <signal.h>

struct daemon {
    const struct daemon_options *opt;
    struct fs fs;
    struct mount_paths paths;
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

/* ---- daemon_paths.c ---- */
status daemon_find_paths(const struct daemon_options *opt, struct daemon *d,
                         struct errmsg *e) MUST_USE;
/* Once the profile is read. */
status daemon_check_models(const struct purify_profile *profile, const struct mount_paths *p,
                           struct errmsg *e) MUST_USE;

/* ---- daemon_session.c ---- */
status daemon_session_new(struct daemon *d, struct errmsg *e) MUST_USE;
/* Mounts, starts the loop, and waits until the kernel has sent INIT and the root answers. */
status daemon_mount(struct daemon *d, struct errmsg *e) MUST_USE;
/* Unmounts and waits for the loop's threads. */
void daemon_unmount(struct daemon *d);

/* ---- daemon_say.c ---- */
/* The limits that nobody asked for are said, too. */
void daemon_say_limits(struct daemon *d);
/* A first part of the source, so that who mounts a folder of files that we cannot purify hears it
   now. The sweep and the readers find the rest. */
void daemon_say_unpurified(struct fs *fs);

/* ---- daemon_log.c ---- */
/* Leaves the terminal: what is logged from now on goes to a file. */
void daemon_leave_terminal(struct daemon *d);

#endif
