#ifndef CACHE_INDEX_FILE_H
#define CACHE_INDEX_FILE_H
/* What the files behind index.h share: the file (index.c, index_replace.c), its tables (schema.c),
   its statements (statements.h). Otherwise only their test includes it. */
#include "index.h"

struct index {
    struct db *db;
    char *dir;
    int version; /* of the schema; older than the last one only where it cannot be written */
};

#define INDEX_APP_ID 0x524c4653 /* "RLFS" */
extern const struct db_migration index_migrations[];
extern const int index_migration_count;
extern const char *const index_sql[];
extern const int index_sql_count;

/* DIR/index.sqlite for mem_free, or NULL. */
char *index_path(const char *dir);
/* Holds DIR/lock until *out_fd is closed: alone (op LOCK_EX), or with others (LOCK_SH; NOT_FOUND
   when nobody ever made it). */
status index_lock(const char *dir, int op, int *out_fd, struct errmsg *e) MUST_USE;
/* index_open with DIR/lock held. */
status index_open_locked(const char *dir, enum db_mode mode, struct index **out,
                         struct errmsg *e) MUST_USE;

#endif
