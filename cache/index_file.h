#ifndef CACHE_INDEX_FILE_H
#define CACHE_INDEX_FILE_H
/* What index.c (the file) and rows.c (the statements) share; otherwise only their test includes it.
 */
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

#endif
