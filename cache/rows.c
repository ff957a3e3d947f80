/* The statements of the index. The tables are described in index.c. */
#include "index_file.h"

#include <string.h>

/* Rows whose profile or object is pinned are nobody's victims. */
#define UNPINNED                                                                                   \
    "NOT EXISTS (SELECT 1 FROM pins p WHERE p.profile = o.profile AND p.pixels IN (x'', "          \
    "o.pixels))"
#define ROW "o.id, o.pixels, f.digest, o.width, o.height, o.channels, o.pack, o.offset, o.used"
#define FROM_OBJECTS " FROM objects o JOIN profiles f ON f.id = o.profile "
#define PROFILE(n) "(SELECT id FROM profiles WHERE digest = ?" #n ")"
#define ADD                                                                                        \
    "INSERT INTO objects (profile, pixels, pack, offset, bytes, width, height, channels, used) "   \
    "VALUES (" PROFILE(1) ", ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) "

/* name, text; the parameters are bound in order */
#define STATEMENTS(X)                                                                              \
    X(FIND, "SELECT " ROW FROM_OBJECTS "WHERE f.digest = ?1 AND o.pixels = ?2")                    \
    X(ADD_PROFILE, "INSERT OR IGNORE INTO profiles (digest) VALUES (?1)")                          \
    X(ADD_OBJECT, ADD "ON CONFLICT (profile, pixels) DO UPDATE SET pack = excluded.pack, "         \
                      "offset = excluded.offset, bytes = excluded.bytes, width = excluded.width, " \
                      "height = excluded.height, channels = excluded.channels, "                   \
                      "used = excluded.used")                                                      \
    X(ADD_MISSING, ADD "ON CONFLICT (profile, pixels) DO NOTHING")                                 \
    X(MOVE, "UPDATE objects SET pack = ?4, offset = ?5 WHERE id = ?1 AND pack = ?2 AND "           \
            "offset = ?3")                                                                         \
    X(DROP_ROW, "DELETE FROM objects WHERE id = ?1 AND pack = ?2 AND offset = ?3")                 \
    X(TOUCH, "UPDATE objects SET used = ?2 WHERE id = ?1 AND used < ?2")                           \
    X(TICK, "UPDATE meta SET value = value + 1 WHERE name = 'clock' RETURNING value")              \
    X(PAGE, "SELECT " ROW ", NOT " UNPINNED FROM_OBJECTS "WHERE o.id > ?1 ORDER BY o.id LIMIT ?2") \
    X(PACK_PAGE, "SELECT " ROW FROM_OBJECTS                                                        \
                 "WHERE o.pack = ?1 AND o.offset >= ?2 ORDER BY o.offset LIMIT ?3")                \
    X(EVICT, "DELETE FROM objects WHERE id IN (SELECT o.id FROM objects o WHERE " UNPINNED         \
             " ORDER BY o.used, o.id LIMIT ?1)")                                                   \
    X(REMOVE_ALL, "DELETE FROM objects WHERE id IN (SELECT id FROM objects LIMIT ?1)")             \
    X(REMOVE_PROFILE,                                                                              \
      "DELETE FROM objects WHERE id IN (SELECT id FROM objects WHERE profile = " PROFILE(          \
          2) " LIMIT ?1)")                                                                         \
    X(REMOVE_KEY, "DELETE FROM objects WHERE profile = " PROFILE(1) " AND pixels = ?2")            \
    X(PIN, "INSERT OR IGNORE INTO pins (profile, pixels) VALUES (" PROFILE(1) ", ?2)")             \
    X(UNPIN, "DELETE FROM pins WHERE profile = " PROFILE(1) " AND pixels = ?2")                    \
    X(UNPIN_ALL, "DELETE FROM pins")                                                               \
    X(PRUNE_PROFILES, "DELETE FROM profiles WHERE id NOT IN (SELECT profile FROM objects) AND "    \
                      "id NOT IN (SELECT profile FROM pins)")                                      \
    X(PACK_GET, "SELECT id, sealed, bytes, live_bytes, live_count FROM packs WHERE id = ?1")       \
    X(PACK_SET, "INSERT INTO packs (id, bytes, sealed) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO "   \
                "UPDATE SET bytes = excluded.bytes, sealed = excluded.sealed")                     \
    X(PACK_ROWS_DROP, "DELETE FROM objects WHERE pack = ?1")                                       \
    X(PACK_DROP, "DELETE FROM packs WHERE id = ?1")                                                \
    X(PACKS, "SELECT id, sealed, bytes, live_bytes, live_count FROM packs ORDER BY id")            \
    X(NEW_PACK, "UPDATE meta SET value = MAX(value, ?1) + 1 WHERE name = 'last_pack' "             \
                "RETURNING value")                                                                 \
    /* grouped before it is looked for pins: that reads every row of a pack */                     \
    X(OLD_PACKS, "SELECT g.pack FROM (SELECT v.pack, MIN(v.used) AS used, MIN(v.id) AS id FROM "   \
                 "(SELECT o.pack, o.used, o.id FROM objects o WHERE " UNPINNED                     \
                 " ORDER BY o.used, o.id LIMIT 4096) v GROUP BY v.pack) g WHERE NOT EXISTS "       \
                 "(SELECT 1 FROM objects o WHERE o.pack = g.pack AND NOT " UNPINNED ") "           \
                 "ORDER BY g.used, g.id LIMIT ?1")                                                 \
    X(MEMO_GET, "SELECT format, width, height, channels, pixels, info FROM memos WHERE "           \
                "source = ?1")                                                                     \
    X(MEMO_PUT, "INSERT INTO memos VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) "                       \
                "ON CONFLICT (source) DO UPDATE SET format = excluded.format, "                    \
                "width = excluded.width, height = excluded.height, "                               \
                "channels = excluded.channels, pixels = excluded.pixels, info = excluded.info, "   \
                "made = excluded.made")                                                            \
    X(MEMO_COUNT, "SELECT value FROM meta WHERE name = 'memos'")                                   \
    X(MEMO_PRUNE, "DELETE FROM memos WHERE source IN (SELECT source FROM memos "                   \
                  "ORDER BY made LIMIT ?1)")                                                       \
    X(MEMO_CLEAR, "DELETE FROM memos")                                                             \
    X(FILE_GET, "SELECT source FROM files WHERE "                                                  \
                "device = ?1 AND inode = ?2 AND size = ?3 AND mtime = ?4 AND ctime = ?5")          \
    X(FILE_PUT, "INSERT INTO files VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) "                           \
                "ON CONFLICT (device, inode) DO UPDATE SET size = excluded.size, "                 \
                "mtime = excluded.mtime, ctime = excluded.ctime, source = excluded.source, "       \
                "made = excluded.made")                                                            \
    X(FILE_COUNT, "SELECT value FROM meta WHERE name = 'files'")                                   \
    X(FILE_PRUNE, "DELETE FROM files WHERE (device, inode) IN (SELECT device, inode FROM files "   \
                  "ORDER BY made LIMIT ?1)")                                                       \
    X(FILE_CLEAR, "DELETE FROM files")                                                             \
    X(TOTALS, "SELECT COALESCE(SUM(live_count), 0), COALESCE(SUM(live_bytes), 0), "                \
              "COALESCE(SUM(bytes), 0), COUNT(*), (SELECT COUNT(*) FROM profiles), "               \
              "(SELECT COUNT(*) FROM pins), (SELECT value FROM meta WHERE name = 'memos'), "       \
              "(SELECT value FROM meta WHERE name = 'files') FROM packs")

