#ifndef FUSED_NAMED_H
#define FUSED_NAMED_H
/*
 * The files of a group, for the status: how many there are, and their names with the reason. A file
 * counts once, whatever its names. Names are kept up to a number of bytes; then the oldest are
 * forgotten, the count goes on, and a file that was forgotten may count twice.
 *
 * Threads: any.
 */
#include "fused.h"

enum { NAMED_SHOWN = 64 }; /* of the newest, in status.json */

struct named_entry {
    uint64_t device, inode;
    uint64_t number;  /* in the order in which they were added, from 1 on */
    const char *name; /* as bytes, relative to the source */
    const char *why;  /* may be "" */
};
typedef void named_fn(void *arg, const struct named_entry *entry);

struct named;
status named_new(size_t bytes_max, struct named **out) MUST_USE;
void named_free(struct named *n);
void named_add(struct named *n, const struct cache_file_id *id, const char *name, const char *why);
/* It is no longer so. */
void named_remove(struct named *n, const struct cache_file_id *id);
uint64_t named_count(struct named *n);
/* Why this file is listed, as a new string; NULL when it is not, or was forgotten. */
char *named_why(struct named *n, const struct cache_file_id *id);
/* Calls fn for the newest NAMED_SHOWN, newest first, with the list locked: fn must not call back.
 */
void named_each(struct named *n, named_fn *fn, void *arg);
/* The same for at most `most` of those with a greater number than `after`, oldest first: page by
   page, all of them. */
void named_page(struct named *n, uint64_t after, unsigned most, named_fn *fn, void *arg);

#endif
