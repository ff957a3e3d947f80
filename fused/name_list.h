#ifndef FUSED_NAME_LIST_H
#define FUSED_NAME_LIST_H
/*
 * The files of a group, for the status: how many there are, and their names with the reason. A file
 * counts once, however many names it has. Names are kept up to a number of bytes; then the oldest are
 * forgotten, the count goes on, and a file that was forgotten may count twice.
 *
 * Threads: any.
 */
#include "fused.h"

enum { NAME_LIST_SHOWN = 64 }; /* of the newest, in status.json */

struct name_list_entry {
    uint64_t device, inode;
    uint64_t number;  /* in the order in which they were added, from 1 on */
    const char *name; /* as bytes, relative to the source */
    const char *why;  /* may be "" */
};
typedef void name_list_fn(void *arg, const struct name_list_entry *entry);

struct name_list;
status name_list_new(size_t bytes_max, struct name_list **out) MUST_USE;
void name_list_free(struct name_list *n);
void name_list_add(struct name_list *n, const struct cache_file_id *id, const char *name,
                   const char *why);
/* It is no longer so. */
void name_list_remove(struct name_list *n, const struct cache_file_id *id);
uint64_t name_list_count(struct name_list *n);
/* Why this file is listed, as a new string; NULL when it is not, or was forgotten. */
char *name_list_why(struct name_list *n, const struct cache_file_id *id);
/* Calls fn for the newest NAME_LIST_SHOWN, newest first, with the list locked: fn must not call
   back. */
void name_list_each(struct name_list *n, name_list_fn *fn, void *arg);
/* The same for at most `most` of those with a greater number than `after`, oldest first: page by
   page, all of them. */
void name_list_page(struct name_list *n, uint64_t after, unsigned most, name_list_fn *fn,
                    void *arg);

#endif
