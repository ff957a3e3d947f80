#include "db.h"

#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>

struct db {
    sqlite3 *handle;
    const char *const *sql;
    int n;
    sqlite3_stmt **stmt; /* n, NULL until used */
    bool exclusive;      /* without shared memory */
};

static status status_from_sqlite(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return STATUS_OK;
    case SQLITE_NOMEM:
        return STATUS_NOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL: /* too many began to read in one moment */
        return STATUS_BUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
    case SQLITE_ERROR: /* "no such table": not our schema, since our SQL is constant */
    case SQLITE_MISMATCH:
        return STATUS_CORRUPT;
    case SQLITE_FULL:
        return STATUS_NO_SPACE;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
        return STATUS_DENIED;
    case SQLITE_CANTOPEN:
        return STATUS_NOT_FOUND;
    case SQLITE_IOERR:
        return rc == SQLITE_IOERR_NOMEM ? STATUS_NOMEM : STATUS_IO;
    case SQLITE_INTERRUPT:
        return STATUS_CANCELLED;
    case SQLITE_CONSTRAINT: /* STRICT types and NOT NULL: somebody else wrote there */
        return STATUS_CORRUPT;
    default:
        return STATUS_INTERNAL;
    }
}

/* The result of the last call on d. A file or log that cannot be made is SQLITE_CANTOPEN whatever
   the reason is. */
static status status_of(struct db *d, int rc)
{
    if (rc == SQLITE_IOERR_SHMSIZE)
        return STATUS_NO_SPACE;
    if (rc == SQLITE_CANTOPEN_SYMLINK)
        return STATUS_DENIED;
    int kind = rc & 0xff;
    if ((kind == SQLITE_CANTOPEN || kind == SQLITE_IOERR) && d->handle) {
        status st = status_from_errno(sqlite3_system_errno(d->handle));
        if (st == STATUS_NO_SPACE || st == STATUS_DENIED)
            return st;
    }
    return status_from_sqlite(rc);
}

/* Written into the file, so only into one that is still empty: it would take a transaction at every
   opening, for which a full disk has no room. */
static const char *const pragmas_create = "PRAGMA auto_vacuum=INCREMENTAL;";
/* synchronous=NORMAL: see index.c for why a lost commit is harmless and a wrong one impossible. */
static const char *const pragmas_write = "PRAGMA journal_mode=WAL;"
                                         "PRAGMA synchronous=NORMAL;"
                                         "PRAGMA journal_size_limit=16777216;"
                                         "PRAGMA temp_store=MEMORY;"
                                         "PRAGMA cell_size_check=ON;"
                                         "PRAGMA trusted_schema=OFF;";
static const char *const pragmas_read = "PRAGMA temp_store=MEMORY;"
                                        "PRAGMA cell_size_check=ON;"
                                        "PRAGMA trusted_schema=OFF;";

/* A path as a file: URI, so that ? and % in it stay what they are. */
static char *path_uri(const char *path, const char *query)
{
    AUTO(buf_done) struct buf b = BUF_INIT(64 << 10);
    status st = buf_addf(&b, "file:");
    for (const char *p = path; !st && *p; p++)
        st = strchr("?#%", *p) ? buf_addf(&b, "%%%02X", (unsigned char)*p) : buf_add(&b, p, 1);
    if (!st)
        st = buf_addf(&b, "%s", query);
    return st ? NULL : mem_strdup(b.data);
}

static status connect_file(struct db *d, const char *path, const char *query, int flags)
{
    AUTO(mem_free) char *uri = path_uri(path, query);
    if (!uri)
        return STATUS_NOMEM;
    const int always =
        SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_NOFOLLOW;
    status st = status_of(d, sqlite3_open_v2(uri, &d->handle, flags | always, NULL));
    if (st)
        return st;
    sqlite3_busy_timeout(d->handle, DB_BUSY_MS);
    if (d->exclusive)
        st = db_exec(d, "PRAGMA locking_mode=EXCLUSIVE");
    if (st)
        return st;
    return db_exec(d, "SELECT 1 FROM sqlite_schema LIMIT 1"); /* touches the file */
}

