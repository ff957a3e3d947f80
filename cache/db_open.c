/* Connecting to a database file: for reading and writing, for reading, and where nothing can be
   written. */
#include "db_sqlite.h"

#include <string.h>
#include <sys/stat.h>

/* Written into the file, so only into one that is still empty: it would take a transaction at every
   opening, for which a full disk has no space. */
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
    status st = db_status(d, sqlite3_open_v2(uri, &d->handle, flags | always, NULL));
    if (st)
        return st;
    sqlite3_busy_timeout(d->handle, DB_BUSY_MS);
    if (d->exclusive)
        st = db_exec(d, "PRAGMA locking_mode=EXCLUSIVE");
    if (st)
        return st;
    return db_exec(d, "SELECT 1 FROM sqlite_schema LIMIT 1"); /* touches the file */
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

/* WAL wants to make its -shm file. Where that cannot be created, no other process has created it,
   so none is writing. */
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
        st = db_read_number(d, "PRAGMA page_count", &pages);
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
