#ifndef FUSED_COPY_PARTS_H
#define FUSED_COPY_PARTS_H
/*
 * What the parts of a copy (`relearn purify`) share:
 *
 *     copy_check.c  whether there may be a copy, and where it goes
 *     copy.c        the whole of it: counts, progress, waiting, its end
 *     copy_walk.c   the source's directories and links
 *     copy_file.c   one file: fetched, written to a temporary name, renamed
 *
 *     walk (calling thread) -> fetch -> done() on the purifier's thread -> writers: write, rename
 *
 * At most outstanding_max files are between the first and the last step; the walk waits for room.
 * A directory gets its mode and time when everything in it is written (dest.h).
 *
 * What ends early ends soon: once `stopping` is set nothing is begun, what the purifier has is
 * cancelled, and what comes back is dropped without a word, since it is not its fault.
 */
#include "fused.h"

#include "dest.h"

#include <pthread.h>
#include <stdatomic.h>

struct image_entry;

/* A directory of the copy that the walk is in. */
struct open_dir {
    struct open_dir *above;
    struct dest_dir *dir;
    size_t path_len;
};

struct copying {
    struct fused_pipeline *pipeline;
    const struct fused_copy *copy;
    struct pool *writers;
    struct dest *dest;
    struct open_dir *dirs; /* the walk's */
    int src_fd;            /* O_PATH, of a tree */
    atomic_bool stopping, written;
    pthread_mutex_t lock;
    pthread_cond_t room;
    unsigned outstanding_max;
    unsigned outstanding; /* guarded by lock, as all below */
    status over;          /* what ended it before its end */
    char over_path[256];
    struct fused_copy_result result;
};

/* ---- copy.c ---- */
extern const char copy_changed_text[];
void copy_report_failure(struct copying *c, const char *path, const char *why);
/* A failure to write: of one file, or of all that would follow. */
void copy_report_unwritten(struct copying *c, const char *path, status st);
/* A file or link is done. */
void copy_count(struct copying *c, enum fused_group group, const char *path, const char *why);
/* The first reason counts. */
void copy_end_early(struct copying *c, status why, const char *path);
/* Shows progress and asks whether to stop; false: it is to end. */
bool copy_goes_on(struct copying *c);
/* Waits until at most `most` files are on their way, or it is to end: false. */
bool copy_wait_for_room(struct copying *c, unsigned most);
/* The directory that everything is written below; the walk is in it. */
status copy_open_dest(struct copying *c, const char *dir, struct errmsg *e) MUST_USE;

/* ---- copy_walk.c ---- */
status copy_whole_tree(struct copying *c, struct errmsg *e) MUST_USE;
/* The copy's directory for this path. Those that the walk has left behind are let go. */
struct dest_dir *copy_dir_of(struct copying *c, const char *path);

/* ---- copy_file.c ---- */
/* Takes fd, a file that is to be written as the last part of path in dir. */
status copy_open_file(struct copying *c, struct dest_dir *dir, int fd, const char *path) MUST_USE;

#endif