static status read_pragma(struct db *d, const char *sql, int64_t *out)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(d->handle, sql, -1, &s, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return rc == SQLITE_ROW ? STATUS_OK : rc == SQLITE_DONE ? STATUS_CORRUPT : status_of(d, rc);
}

static void disconnect(struct db *d)
{
    sqlite3_close(d->handle);
    d->handle = NULL;
}

/* A log with something in it is read as well, into memory of this process. */
static status connect_still(struct db *d, const char *path)
{
    AUTO(mem_free) char *wal = mem_printf("%s-wal", path);
    struct stat sb;
    if (!wal)
        return STATUS_NOMEM;
    if (stat(wal, &sb) < 0 || sb.st_size == 0)
        return connect_file(d, path, "?immutable=1", SQLITE_OPEN_READONLY);
    d->exclusive = true;
    return connect_file(d, path, "?vfs=unix-none", SQLITE_OPEN_READONLY);
}

/* WAL wants to make its -shm file. Where that cannot be made or has no room, nobody else has made
   it and is writing. */
static status connect_read(struct db *d, const char *path)
{
    status st = connect_file(d, path, "", SQLITE_OPEN_READONLY);
    if (st != STATUS_NOT_FOUND && st != STATUS_DENIED && st != STATUS_NO_SPACE)
        return st;
    if (access(path, R_OK) < 0)
        return st;
    disconnect(d);
    return connect_still(d, path);
}

static status connect_write(struct db *d, const char *path, bool create)
{
    int64_t pages = 0;
    status st =
        connect_file(d, path, "", SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0));
    if (!st && create)
        st = read_pragma(d, "PRAGMA page_count", &pages);
    if (!st && create && pages == 0)
        st = db_exec(d, pragmas_create);
    return st;
}

status db_open(const char *path, enum db_mode mode, const char *const *sql, int n, struct db **out,
               struct errmsg *e)
{
    AUTO(db_close) struct db *d = mem_zalloc(1, sizeof *d);
    if (!d)
        return errmsg_set(e, STATUS_NOMEM, "cannot open %s: out of memory", path);
    d->sql = sql;
    d->n = n;
    d->stmt = mem_zalloc((size_t)n, sizeof(sqlite3_stmt *));
    if (!d->stmt)
        return errmsg_set(e, STATUS_NOMEM, "cannot open %s: out of memory", path);
    status st;
    if (mode == DB_STILL)
        st = connect_still(d, path);
    else if (mode == DB_READ)
        st = connect_read(d, path);
    else
        st = connect_write(d, path, mode == DB_CREATE);
    if (!st)
        st = db_exec(d, mode == DB_READ || mode == DB_STILL ? pragmas_read : pragmas_write);
    if (st == STATUS_NO_SPACE || st == STATUS_DENIED || !d->handle)
        return errmsg_set(e, st, "cannot open %s: %s", path, status_text(st));
    if (st)
        return errmsg_set(e, st, "cannot open %s: %s", path, sqlite3_errmsg(d->handle));
    *out = TAKE(d);
    return STATUS_OK;
}

void db_close(struct db *d)
{
    if (!d)
        return;
    for (int i = 0; d->stmt && i < d->n; i++)
        sqlite3_finalize(d->stmt[i]);
    mem_free(d->stmt);
    sqlite3_close(d->handle);
    mem_free(d);
}

/* ---- versions ---- */

