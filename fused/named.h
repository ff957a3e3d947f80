#ifndef FUSED_NAMED_H
#define FUSED_NAMED_H
/*
 * The files a status names: how many there are, and the most recent of them with the reason. A file
 * counts once, whatever its names. After 65536 files the count goes on but may count one twice.
 */
#include "fused.h"

enum { NAMED_SHOWN = 64 };

struct named_entry {
    uint64_t device, inode;
    char *name;
    char *why; /* may be "" */
};

struct named;
status named_new(struct named **out) MUST_USE;
void named_free(struct named *n);
void named_add(struct named *n, const struct cache_file_id *id, const char *name, const char *why);
/* It is no longer so. */
void named_remove(struct named *n, const struct cache_file_id *id);
uint64_t named_count(struct named *n);
/* Why this file is listed, as a new string; NULL when it is not among those shown. */
char *named_why(struct named *n, const struct cache_file_id *id);
/* Calls fn for each shown entry, newest first, with the list locked: fn must not call back. */
void named_each(struct named *n, void (*fn)(void *arg, const struct named_entry *entry), void *arg);

#endif
