/*
 * The tar archives that CIFAR is published in. A member is a block of TAR_BLOCK bytes
 *
 *   byte 0    100   its name, ended by a zero byte unless it is that long
 *   byte 124  12    its size, octal; or big-endian with the first bit set
 *   byte 148  8     the sum of the block's bytes, these as blanks; octal
 *   byte 156  1     '0', '7' or a zero byte: a file
 *
 * and its bytes, filled up to whole blocks. A block of zeros ends the archive. Of a member's name
 * only what follows the last slash is looked at, and it only says which batch the member is: nothing
 * is written anywhere.
 */
#include "arrays.h"

#include <stdlib.h>
#include <string.h>

enum {
    SIZE_AT = 124,
    SIZE_BYTES = 12,
    SUM_AT = 148,
    SUM_BYTES = 8,
    TYPE_AT = 156,
    NAME_BYTES = 100
};

/* ---- a member's block ---- */

static bool octal(const uint8_t *p, size_t n, uint64_t *out)
{
    uint64_t v = 0;
    size_t i = 0;
    while (i < n && p[i] == ' ')
        i++;
    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
        v = v << 3 | (uint64_t)(p[i] - '0');
    *out = v;
    return i == n || p[i] == 0 || p[i] == ' ';
}

/* False: negative, or more than 2^63. */
static bool big_endian(const uint8_t *p, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 1; i < SIZE_BYTES; i++) {
        if (v >> 55)
            return false;
        v = v << 8 | p[i];
    }
    *out = v;
    return p[0] == 0x80;
}

static bool has_its_sum(const uint8_t *block)
{
    uint64_t want, sum = 0;
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += i >= SUM_AT && i < SUM_AT + SUM_BYTES ? ' ' : block[i];
    return octal(block + SUM_AT, SUM_BYTES, &want) && want == sum;
}

bool array_is_tar(const struct buf *begin)
{
    return begin->len >= TAR_BLOCK && has_its_sum((const uint8_t *)begin->data);
}

static bool all_zero(const uint8_t *block)
{
    for (size_t i = 0; i < TAR_BLOCK; i++)
        if (block[i])
            return false;
    return true;
}

struct member {
    char name[NAME_BYTES + 1]; /* behind the last slash */
    uint64_t size;
    bool is_file;
};

static status read_member(const uint8_t *block, struct member *out, struct errmsg *e)
{
    char name[NAME_BYTES + 1] = "";
    memcpy(name, block, NAME_BYTES);
    const char *slash = strrchr(name, '/');
    struct member m = {.is_file = strchr("07", block[TYPE_AT]) != NULL}; /* also a zero byte */
    snprintf(m.name, sizeof m.name, "%s", slash ? slash + 1 : name);
    bool good = block[SIZE_AT] & 0x80 ? big_endian(block + SIZE_AT, &m.size)
                                      : octal(block + SIZE_AT, SIZE_BYTES, &m.size);
    if (!has_its_sum(block) || !good)
        return errmsg_set(e, STATUS_CORRUPT, "the tar archive is damaged");
    *out = m;
    return STATUS_OK;
}

/* ---- which members ---- */

struct place {
    enum image_array_part part;
    int order; /* from 1 on */
};

/* data_batch_N, train, test_batch, test; in the binary version with .bin. */
static bool find_place(const char *name, struct place *out)
{
    static const struct {
        const char *name;
        enum image_array_part part;
    } single[] = {
        {"train", IMAGE_ARRAY_TRAIN}, {"test", IMAGE_ARRAY_TEST}, {"test_batch", IMAGE_ARRAY_TEST}};
    static const char numbered[] = "data_batch_";
    char stem[NAME_BYTES + 1];
    snprintf(stem, sizeof stem, "%s", name);
    size_t len = strlen(stem);
    if (len > 4 && strcmp(stem + len - 4, ".bin") == 0)
        stem[len - 4] = 0;
    for (size_t i = 0; i < ARRAY_LEN(single); i++)
        if (strcmp(stem, single[i].name) == 0) {
            *out = (struct place){single[i].part, 1};
            return true;
        }
    const char *digits = stem + sizeof numbered - 1;
    if (strncmp(stem, numbered, sizeof numbered - 1) != 0 || strlen(digits) > 2 ||
        strspn(digits, "0123456789") != strlen(digits) || strtol(digits, NULL, 10) < 1)
        return false;
    *out = (struct place){IMAGE_ARRAY_TRAIN, (int)strtol(digits, NULL, 10)};
    return true;
}

/* ---- the archive ---- */

static status keep(struct image_array *a, struct array_input *in, const struct member *m, int order,
                   struct errmsg *e)
{
    if (m->size > ARRAY_BYTES_MAX)
        return errmsg_set(e, STATUS_LIMIT, "%s: more than %zu MiB", m->name, ARRAY_BYTES_MAX >> 20);
    struct array_batch *b = array_add_batch(a);
    if (!b)
        return errmsg_set(e, STATUS_NOMEM, "%s", status_text(STATUS_NOMEM));
    b->order = order;
    status st = array_input_read(in, (size_t)m->size, &b->data, e);
    if (!st && b->data.len < m->size)
        st = errmsg_set(e, STATUS_CORRUPT, "cut off");
    return st ? errmsg_prefix(e, st, "%s", m->name) : STATUS_OK;
}

static status read_members(struct image_array *a, struct array_input *in, struct buf *block,
                           enum image_array_part part, struct errmsg *e)
{
    while (!all_zero((const uint8_t *)block->data)) {
        struct member m;
        struct place place = {part, 0};
        status st = read_member((const uint8_t *)block->data, &m, e);
        bool wanted = !st && m.is_file && find_place(m.name, &place) && place.part == part;
        if (!st)
            st = wanted ? keep(a, in, &m, place.order, e) : array_input_skip(in, m.size, e);
        if (!st)
            st = array_input_skip(in, -m.size % TAR_BLOCK, e);
        buf_reset(block);
        if (!st)
            st = array_input_read(in, TAR_BLOCK, block, e);
        if (!st && block->len < TAR_BLOCK)
            st = errmsg_set(e, STATUS_CORRUPT, "cut off: the tar archive has no end");
        if (st)
            return st;
    }
    return STATUS_OK;
}

static int by_order(const void *a, const void *b)
{
    return ((const struct array_batch *)a)->order - ((const struct array_batch *)b)->order;
}

static status check_order(const struct image_array *a, struct errmsg *e)
{
    for (size_t i = 0; i < a->n_batches; i++) {
        int order = a->batch[i].order;
        if (order != (int)i + 1)
            return errmsg_set(e, STATUS_CORRUPT, "the tar archive has batch %d %s", order,
                              order > (int)i ? "but not the one before" : "twice");
    }
    return STATUS_OK;
}

status array_read_tar(struct image_array *a, struct array_input *in, const struct buf *first,
                      enum image_array_part part, struct errmsg *e)
{
    AUTO(buf_done) struct buf block = BUF_INIT(2 * TAR_BLOCK);
    status st = buf_add(&block, first->data, TAR_BLOCK);
    if (!st)
        st = read_members(a, in, &block, part, e);
    if (!st && !a->n_batches)
        st = errmsg_set(e, STATUS_UNSUPPORTED, "a tar archive without CIFAR's %s",
                        part == IMAGE_ARRAY_TEST ? "test batch" : "training batches");
    if (st)
        return st;
    qsort(a->batch, a->n_batches, sizeof *a->batch, by_order);
    return check_order(a, e);
}
