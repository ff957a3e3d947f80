#ifndef CACHE_DB_SQLITE_H
#define CACHE_DB_SQLITE_H
/* What the files behind db.h share: db_open.c, db_version.c, db.c. Nothing else sees SQLite. */
#include "db.h"

#include <sqlite3.h>

struct db {
    sqlite3 *handle;
    const char *const *sql;
    int n;
    sqlite3_stmt **stmt; /* n, NULL until used */
    bool exclusive;      /* without shared memory */
};

status db_status_of_code(int rc);
/* The result of the last call on d. A file or log that cannot be made is SQLITE_CANTOPEN whatever
   the reason is. */
status db_status(struct db *d, int rc);
/* The number that a statement gives, "PRAGMA user_version". */
status db_read_number(struct db *d, const char *sql, int64_t *out) MUST_USE;

#endif
