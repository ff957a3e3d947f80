/*
 * index.sqlite: opening, replacing, versions.
 *
 * Why synchronous=NORMAL is enough. In WAL mode it syncs the log only before a checkpoint, so a
 * power cut may lose the last transactions, but always a suffix of them, never a part of one.
 *  1. A row is committed after the record it names was synced (writer.c), so whatever prefix of the
 *     transactions survives, every row in it names durable bytes.
 *  2. The same transaction sets packs.bytes to the end of those records. If it is lost, the file is
 *     longer than packs.bytes says, and recovery (recover.c) reads the rest of the file and adds
 *     the rows again. So nothing that was synced is lost either.
 *  3. Moving a record (room.c) is: copy, sync, commit the new place, delete the old pack. If the
 *     commit is lost after the deletion took effect, the row names a pack that is gone; recovery
 *     deletes rows of missing packs first and then finds the copies by 2.
 *  4. Deleting rows and then their pack: if the commit is lost, again rows of a missing pack.
 *  5. If the index is damaged all the same, no row is believed without the record's own header
 *     (key, shape, checksums). A wrong row costs a miss.
 *
 * Why replacing the file under other processes is safe. It is renamed, log first, so that the log
 * can never be replayed into a new file; those who have it open go on with the renamed one and
 * SQLite neither checkpoints nor deletes a log by name when the database has moved. Before each
 * batch the writer compares (db_moved) and opens the new one. What it committed into the renamed
 * file in between is in a pack that it holds locked, longer than the new index knows: case 2.
 * DIR/lock is held (flock) alone while the index is created or renamed, so that two processes do
 * not both replace it. It is held shared while a connection is opened, until SQLite has its log
 * open, and while one is closed: SQLite opens and deletes the log by name, which must not be that
 * of another file by then.
 */
#include "index_file.h"
#include "site.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

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

static const char *const suffixes[] = {"-wal", "-shm", ""}; /* in the order they are renamed */

static char *index_path(const char *dir)
{
    return mem_printf("%s/index.sqlite", dir);
}

static int last_version(void)
{
    return index_migrations[index_migration_count - 1].version;
}

/* Only what is certainly a foreign or torn file may be renamed away. */
static status open_checked(struct index *x, enum db_mode mode, struct errmsg *e)
{
    if (mode == DB_CREATE) {
        status st = db_migrate(x->db, INDEX_APP_ID, index_migrations, index_migration_count, e);
        return st ? st : db_prepare_all(x->db);
    }
    status st = db_check_version(x->db, INDEX_APP_ID, last_version());
    x->version = last_version();
    for (int older = last_version() - 1; st == STATUS_NOT_FOUND && mode != DB_WRITE && older > 0;
         older--) {
        st = db_check_version(x->db, INDEX_APP_ID, older); /* BAD_VERSION: not as old as that */
        x->version = older;
    }
    return st ? errmsg_set(e, st, "the index is of another version or damaged") : STATUS_OK;
}

/* flock has no time limit of its own. */
static status flock_within(int fd, int op, uint64_t limit_ns)
{
    uint64_t until = time_mono_ns() + limit_ns;
    for (unsigned wait_us = 100;; wait_us = wait_us < 20000 ? wait_us * 2 : wait_us) {
        if (flock(fd, op | LOCK_NB) == 0)
            return STATUS_OK;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return status_from_errno(errno);
        if (time_mono_ns() >= until)
            return STATUS_BUSY;
        usleep(wait_us);
    }
}

/* Holds DIR/lock until *out_fd is closed: alone (op LOCK_EX), or with others (LOCK_SH; NOT_FOUND
   when nobody ever made it). */
static status lock_dir(const char *dir, int op, int *out_fd, struct errmsg *e)
{
    AUTO(mem_free) char *path = mem_printf("%s/lock", dir);
    AUTO(fd_close) int fd = -1;
    if (!path)
        return errmsg_set(e, STATUS_NOMEM, "cannot lock %s: out of memory", dir);
    status st = site_open(path, op == LOCK_EX ? O_RDWR | O_CREAT : O_RDONLY, &fd, e);
    if (st)
        return st;
    uint64_t limit_ns = op == LOCK_EX ? INDEX_LOCK_NS : INDEX_LOOK_NS;
    st = flock_within(fd, op, limit_ns);
    if (st == STATUS_BUSY)
        return errmsg_set(e, st,
                          "another process has held %s for %d s, which takes moments otherwise "
                          "(lslocks names it; end it and try again)",
                          path, (int)(limit_ns / 1000000000u));
    if (st)
        return errmsg_set(e, st, "cannot lock %s: %s", path, status_text(st));
    *out_fd = TAKE_FD(fd);
    return STATUS_OK;
}

/* SQLite opens these by name. */
static status check_files(const char *dir, struct errmsg *e)
{
    static const char *const all[] = {"", "-wal", "-shm", "-journal"};
    status st = STATUS_OK;
    for (size_t i = 0; !st && i < ARRAY_LEN(all); i++) {
        AUTO(mem_free) char *path = mem_printf("%s/index.sqlite%s", dir, all[i]);
        st = path ? site_check_file(path, e)
                  : errmsg_set(e, STATUS_NOMEM, "cannot open the index in %s: out of memory", dir);
    }
    return st;
}

/* DIR/lock is held, or the connection never used its log. */
static void free_index(struct index *x)
{
    db_close(x->db);
    mem_free(x->dir);
    mem_free(x);
}
DEFINE_FREEP(struct index *, free_index)

