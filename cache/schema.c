/* The tables of index.sqlite, version by version. */
#include "index_file.h"

static const char schema_1[] =
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "INSERT INTO meta VALUES ('clock', 0), ('last_pack', 0), ('memos', 0);"
    "CREATE TABLE profiles (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE) STRICT;"
    /* bytes: of the file, as far as its records have rows or are known dead */
    "CREATE TABLE packs (id INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, sealed INTEGER NOT NULL,"
    " live_bytes INTEGER NOT NULL DEFAULT 0, live_count INTEGER NOT NULL DEFAULT 0) STRICT;"
    /* bytes: of the record, header and padding included; used: meta.clock at the last use */
    "CREATE TABLE objects (id INTEGER PRIMARY KEY, profile INTEGER NOT NULL, pixels BLOB NOT NULL,"
    " pack INTEGER NOT NULL, offset INTEGER NOT NULL, bytes INTEGER NOT NULL,"
    " width INTEGER NOT NULL, height INTEGER NOT NULL, channels INTEGER NOT NULL,"
    " used INTEGER NOT NULL, UNIQUE (profile, pixels)) STRICT;"
    "CREATE INDEX objects_used ON objects (used);"
    "CREATE INDEX objects_pack ON objects (pack, offset);"
    "CREATE TRIGGER objects_insert AFTER INSERT ON objects BEGIN UPDATE packs SET live_bytes ="
    " live_bytes + new.bytes, live_count = live_count + 1 WHERE id = new.pack; END;"
    "CREATE TRIGGER objects_delete AFTER DELETE ON objects BEGIN UPDATE packs SET live_bytes ="
    " live_bytes - old.bytes, live_count = live_count - 1 WHERE id = old.pack; END;"
    "CREATE TRIGGER objects_move AFTER UPDATE OF pack, bytes ON objects BEGIN"
    " UPDATE packs SET live_bytes = live_bytes - old.bytes, live_count = live_count - 1"
    " WHERE id = old.pack;"
    " UPDATE packs SET live_bytes = live_bytes + new.bytes, live_count = live_count + 1"
    " WHERE id = new.pack; END;"
    /* pixels empty: the whole profile */
    "CREATE TABLE pins (profile INTEGER NOT NULL, pixels BLOB NOT NULL,"
    " PRIMARY KEY (profile, pixels)) STRICT, WITHOUT ROWID;"
    /* device and inode are unsigned 64 bit numbers stored as the signed ones with the same bits */
    "CREATE TABLE memos (device INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL,"
    " mtime INTEGER NOT NULL, ctime INTEGER NOT NULL, format INTEGER NOT NULL,"
    " width INTEGER NOT NULL, height INTEGER NOT NULL, channels INTEGER NOT NULL,"
    " pixels BLOB NOT NULL, info BLOB NOT NULL, made INTEGER NOT NULL,"
    " PRIMARY KEY (device, inode)) STRICT, WITHOUT ROWID;"
    "CREATE TRIGGER memos_insert AFTER INSERT ON memos BEGIN"
    " UPDATE meta SET value = value + 1 WHERE name = 'memos'; END;"
    "CREATE TRIGGER memos_delete AFTER DELETE ON memos BEGIN"
    " UPDATE meta SET value = value - 1 WHERE name = 'memos'; END;";

/* A memo of version 1 was bound to a file's metadata only, which may stand for other bytes by now:
   those rows are not carried over. */
static const char schema_2[] =
    "DROP TABLE memos;"
    "UPDATE meta SET value = 0 WHERE name = 'memos';"
    "INSERT INTO meta VALUES ('files', 0);"
    "CREATE TABLE memos (source BLOB PRIMARY KEY, format INTEGER NOT NULL,"
    " width INTEGER NOT NULL, height INTEGER NOT NULL, channels INTEGER NOT NULL,"
    " pixels BLOB NOT NULL, info BLOB NOT NULL, made INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TRIGGER memos_insert AFTER INSERT ON memos BEGIN"
    " UPDATE meta SET value = value + 1 WHERE name = 'memos'; END;"
    "CREATE TRIGGER memos_delete AFTER DELETE ON memos BEGIN"
    " UPDATE meta SET value = value - 1 WHERE name = 'memos'; END;"
    /* device and inode as above */
    "CREATE TABLE files (device INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL,"
    " mtime INTEGER NOT NULL, ctime INTEGER NOT NULL, source BLOB NOT NULL, made INTEGER NOT NULL,"
    " PRIMARY KEY (device, inode)) STRICT, WITHOUT ROWID;"
    "CREATE TRIGGER files_insert AFTER INSERT ON files BEGIN"
    " UPDATE meta SET value = value + 1 WHERE name = 'files'; END;"
    "CREATE TRIGGER files_delete AFTER DELETE ON files BEGIN"
    " UPDATE meta SET value = value - 1 WHERE name = 'files'; END;";

const struct db_migration index_migrations[] = {{1, schema_1}, {2, schema_2}};
const int index_migration_count = (int)ARRAY_LEN(index_migrations);
