/* Which program's and which version's a file is, and bringing it to the last one. */
#include "db_sqlite.h"

/* *out_version 0 only for an empty file. */
static status read_version(struct db *d, int32_t app_id, int64_t *out_version)
{
    int64_t version = 0, id = 0, tables = 0;
    status st = db_read_number(d, "PRAGMA user_version", &version);
    if (!st)
        st = db_read_number(d, "PRAGMA application_id", &id);
    if (!st)
        st = db_read_number(d, "SELECT COUNT(*) FROM sqlite_schema", &tables);
    if (st)
        return st;
    bool empty = version == 0 && id == 0 && tables == 0;
    if (!empty && (id != app_id || version < 1))
        return STATUS_CORRUPT;
    *out_version = version;
    return STATUS_OK;
}

status db_check_version(struct db *d, int32_t app_id, int version)
{
    int64_t have = 0;
    status st = read_version(d, app_id, &have);
    if (st)
        return st;
    return have == version ? STATUS_OK : have > version ? STATUS_BAD_VERSION : STATUS_NOT_FOUND;
}

static status migrate_in_transaction(struct db *d, int32_t app_id, const struct db_migration *step,
                                     struct errmsg *e)
{
    int64_t have = 0; /* again, under the write lock: another process may have been faster */
    status st = read_version(d, app_id, &have);
    if (st || have >= step->version)
        return st;
    char mark[80];
    snprintf(mark, sizeof mark, "PRAGMA application_id=%d; PRAGMA user_version=%d", (int)app_id,
             step->version);
    st = db_exec(d, step->sql);
    if (!st)
        st = db_exec(d, mark);
    return st ? errmsg_set(e, st, "cannot bring the index to version %d: %s", step->version,
                           sqlite3_errmsg(d->handle))
              : STATUS_OK;
}

status db_migrate(struct db *d, int32_t app_id, const struct db_migration *steps, int n,
                  struct errmsg *e)
{
    int64_t have = 0;
    status st = read_version(d, app_id, &have);
    for (int i = 0; !st && i < n; i++) {
        if (have >= steps[i].version)
            continue;
        st = db_begin(d);
        if (!st)
            st = migrate_in_transaction(d, app_id, &steps[i], e);
        if (!st)
            st = db_commit(d);
        db_rollback(d);
        if (!st)
            st = read_version(d, app_id, &have);
    }
    if (!st && have > steps[n - 1].version)
        return errmsg_set(e, STATUS_BAD_VERSION,
                          "the index has version %lld, this program knows %d (use a later one)",
                          (long long)have, steps[n - 1].version);
    return st;
}
