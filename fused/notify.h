#ifndef FUSED_NOTIFY_H
#define FUSED_NOTIFY_H
/*
 * Invalidations of what the kernel has cached, sent by one thread of their own: the kernel may need
 * a lock for them that a request holds which a FUSE thread is handling, so no handler sends them
 * itself.
 *
 * A notice belongs to the notifier from notifier_push until its done() is called, once, on the
 * notifier's thread (or in notifier_free, unsent).
 */
#include "fuse_compat.h"

#include "base/base.h"

enum notice_kind {
    NOTICE_ATTRIBUTES, /* of ino: size and times are asked for again */
    NOTICE_PAGES,      /* the same, and cached content (of a directory: its listing) */
    NOTICE_ENTRY,      /* name in ino: is looked up again */
};

struct notice;
typedef void notice_done_fn(struct notice *n);
struct notice {
    enum notice_kind kind;
    fuse_ino_t ino;
    const char *name; /* NOTICE_ENTRY */
    notice_done_fn *done;
    void *arg;
    struct notice *next;
};

struct notifier;
status notifier_new(struct fuse_session *se, struct notifier **out) MUST_USE;
void notifier_free(struct notifier *n);
void notifier_push(struct notifier *n, struct notice *notice);
/* Waits until fewer than max are queued, or it is being freed. For producers other than FUSE
 * threads. */
void notifier_wait_room(struct notifier *n, unsigned max);
uint64_t notifier_sent(struct notifier *n);

#endif
