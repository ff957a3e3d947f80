#include "statements.h"

const char *const index_sql[] = {
#define X(name, text) [name] = text,
    STATEMENTS(X)
#undef X
};
_Static_assert(ARRAY_LEN(index_sql) == STATEMENT_COUNT, "a text for every statement");
const int index_sql_count = STATEMENT_COUNT;

status statement_u32(struct db *d, int stmt, int col, uint32_t *out)
{
    int64_t v = db_int(d, stmt, col);
    if (v < 0 || v > UINT32_MAX)
        return STATUS_CORRUPT;
    *out = (uint32_t)v;
    return STATUS_OK;
}

status statement_u63(struct db *d, int stmt, int col, uint64_t *out)
{
    int64_t v = db_int(d, stmt, col);
    if (v < 0)
        return STATUS_CORRUPT;
    *out = (uint64_t)v;
    return STATUS_OK;
}

status statement_shape(struct db *d, int stmt, int col, struct cache_shape *out)
{
    status st = statement_u32(d, stmt, col, &out->width);
    if (!st)
        st = statement_u32(d, stmt, col + 1, &out->height);
    return st ? st : statement_u32(d, stmt, col + 2, &out->channels);
}

status statement_int(struct db *d, int stmt, uint64_t *out)
{
    status st = db_step(d, stmt);
    if (st)
        return st == STATUS_NOT_FOUND ? STATUS_CORRUPT : st;
    *out = (uint64_t)db_int(d, stmt, 0);
    /* to the end: a statement with RETURNING takes effect when it is done */
    while (!st)
        st = db_step(d, stmt);
    return st == STATUS_NOT_FOUND ? STATUS_OK : st;
}

status statement_changes(struct db *d, status st, uint64_t *out_rows)
{
    if (!st)
        *out_rows = (uint64_t)db_changes(d);
    return st;
}
