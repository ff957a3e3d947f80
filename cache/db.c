#include "db_sqlite.h"

#include <string.h>

/* ---- status ---- */

status db_status_of_code(int rc)
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
    case SQLITE_CONSTRAINT: /* STRICT types and NOT NULL: another program wrote there */
        return STATUS_CORRUPT;
    default:
        return STATUS_INTERNAL;
    }
}

status db_status(struct db *d, int rc)
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
    return db_status_of_code(rc);
}

/* ---- statements ---- */

status db_read_number(struct db *d, const char *sql, int64_t *out)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(d->handle, sql, -1, &s, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return rc == SQLITE_ROW ? STATUS_OK : rc == SQLITE_DONE ? STATUS_CORRUPT : db_status(d, rc);
}

status db_exec(struct db *d, const char *sql)
{
    return db_status(d, sqlite3_exec(d->handle, sql, NULL, NULL, NULL));
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
    return db_status(d, sqlite3_prepare_v3(d->handle, d->sql[stmt], -1, SQLITE_PREPARE_PERSISTENT,
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
    return db_status_of_code(rc);
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
    return rc == SQLITE_DONE ? STATUS_NOT_FOUND : db_status(d, rc);
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
    status st = db_status_of_code(rc);
    if (rc == SQLITE_ROW) {
        const char *said = (const char *)sqlite3_column_text(s, 0);
        st = said && strcmp(said, "ok") == 0 ? STATUS_OK : STATUS_CORRUPT;
    }
    sqlite3_finalize(s);
    return st;
}
