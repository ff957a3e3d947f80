/* The index's rows of objects, and pins. */
#include "statements.h"

_Static_assert(RECORD_HEADER_BYTES == 128 && RECORD_ALIGN == 64, "RECORD_BYTES says so, too");

static const size_t digest_len = sizeof(struct digest);

/* The current row of a statement whose columns are ROW. */
static status read_row(struct db *d, int stmt, struct index_row *out)
{
    struct index_row r = {.id = db_int(d, stmt, 0), .used = (uint64_t)db_int(d, stmt, 8)};
    status st = db_blob(d, stmt, 1, r.key.pixels.byte, digest_len);
    if (!st)
        st = db_blob(d, stmt, 2, r.key.profile.byte, digest_len);
    if (!st)
        st = statement_shape(d, stmt, 3, &r.shape);
    if (!st)
        st = statement_u32(d, stmt, 6, &r.pack);
    if (!st)
        st = statement_u63(d, stmt, 7, &r.offset);
    if (!st)
        *out = r;
    return st;
}

/* The first row of a started statement, which is reset. */
static status one_row(struct db *d, int stmt, struct index_row *out)
{
    status st = db_step(d, stmt);
    if (st)
        return st;
    st = read_row(d, stmt, out);
    db_reset(d, stmt);
    return st;
}

status index_find(struct index *x, const struct cache_key *key, struct index_row *out)
{
    status st =
        db_start(x->db, FIND, "bb", key->profile.byte, digest_len, key->pixels.byte, digest_len);
    return st ? st : one_row(x->db, FIND, out);
}

static status add(struct index *x, int stmt, const struct index_row *r)
{
    uint64_t len;
    if (!record_shape_ok(r->shape, &len))
        return STATUS_INVALID;
    status st = db_run(x->db, ADD_PROFILE, "b", r->key.profile.byte, digest_len);
    if (st)
        return st;
    return db_run(x->db, stmt, "bbiiiiiii", r->key.profile.byte, digest_len, r->key.pixels.byte,
                  digest_len, (int64_t)r->pack, (int64_t)r->offset, (int64_t)record_bytes(len),
                  (int64_t)r->shape.width, (int64_t)r->shape.height, (int64_t)r->shape.channels,
                  (int64_t)r->used);
}

status index_add(struct index *x, const struct index_row *row)
{
    return add(x, ADD_OBJECT, row);
}

status index_add_missing(struct index *x, const struct index_row *row, bool *out_added)
{
    status st = add(x, ADD_MISSING, row);
    if (!st)
        *out_added = db_changes(x->db) > 0;
    return st;
}

status index_move(struct index *x, const struct index_row *row, uint32_t pack, uint64_t offset,
                  bool *out_moved)
{
    status st = db_run(x->db, MOVE, "iiiii", row->id, (int64_t)row->pack, (int64_t)row->offset,
                       (int64_t)pack, (int64_t)offset);
    if (!st)
        *out_moved = db_changes(x->db) > 0;
    return st;
}

status index_drop(struct index *x, const struct index_row *row, bool *out_dropped)
{
    status st = db_run(x->db, DROP_ROW, "iii", row->id, (int64_t)row->pack, (int64_t)row->offset);
    if (!st)
        *out_dropped = db_changes(x->db) > 0;
    return st;
}

status index_touch(struct index *x, int64_t id, uint64_t used)
{
    return db_run(x->db, TOUCH, "ii", id, (int64_t)used);
}

status index_tick(struct index *x, uint64_t *out_now)
{
    status st = db_start(x->db, TICK, "");
    return st ? st : statement_int(x->db, TICK, out_now);
}

static status read_rows(struct db *d, int stmt, struct index_row *rows, int max, int *out_n)
{
    int n = 0;
    status st = STATUS_OK;
    while (n < max && !(st = db_step(d, stmt))) {
        st = read_row(d, stmt, &rows[n]);
        if (st)
            break;
        if (stmt == PAGE)
            rows[n].pinned = db_int(d, stmt, 9) != 0;
        n++;
    }
    db_reset(d, stmt);
    if (st && st != STATUS_NOT_FOUND)
        return st;
    *out_n = n;
    return STATUS_OK;
}

status index_page(struct index *x, int64_t after, struct index_row *rows, int max, int *out_n)
{
    status st = db_start(x->db, PAGE, "ii", after, (int64_t)max);
    return st ? st : read_rows(x->db, PAGE, rows, max, out_n);
}

status index_pack_page(struct index *x, uint32_t pack, uint64_t from, struct index_row *rows,
                       int max, int *out_n)
{
    status st = db_start(x->db, PACK_PAGE, "iii", (int64_t)pack, (int64_t)from, (int64_t)max);
    return st ? st : read_rows(x->db, PACK_PAGE, rows, max, out_n);
}

status index_evict(struct index *x, int max, uint64_t *out_rows)
{
    return statement_changes(x->db, db_run(x->db, EVICT, "i", (int64_t)max), out_rows);
}

status index_drop_lost(struct index *x, int max, uint64_t *out_rows)
{
    return statement_changes(x->db, db_run(x->db, DROP_LOST, "i", (int64_t)max), out_rows);
}

status index_recount(struct index *x)
{
    static const int all[] = {MEASURE_ROWS, COUNT_ROWS, COUNT_MEMOS, COUNT_FILES};
    status st = STATUS_OK;
    for (size_t i = 0; i < ARRAY_LEN(all) && !st; i++)
        st = db_run(x->db, all[i], "");
    return st;
}

status index_remove(struct index *x, enum cache_scope scope, const struct cache_key *key, int max,
                    uint64_t *out_rows)
{
    switch (scope) {
    case CACHE_ALL:
        return statement_changes(x->db, db_run(x->db, REMOVE_ALL, "i", (int64_t)max), out_rows);
    case CACHE_PROFILE:
        return statement_changes(
            x->db, db_run(x->db, REMOVE_PROFILE, "ib", (int64_t)max, key->profile.byte, digest_len),
            out_rows);
    case CACHE_KEY:
        return statement_changes(x->db,
                                 db_run(x->db, REMOVE_KEY, "bb", key->profile.byte, digest_len,
                                        key->pixels.byte, digest_len),
                                 out_rows);
    default:
        return STATUS_INVALID;
    }
}

status index_pin(struct index *x, enum cache_scope scope, const struct cache_key *key)
{
    status st = db_run(x->db, ADD_PROFILE, "b", key->profile.byte, digest_len);
    if (st)
        return st;
    return db_run(x->db, PIN, "bb", key->profile.byte, digest_len, key->pixels.byte,
                  scope == CACHE_KEY ? digest_len : (size_t)0);
}

status index_unpin(struct index *x, enum cache_scope scope, const struct cache_key *key)
{
    if (scope == CACHE_ALL)
        return db_run(x->db, UNPIN_ALL, "");
    status st = db_run(x->db, UNPIN, "bb", key->profile.byte, digest_len, key->pixels.byte,
                       scope == CACHE_KEY ? digest_len : (size_t)0);
    return !st && db_changes(x->db) == 0 ? STATUS_NOT_FOUND : st;
}

status index_prune_profiles(struct index *x)
{
    return db_run(x->db, PRUNE_PROFILES, "");
}
