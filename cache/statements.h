#ifndef CACHE_STATEMENTS_H
#define CACHE_STATEMENTS_H
/* The SQL of the index, a name and a text each; parameters are bound in order. The tables are
   described in schema.c. */
#include "index_file.h"

/* Rows whose profile or object is pinned are not evicted. */
#define UNPINNED                                                                                   \
    "NOT EXISTS (SELECT 1 FROM pins p WHERE p.profile = o.profile AND p.pixels IN (x'', "          \
    "o.pixels))"
#define ROW "o.id, o.pixels, f.digest, o.width, o.height, o.channels, o.pack, o.offset, o.used"
#define FROM_OBJECTS " FROM objects o JOIN profiles f ON f.id = o.profile "
/* As record_bytes: a header of 128 and the pixels, up to a multiple of 64. */
#define RECORD_BYTES "((128 + width * height * channels + 63) / 64 * 64)"
#define PROFILE(n) "(SELECT id FROM profiles WHERE digest = ?" #n ")"
#define ADD                                                                                        \
    "INSERT INTO objects (profile, pixels, pack, offset, bytes, width, height, channels, used) "   \
    "VALUES (" PROFILE(1) ", ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) "

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
    X(DROP_LOST, "DELETE FROM objects WHERE id IN (SELECT id FROM objects WHERE offset < 0 OR "    \
                 "pack NOT IN (SELECT id FROM packs) OR profile NOT IN (SELECT id FROM profiles) " \
                 "LIMIT ?1)")                                                                      \
    X(MEASURE_ROWS, "UPDATE objects SET bytes = " RECORD_BYTES " WHERE bytes != " RECORD_BYTES)    \
    X(COUNT_ROWS, "UPDATE packs SET live_count = n, live_bytes = b FROM (SELECT p.id AS pack, "    \
                  "COUNT(o.id) AS n, COALESCE(SUM(o.bytes), 0) AS b FROM packs p LEFT JOIN "       \
                  "objects o ON o.pack = p.id GROUP BY p.id) WHERE id = pack AND "                 \
                  "(live_count != n OR live_bytes != b)")                                          \
    X(COUNT_MEMOS, "UPDATE meta SET value = (SELECT COUNT(*) FROM memos) WHERE name = 'memos'")    \
    X(COUNT_FILES, "UPDATE meta SET value = (SELECT COUNT(*) FROM files) WHERE name = 'files'")    \
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

/* A column that we only ever write numbers of 32 or 63 bits to; CORRUPT: it holds another. */
status statement_u32(struct db *d, int stmt, int col, uint32_t *out) MUST_USE;
status statement_u63(struct db *d, int stmt, int col, uint64_t *out) MUST_USE;
/* Three such columns. */
status statement_shape(struct db *d, int stmt, int col, struct cache_shape *out) MUST_USE;
/* The first column of the first row of a started statement, which is then run to its end. CORRUPT:
   there is no row. */
status statement_int(struct db *d, int stmt, uint64_t *out) MUST_USE;
/* st, and when it is OK the rows that the last statement changed. */
status statement_changes(struct db *d, status st, uint64_t *out_rows) MUST_USE;

#endif
