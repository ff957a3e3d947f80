/* The index's rows of packs, and what all tables hold together. */
#include "statements.h"

static status read_pack(struct db *d, int stmt, struct index_pack *out)
{
    struct index_pack p = {.sealed = db_int(d, stmt, 1) != 0};
    status st = statement_u32(d, stmt, 0, &p.id);
    if (!st)
        st = statement_u63(d, stmt, 2, &p.bytes);
    if (!st)
        st = statement_u63(d, stmt, 3, &p.live_bytes);
    if (!st)
        st = statement_u63(d, stmt, 4, &p.live_count);
    if (!st)
        *out = p;
    return st;
}

status index_pack_get(struct index *x, uint32_t id, struct index_pack *out)
{
    status st = db_start(x->db, PACK_GET, "i", (int64_t)id);
    if (!st)
        st = db_step(x->db, PACK_GET);
    if (st)
        return st;
    st = read_pack(x->db, PACK_GET, out);
    db_reset(x->db, PACK_GET);
    return st;
}

status index_pack_set(struct index *x, uint32_t id, uint64_t bytes, bool sealed)
{
    return db_run(x->db, PACK_SET, "iii", (int64_t)id, (int64_t)bytes, (int64_t)sealed);
}

status index_pack_drop(struct index *x, uint32_t id, uint64_t *out_rows)
{
    status st = statement_changes(x->db, db_run(x->db, PACK_ROWS_DROP, "i", (int64_t)id), out_rows);
    return st ? st : db_run(x->db, PACK_DROP, "i", (int64_t)id);
}

status index_packs(struct index *x, struct index_pack **out, size_t *out_n)
{
    AUTO(buf_done) struct buf b = BUF_INIT(SIZE_MAX / 2);
    status st = db_start(x->db, PACKS, "");
    size_t n = 0;
    while (!st && !(st = db_step(x->db, PACKS))) {
        struct index_pack p;
        st = read_pack(x->db, PACKS, &p);
        if (!st)
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
        st = statement_int(x->db, NEW_PACK, &id);
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