/* *out_version 0 only for an empty file. */
static status read_version(struct db *d, int32_t app_id, int64_t *out_version)
{
    int64_t version = 0, id = 0, tables = 0;
    status st = read_pragma(d, "PRAGMA user_version", &version);
    if (!st)
        st = read_pragma(d, "PRAGMA application_id", &id);
    if (!st)
        st = read_pragma(d, "SELECT COUNT(*) FROM sqlite_schema", &tables);
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

/* ---- statements ---- */

status db_exec(struct db *d, const char *sql)
{
    return status_of(d, sqlite3_exec(d->handle, sql, NULL, NULL, NULL));
}

status db_short_log(struct db *d)
{
    return db_exec(d, "PRAGMA wal_autocheckpoint=8; PRAGMA wal_checkpoint(TRUNCATE)");
}

status db_long_log(struct db *d)
{
    return db_exec(d, "PRAGMA wal_autocheckpoint=1000");
}

status db_begin(struct db *d)
{
    return db_exec(d, "BEGIN IMMEDIATE");
}

status db_commit(struct db *d)
{
    return db_exec(d, "COMMIT");
}

void db_rollback(struct db *d)
{
    if (!sqlite3_get_autocommit(d->handle))
        status_ignore(db_exec(d, "ROLLBACK"), "closing the connection rolls back as well");
}

static status prepare(struct db *d, int stmt)
{
    if (d->stmt[stmt])
        return STATUS_OK;
    return status_of(d, sqlite3_prepare_v3(d->handle, d->sql[stmt], -1, SQLITE_PREPARE_PERSISTENT,
                                           &d->stmt[stmt], NULL));
}

status db_prepare_all(struct db *d)
{
    status st = STATUS_OK;
    for (int i = 0; !st && i < d->n; i++)
        st = prepare(d, i);
    return st;
}

static status start_va(struct db *d, int stmt, const char *fmt, va_list args)
{
    status st = prepare(d, stmt);
    if (st)
        return st;
    sqlite3_stmt *s = d->stmt[stmt];
    sqlite3_reset(s);
    int rc = SQLITE_OK;
    for (int i = 0; fmt[i] && rc == SQLITE_OK; i++) {
        if (fmt[i] == 'i') {
            rc = sqlite3_bind_int64(s, i + 1, va_arg(args, int64_t));
        } else {
            const void *data = va_arg(args, const void *);
            rc = sqlite3_bind_blob64(s, i + 1, data, va_arg(args, size_t), SQLITE_STATIC);
        }
    }
    return status_from_sqlite(rc);
}

status db_start(struct db *d, int stmt, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    status st = start_va(d, stmt, fmt, args);
    va_end(args);
    return st;
}

status db_step(struct db *d, int stmt)
{
    int rc = sqlite3_step(d->stmt[stmt]);
    if (rc == SQLITE_ROW)
        return STATUS_OK;
    sqlite3_reset(d->stmt[stmt]);
    return rc == SQLITE_DONE ? STATUS_NOT_FOUND : status_of(d, rc);
}

void db_reset(struct db *d, int stmt)
{
    sqlite3_reset(d->stmt[stmt]);
}

status db_run(struct db *d, int stmt, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    status st = start_va(d, stmt, fmt, args);
    va_end(args);
    while (!st)
        st = db_step(d, stmt);
    return st == STATUS_NOT_FOUND ? STATUS_OK : st;
}

int64_t db_changes(struct db *d)
{
    return sqlite3_changes64(d->handle);
}

int64_t db_int(struct db *d, int stmt, int col)
{
    return sqlite3_column_int64(d->stmt[stmt], col);
}

status db_blob_upto(struct db *d, int stmt, int col, void *out, size_t max, size_t *out_len)
{
    const void *data = sqlite3_column_blob(d->stmt[stmt], col);
    size_t len = (size_t)sqlite3_column_bytes(d->stmt[stmt], col);
    if (len > max)
        return STATUS_CORRUPT;
    if (len > 0 && !data)
        return STATUS_NOMEM;
    if (len > 0)
        memcpy(out, data, len);
    *out_len = len;
    return STATUS_OK;
}

status db_blob(struct db *d, int stmt, int col, void *out, size_t len)
{
    if ((size_t)sqlite3_column_bytes(d->stmt[stmt], col) != len)
        return STATUS_CORRUPT;
    size_t n;
    return db_blob_upto(d, stmt, col, out, len, &n);
}

/* ---- the file ---- */

bool db_moved(struct db *d)
{
    int moved = 0;
    return sqlite3_file_control(d->handle, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK &&
           moved;
}

status db_self_check(struct db *d)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(d->handle, "PRAGMA quick_check(1)", -1, &s, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    status st = status_from_sqlite(rc);
    if (rc == SQLITE_ROW) {
        const char *said = (const char *)sqlite3_column_text(s, 0);
        st = said && strcmp(said, "ok") == 0 ? STATUS_OK : STATUS_CORRUPT;
    }
    sqlite3_finalize(s);
    return st;
}
