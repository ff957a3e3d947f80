#ifndef CACHE_SITE_H
#define CACHE_SITE_H
/*
 * site: whether a directory may hold a cache, how its files are opened, and its space.
 *
 * A cache is written by the user who runs the program, often root, and what is read from it decides
 * which pixels are shown. So links in it are not followed, and files of other users are not
 * trusted. (Root's are: root could change everything anyway.)
 */
#include "cache.h"

enum { SITE_FILE_MODE = 0600 }; /* whatever the directory's mode is */

struct site {
    const char *network; /* the kind of a file system that other machines may change, or NULL */
    bool read_only;      /* the file system is mounted so */
};
/* DENIED: dir or packs/ in it belongs to another user, is a link, or anybody may replace what is in
   it. NOT_FOUND: it is not there, or is no directory. A packs/ that is missing is OK. */
status site_check(const char *dir, struct site *out, struct errmsg *e) MUST_USE;
/* UNSUPPORTED on a network file system. dir, or the deepest directory on the path to it that
   exists. */
status site_local(const char *dir, struct errmsg *e) MUST_USE;
/* Its name ("NFS"); NULL when SQLite's log and locks work on this file system. type: f_type of
   statfs(2). */
const char *site_network(uint32_t type);

/* Opens a file of the cache: never through a link, never one that is not a regular file or that
   belongs to another user (DENIED). Group and world permissions of a file of ours are removed. e
   may be NULL. */
status site_open(const char *path, int flags, int *out_fd, struct errmsg *e) MUST_USE;
/* The same checks for a file that somebody else will open; one that is missing is OK. */
status site_check_file(const char *path, struct errmsg *e) MUST_USE;

/* Bytes that an ordinary user may still write to the file system, and all it can hold. dir, or what
   is there of the path to it. */
status site_space(const char *dir, uint64_t *out_free, uint64_t *out_size) MUST_USE;

/*
 * DIR/reserve: bytes that are kept so that an index can be opened on a full disk (SQLite needs 32
 * KiB for that, and some log to delete rows).
 */
enum { RESERVE_BYTES = 128 << 10 };
/* Makes it when it is missing and least_free bytes are free, of which it takes RESERVE_BYTES. */
void reserve_keep(const char *dir, uint64_t least_free);
/* Deletes it; false when there was none. */
bool reserve_spend(const char *dir);

#endif
