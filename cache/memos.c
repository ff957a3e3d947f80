/* The index's rows of memos and files. */
#include "statements.h"

static const size_t digest_len = sizeof(struct digest);

static status read_memo(struct db *d, struct cache_memo *out)
{
    struct cache_memo m = {0};
    size_t len = 0;
    status st = statement_u32(d, MEMO_GET, 0, &m.format);
    if (!st)
        st = statement_shape(d, MEMO_GET, 1, &m.shape);
    if (!st)
        st = db_blob(d, MEMO_GET, 4, m.pixels.byte, digest_len);
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
        st = statement_int(x->db, count, &have);
    if (st)
        return st;
    if (have <= max) {
        *out_rows = 0;
        return STATUS_OK;
    }
    return statement_changes(x->db, db_run(x->db, delete, "i", (int64_t)(have - max + max / 16)),
                             out_rows);
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
