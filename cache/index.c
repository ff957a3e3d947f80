/*
 * index.sqlite: opening and closing, and why it can be trusted.
 *
 * Why synchronous=NORMAL is enough. In WAL mode it syncs the log only before a checkpoint, so a
 * power cut may lose the last transactions, but always a suffix of them, never a part of one.
 *  1. A row is committed after the record it names was synced (writer.c), so whatever prefix of the
 *     transactions survives, every row in it names durable bytes.
 *  2. The same transaction sets packs.bytes to the end of those records. If it is lost, the file is
 *     longer than packs.bytes says, and recovery (recover.c) reads the rest of the file and adds
 *     the rows again. So nothing that was synced is lost either.
 *  3. Moving a record (compact.c) is: copy, sync, commit the new place, delete the old pack. If the
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

char *index_path(const char *dir)
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

status index_lock(const char *dir, int op, int *out_fd, struct errmsg *e)
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

status index_open_locked(const char *dir, enum db_mode mode, struct index **out, struct errmsg *e)
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
        status st = index_lock(dir, LOCK_SH, &lock, e);
        if (st && st != STATUS_NOT_FOUND)
            return st;
    }
    return index_open_locked(dir, mode, out, e);
}

void index_close(struct index *x)
{
    AUTO(fd_close) int lock = -1;
    if (!x)
        return;
    status_ignore(index_lock(x->dir, LOCK_SH, &lock, NULL),
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