/* DIR/lock is held. */
static status open_file(const char *dir, enum db_mode mode, struct index **out, struct errmsg *e)
{
    AUTO(mem_free) char *path = index_path(dir);
    AUTO(free_index) struct index *x = mem_zalloc(1, sizeof *x);
    if (x)
        x->dir = mem_strdup(dir);
    if (!path || !x || !x->dir)
        return errmsg_set(e, STATUS_NOMEM, "cannot open the index in %s: out of memory", dir);
    status st = check_files(dir, e);
    if (!st)
        st = db_open(path, mode, index_sql, index_sql_count, &x->db, e);
    if (st)
        return st;
    st = open_checked(x, mode, e);
    if (st)
        return errmsg_prefix(e, st, "%s", path);
    *out = TAKE(x);
    return STATUS_OK;
}

status index_open(const char *dir, enum db_mode mode, struct index **out, struct errmsg *e)
{
    AUTO(fd_close) int lock = -1;
    if (mode != DB_STILL) {
        status st = lock_dir(dir, LOCK_SH, &lock, e);
        if (st && st != STATUS_NOT_FOUND)
            return st;
    }
    return open_file(dir, mode, out, e);
}

void index_close(struct index *x)
{
    AUTO(fd_close) int lock = -1;
    if (!x)
        return;
    status_ignore(lock_dir(x->dir, LOCK_SH, &lock, NULL),
                  "without descriptors left, or without the lock, close all the same");
    free_index(x);
}

bool index_moved(struct index *x)
{
    return db_moved(x->db);
}

struct db *index_db(struct index *x)
{
    return x->db;
}

status index_self_check(struct index *x)
{
    return db_self_check(x->db);
}

status index_shrink(struct index *x)
{
    status st = db_exec(x->db, "PRAGMA incremental_vacuum");
    return st ? st : db_exec(x->db, "PRAGMA wal_checkpoint(TRUNCATE)");
}

status index_short_log(struct index *x)
{
    return db_short_log(x->db);
}

status index_long_log(struct index *x)
{
    return db_long_log(x->db);
}

/* ---- replacing ---- */

static bool aside_taken(const char *path, unsigned n)
{
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        AUTO(mem_free) char *to = mem_printf("%s.aside-%u%s", path, n, suffixes[i]);
        if (!to || access(to, F_OK) == 0)
            return true;
    }
    return false;
}

/* The lock is held. */
static status rename_aside(const char *dir, struct errmsg *e)
{
    AUTO(mem_free) char *path = index_path(dir);
    if (!path)
        return errmsg_set(e, STATUS_NOMEM, "cannot rename the index aside: out of memory");
    unsigned n = 1;
    while (n < 1000 && aside_taken(path, n))
        n++;
    if (n == 1000)
        return errmsg_set(e, STATUS_LIMIT,
                          "%s: too many damaged indexes (relearn cache gc --aside)", dir);
    status st = STATUS_OK;
    for (size_t i = 0; !st && i < ARRAY_LEN(suffixes); i++) {
        AUTO(mem_free) char *from = mem_printf("%s%s", path, suffixes[i]);
        AUTO(mem_free) char *to = mem_printf("%s.aside-%u%s", path, n, suffixes[i]);
        st = from && to ? io_rename(AT_FDCWD, from, to) : STATUS_NOMEM;
        if (st == STATUS_NOT_FOUND)
            st = STATUS_OK;
    }
    if (!st)
        st = io_sync_dir(dir);
    return st ? errmsg_set(e, st, "cannot rename %s aside: %s", path, status_text(st)) : STATUS_OK;
}

/* So that SQLite's files are nobody else's to open, and a log that outlived its
   database is never replayed into the new one. A file with something in it is not opened here:
   closing it would drop the POSIX locks of this process's other connections to it. */
static status create_file(const char *dir, struct errmsg *e)
{
    AUTO(mem_free) char *path = index_path(dir);
    AUTO(mem_free) char *wal = path ? mem_printf("%s-wal", path) : NULL;
    if (!wal)
        return errmsg_set(e, STATUS_NOMEM, "cannot create the index: out of memory");
    struct stat sb;
    if (lstat(path, &sb) == 0 && S_ISREG(sb.st_mode) && sb.st_size > 0) {
        if (sb.st_uid == geteuid() && sb.st_mode & 077)
            (void)chmod(path, SITE_FILE_MODE); /* SQLite gives its log the same */
        return STATUS_OK;
    }
    if (access(wal, F_OK) == 0) {
        status st = rename_aside(dir, e);
        if (st)
            return st;
    }
    AUTO(fd_close) int fd = -1;
    return site_open(path, O_RDWR | O_CREAT, &fd, e);
}

static status attach_locked(const char *dir, struct index **out, bool *out_fresh, struct errmsg *e)
{
    status st = create_file(dir, e);
    if (!st)
        st = open_file(dir, DB_CREATE, out, e);
    if (st != STATUS_CORRUPT)
        return st;
    st = rename_aside(dir, e);
    if (!st)
        st = create_file(dir, e);
    if (!st)
        st = open_file(dir, DB_CREATE, out, e);
    if (!st)
        *out_fresh = true;
    return st;
}

status index_attach(const char *dir, struct index **out, bool *out_fresh, struct errmsg *e)
{
    AUTO(fd_close) int lock = -1;
    status st = lock_dir(dir, LOCK_EX, &lock, e);
    if (st)
        return st;
    *out_fresh = false;
    return attach_locked(dir, out, out_fresh, e);
}

status index_put_aside(const char *dir, struct index *x, struct errmsg *e)
{
    AUTO(fd_close) int lock = -1;
    status st = lock_dir(dir, LOCK_EX, &lock, e);
    if (st)
        return st;
    return index_moved(x) ? STATUS_OK : rename_aside(dir, e);
}
