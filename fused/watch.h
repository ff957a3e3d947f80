#ifndef FUSED_WATCH_H
#define FUSED_WATCH_H
/*
 * Learns of changes in the source from the program inotifywait, run as a child on the source root
 * (by descriptor, so that nothing mounted over its path matters), and tells the kernel through the
 * notifier.
 *
 * fs->watching.all is true while every change is heard of: after the child said that its watches stand,
 * and until it ends, says that events were lost, or the source is on a file system whose changes
 * may come from elsewhere. While it is false, names and attributes are believed for a second only.
 */
#include "base/base.h"

#include <stdbool.h>

struct fs;
struct watch;

/* UNSUPPORTED: no inotifywait, or a file system that does not tell; e says which. */
status watch_start(struct fs *fs, struct watch **out, struct errmsg *e) MUST_USE;
void watch_stop(struct watch *w);
/* Whether changes in this directory (its path, relative to the source) may go unheard. */
bool watch_is_blind(const struct fs *fs, const char *dir);

#endif
