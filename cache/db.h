#ifndef CACHE_DB_H
#define CACHE_DB_H
/*
 * db: one SQLite connection with a table of prepared statements. Nothing else knows SQLite; what
 * the tables mean is index.h's.
 *
 *     db_start(d, FIND, "bi", key, (size_t)32, (int64_t)7); // i: int64_t; b: pointer, size_t
 *     while (!(st = db_step(d, FIND)))                      // OK: a row; NOT_FOUND: no more
 *         use(db_int(d, FIND, 0));
 *
 * A statement is reset when db_step says anything but OK; leave the loop earlier with db_reset.
 * Bound blobs must live until then.
 * Status: CORRUPT: the file is damaged or not ours; DENIED: also a symbolic link; BUSY: another
 * process held the write lock for longer than DB_BUSY_MS; NO_SPACE; NOMEM; IO.
 *
 * Threads: one at a time.
 */
#include "base/base.h"

#include <stdbool.h>

struct db;

enum { DB_BUSY_MS = 10000 }; /* many times what a batch takes */

enum db_mode {
    DB_CREATE, /* read and write, made when absent */
    DB_WRITE,  /* read and write; NOT_FOUND when absent */
    DB_READ,   /* read only, also in a directory that cannot be written */
    DB_STILL,  /* read only, without locks and shared memory: for a file that nobody is writing, or
                  where wrong results in the meantime do no harm */
    DB_MODE_COUNT
};

/* sql[0 .. n): the statements, prepared when first used; the table must outlive the connection. */
status db_open(const char *path, enum db_mode mode, const char *const *sql, int n, struct db **out,
               struct errmsg *e) MUST_USE;
void db_close(struct db *d); /* NULL allowed */
DEFINE_FREEP(struct db *, db_close)

/* Versions 1, 2, ...: each is run in one transaction on a file of the version before. */
struct db_migration {
    int version;
    const char *sql;
};
/* Brings the file to the last version. CORRUPT: it is a database, but not this program's;
   BAD_VERSION: a later program's. app_id: what the file is marked with. */
status db_migrate(struct db *d, int32_t app_id, const struct db_migration *steps, int n,
                  struct errmsg *e) MUST_USE;
/* OK when the file is at `version`; CORRUPT, BAD_VERSION as above, and NOT_FOUND when older. */
status db_check_version(struct db *d, int32_t app_id, int version) MUST_USE;
/* Prepares every statement: finds a schema that is not what it should be. */
status db_prepare_all(struct db *d) MUST_USE;

/* Statements without results, several separated by ';'. */
status db_exec(struct db *d, const char *sql) MUST_USE;
status db_begin(struct db *d) MUST_USE; /* takes the write lock at once */
/* The disk is full: moves the log into the file and keeps it short from now on. */
status db_short_log(struct db *d) MUST_USE;
status db_long_log(struct db *d) MUST_USE; /* as it is at first */
status db_commit(struct db *d) MUST_USE;
void db_rollback(struct db *d); /* no transaction open: nothing happens */

status db_start(struct db *d, int stmt, const char *fmt, ...) MUST_USE;
status db_step(struct db *d, int stmt) MUST_USE;
void db_reset(struct db *d, int stmt);
/* db_start, every step, rows ignored. */
status db_run(struct db *d, int stmt, const char *fmt, ...) MUST_USE;
/* Rows the last statement inserted, changed or deleted. */
int64_t db_changes(struct db *d);

/* Columns of the current row. */
int64_t db_int(struct db *d, int stmt, int col);
/* Copies a blob of exactly len bytes; CORRUPT when it is anything else. */
status db_blob(struct db *d, int stmt, int col, void *out, size_t len) MUST_USE;
/* A blob of at most max bytes; *out_len its length. */
status db_blob_upto(struct db *d, int stmt, int col, void *out, size_t max,
                    size_t *out_len) MUST_USE;

/* The file at path is no longer the one this connection reads (replaced or deleted). */
bool db_moved(struct db *d);
/* SQLite's own check of the file. */
status db_self_check(struct db *d) MUST_USE;

#endif