enum {
#define X(name, text) name,
    STATEMENTS(X)
#undef X
        STATEMENT_COUNT
};

const char *const index_sql[] = {
#define X(name, text) [name] = text,
    STATEMENTS(X)
#undef X
};
_Static_assert(ARRAY_LEN(index_sql) == STATEMENT_COUNT, "a text for every statement");
const int index_sql_count = STATEMENT_COUNT;

static const size_t digest_len = sizeof(struct digest);

status index_begin(struct index *x)
{
    return db_begin(x->db);
}

status index_commit(struct index *x)
{
    return db_commit(x->db);
}

void index_rollback(struct index *x)
{
    db_rollback(x->db);
}

/* ---- objects ---- */

/* The current row of a statement whose columns are ROW. */
static status read_row(struct db *d, int stmt, struct index_row *out)
{
    struct index_row r = {
        .id = db_int(d, stmt, 0),
        .shape = {(uint32_t)db_int(d, stmt, 3), (uint32_t)db_int(d, stmt, 4),
                  (uint32_t)db_int(d, stmt, 5)},
        .pack = (uint32_t)db_int(d, stmt, 6),
        .offset = (uint64_t)db_int(d, stmt, 7),
        .used = (uint64_t)db_int(d, stmt, 8),
    };
    status st = db_blob(d, stmt, 1, r.key.pixels.byte, digest_len);
    if (!st)
        st = db_blob(d, stmt, 2, r.key.profile.byte, digest_len);
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

/* The first column of the first row of a started statement. */
static status one_int(struct db *d, int stmt, uint64_t *out)
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
    return st ? st : one_int(x->db, TICK, out_now);
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

static status changed(struct index *x, status st, uint64_t *out_rows)
{
    if (!st)
        *out_rows = (uint64_t)db_changes(x->db);
    return st;
}

status index_evict(struct index *x, int max, uint64_t *out_rows)
{
    return changed(x, db_run(x->db, EVICT, "i", (int64_t)max), out_rows);
}

status index_remove(struct index *x, enum cache_scope scope, const struct cache_key *key, int max,
                    uint64_t *out_rows)
{
    switch (scope) {
    case CACHE_ALL:
        return changed(x, db_run(x->db, REMOVE_ALL, "i", (int64_t)max), out_rows);
    case CACHE_PROFILE:
        return changed(
            x, db_run(x->db, REMOVE_PROFILE, "ib", (int64_t)max, key->profile.byte, digest_len),
            out_rows);
    case CACHE_KEY:
        return changed(x,
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

/* ---- packs ---- */

static struct index_pack read_pack(struct db *d, int stmt)
{
    return (struct index_pack){.id = (uint32_t)db_int(d, stmt, 0),
                               .sealed = db_int(d, stmt, 1) != 0,
                               .bytes = (uint64_t)db_int(d, stmt, 2),
                               .live_bytes = (uint64_t)db_int(d, stmt, 3),
                               .live_count = (uint64_t)db_int(d, stmt, 4)};
}

status index_pack_get(struct index *x, uint32_t id, struct index_pack *out)
{
    status st = db_start(x->db, PACK_GET, "i", (int64_t)id);
    if (!st)
        st = db_step(x->db, PACK_GET);
    if (st)
        return st;
    *out = read_pack(x->db, PACK_GET);
    db_reset(x->db, PACK_GET);
    return STATUS_OK;
}

status index_pack_set(struct index *x, uint32_t id, uint64_t bytes, bool sealed)
{
    return db_run(x->db, PACK_SET, "iii", (int64_t)id, (int64_t)bytes, (int64_t)sealed);
}

status index_pack_drop(struct index *x, uint32_t id, uint64_t *out_rows)
{
    status st = changed(x, db_run(x->db, PACK_ROWS_DROP, "i", (int64_t)id), out_rows);
    return st ? st : db_run(x->db, PACK_DROP, "i", (int64_t)id);
}

status index_packs(struct index *x, struct index_pack **out, size_t *out_n)
{
    AUTO(buf_done) struct buf b = BUF_INIT(SIZE_MAX / 2);
    status st = db_start(x->db, PACKS, "");
    size_t n = 0;
    while (!st && !(st = db_step(x->db, PACKS))) {
        struct index_pack p = read_pack(x->db, PACKS);
        st = buf_add(&b, &p, sizeof p);
        n++;
    }
    if (st != STATUS_NOT_FOUND) {
        db_reset(x->db, PACKS);
        return st;
    }
    *out = (struct index_pack *)(void *)TAKE(b.data);
    *out_n = n;
    return STATUS_OK;
}

status index_new_pack(struct index *x, uint32_t above, uint32_t *out_id)
{
    uint64_t id = 0;
    status st = db_start(x->db, NEW_PACK, "i", (int64_t)above);
    if (!st)
        st = one_int(x->db, NEW_PACK, &id);
    if (st)
        return st;
    if (id < 1 || id > UINT32_MAX)
        return STATUS_LIMIT;
    *out_id = (uint32_t)id;
    return STATUS_OK;
}

status index_old_packs(struct index *x, uint32_t *ids, int max, int *out_n)
{
    int n = 0;
    status st = db_start(x->db, OLD_PACKS, "i", (int64_t)max);
    if (st)
        return st;
    while (n < max && !(st = db_step(x->db, OLD_PACKS)))
        ids[n++] = (uint32_t)db_int(x->db, OLD_PACKS, 0);
    db_reset(x->db, OLD_PACKS);
    if (st && st != STATUS_NOT_FOUND)
        return st;
    *out_n = n;
    return STATUS_OK;
}

/* ---- memo and file ---- */

static status read_memo(struct db *d, struct cache_memo *out)
{
    struct cache_memo m = {
        .format = (uint32_t)db_int(d, MEMO_GET, 0),
        .shape = {(uint32_t)db_int(d, MEMO_GET, 1), (uint32_t)db_int(d, MEMO_GET, 2),
                  (uint32_t)db_int(d, MEMO_GET, 3)},
    };
    size_t len = 0;
    status st = db_blob(d, MEMO_GET, 4, m.pixels.byte, digest_len);
    if (!st)
        st = db_blob_upto(d, MEMO_GET, 5, m.info, CACHE_MEMO_INFO_MAX, &len);
    m.info_len = (uint32_t)len;
    if (!st)
        *out = m;
    return st;
}

status index_memo_get(struct index *x, const struct digest *source, struct cache_memo *out)
{
    if (x->version < 2) /* its memos are bound to nothing */
        return STATUS_NOT_FOUND;
    status st = db_start(x->db, MEMO_GET, "b", source->byte, digest_len);
    if (!st)
        st = db_step(x->db, MEMO_GET);
    if (st)
        return st;
    st = read_memo(x->db, out);
    db_reset(x->db, MEMO_GET);
    return st;
}

status index_memo_put(struct index *x, const struct digest *source, const struct cache_memo *m,
                      uint64_t now)
{
    return db_run(x->db, MEMO_PUT, "biiiibbi", source->byte, digest_len, (int64_t)m->format,
                  (int64_t)m->shape.width, (int64_t)m->shape.height, (int64_t)m->shape.channels,
                  m->pixels.byte, digest_len, m->info, (size_t)m->info_len, (int64_t)now);
}

status index_file_get(struct index *x, const struct cache_file_id *id, struct digest *out_source)
{
    if (x->version < 2)
        return STATUS_NOT_FOUND;
    status st = db_start(x->db, FILE_GET, "iiiii", (int64_t)id->device, (int64_t)id->inode,
                         (int64_t)id->size, id->mtime_ns, id->ctime_ns);
    if (!st)
        st = db_step(x->db, FILE_GET);
    if (st)
        return st;
    struct digest d;
    st = db_blob(x->db, FILE_GET, 0, d.byte, digest_len);
    db_reset(x->db, FILE_GET);
    if (!st)
        *out_source = d;
    return st;
}

status index_file_put(struct index *x, const struct cache_file_id *id, const struct digest *source,
                      uint64_t now)
{
    return db_run(x->db, FILE_PUT, "iiiiibi", (int64_t)id->device, (int64_t)id->inode,
                  (int64_t)id->size, id->mtime_ns, id->ctime_ns, source->byte, digest_len,
                  (int64_t)now);
}

static status prune(struct index *x, int count, int delete, uint64_t max, uint64_t *out_rows)
{
    uint64_t have = 0;
    status st = db_start(x->db, count, "");
    if (!st)
        st = one_int(x->db, count, &have);
    if (st)
        return st;
    if (have <= max) {
        *out_rows = 0;
        return STATUS_OK;
    }
    return changed(x, db_run(x->db, delete, "i", (int64_t)(have - max + max / 16)), out_rows);
}

status index_memo_prune(struct index *x, uint64_t max, uint64_t *out_rows)
{
    return prune(x, MEMO_COUNT, MEMO_PRUNE, max, out_rows);
}

status index_file_prune(struct index *x, uint64_t max, uint64_t *out_rows)
{
    return prune(x, FILE_COUNT, FILE_PRUNE, max, out_rows);
}

status index_memos_clear(struct index *x)
{
    status st = db_run(x->db, MEMO_CLEAR, "");
    return st ? st : db_run(x->db, FILE_CLEAR, "");
}

status index_totals(struct index *x, struct index_totals *out)
{
    status st = db_start(x->db, TOTALS, "");
    if (!st)
        st = db_step(x->db, TOTALS);
    if (st)
        return st == STATUS_NOT_FOUND ? STATUS_CORRUPT : st;
    uint64_t v[8];
    for (int i = 0; i < 8; i++)
        v[i] = (uint64_t)db_int(x->db, TOTALS, i);
    db_reset(x->db, TOTALS);
    *out = (struct index_totals){v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]};
    return STATUS_OK;
}
