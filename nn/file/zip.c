#include "file/zip.h"

#include <string.h>
#include <zlib.h>

/* Records and their fixed lengths. */
enum {
    END = 0x06054b50,
    END_BYTES = 22,
    END64 = 0x06064b50,
    END64_BYTES = 56,
    LOCATOR64 = 0x07064b50,
    LOCATOR64_BYTES = 20,
    CENTRAL = 0x02014b50,
    CENTRAL_BYTES = 46,
    LOCAL = 0x04034b50,
    LOCAL_BYTES = 30,
    COMMENT_MAX = 65535,
    EXTRA64 = 1,
    ENCRYPTED = 1,
    METHOD_STORED = 0,
    METHOD_DEFLATED = 8,
    DEFLATE_MOST = 1032 /* bytes that one byte can become */
};

static uint64_t little(const unsigned char *p, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static status corrupt(struct errmsg *e, const char *why)
{
    return errmsg_set(e, STATUS_CORRUPT, "the ZIP archive is damaged or cut off: %s", why);
}

struct directory {
    uint64_t at, bytes, members;
};

/* The end record is the last one that fits before a comment. */
static const unsigned char *find_end(const unsigned char *data, size_t len)
{
    if (len < END_BYTES)
        return NULL;
    size_t last = len - END_BYTES, first = last > COMMENT_MAX ? last - COMMENT_MAX : 0;
    for (size_t at = last + 1; at-- > first;)
        if (little(data + at, 4) == END && little(data + at + 20, 2) == len - at - END_BYTES)
            return data + at;
    return NULL;
}

static status find_directory(const unsigned char *data, size_t len, struct directory *out,
                             struct errmsg *e)
{
    const unsigned char *end = find_end(data, len);
    if (!end)
        return corrupt(e, "its end record is missing");
    *out = (struct directory){
        .at = little(end + 16, 4), .bytes = little(end + 12, 4), .members = little(end + 10, 2)};
    size_t at = (size_t)(end - data);
    if (at >= LOCATOR64_BYTES && little(end - LOCATOR64_BYTES, 4) == LOCATOR64) {
        uint64_t at64 = little(end - LOCATOR64_BYTES + 8, 8);
        if (at64 > at || at - at64 < END64_BYTES || little(data + at64, 4) != END64)
            return corrupt(e, "its ZIP64 end record is missing");
        *out = (struct directory){.at = little(data + at64 + 48, 8),
                                  .bytes = little(data + at64 + 40, 8),
                                  .members = little(data + at64 + 32, 8)};
    }
    if (out->at > at || out->bytes > at - out->at || out->members > out->bytes / CENTRAL_BYTES)
        return corrupt(e, "its directory is not inside the file");
    return STATUS_OK;
}

/* Sizes and offset of a member that did not fit 32 bits stand in an extra field, in this order. */
static bool widen(const unsigned char *extra, size_t len, uint64_t *size, uint64_t *stored,
                  uint64_t *offset)
{
    uint64_t *field[] = {size, stored, offset};
    while (len >= 4) {
        size_t n = (size_t)little(extra + 2, 2), at = 4;
        if (n > len - 4)
            return false;
        for (int i = 0; little(extra, 2) == EXTRA64 && i < 3; i++) {
            if (*field[i] != UINT32_MAX)
                continue;
            if (at + 8 > n + 4)
                return false;
            *field[i] = little(extra + at, 8);
            at += 8;
        }
        extra += n + 4, len -= n + 4;
    }
    return true;
}

/* One entry of the directory, of which `left` bytes of the directory begin at p; *out_len says how long it is. */
static status read_member(const unsigned char *data, size_t len, const unsigned char *p,
                          size_t left, struct nn_zip_member *out, size_t *out_len, struct errmsg *e)
{
    if (left < CENTRAL_BYTES || little(p, 4) != CENTRAL)
        return corrupt(e, "an entry of its directory");
    size_t name = (size_t)little(p + 28, 2), extra = (size_t)little(p + 30, 2);
    size_t all = CENTRAL_BYTES + name + extra + (size_t)little(p + 32, 2);
    uint64_t stored = little(p + 20, 4), size = little(p + 24, 4), at = little(p + 42, 4);
    if (all > left || !widen(p + CENTRAL_BYTES + name, extra, &size, &stored, &at))
        return corrupt(e, "an entry of its directory");
    uint64_t method = little(p + 10, 2);
    if ((method != METHOD_STORED && method != METHOD_DEFLATED) || little(p + 8, 2) & ENCRYPTED)
        return errmsg_set(e, STATUS_UNSUPPORTED,
                          "member \"%.*s\" is encrypted, or compressed in another way than deflate",
                          (int)name, (const char *)p + CENTRAL_BYTES);
    if (at > len || len - at < LOCAL_BYTES || little(data + at, 4) != LOCAL)
        return corrupt(e, "a member is not where the directory says");
    uint64_t begin = at + LOCAL_BYTES + little(data + at + 26, 2) + little(data + at + 28, 2);
    if (begin > len || stored > len - begin)
        return corrupt(e, "a member is longer than the file");
    if (method == METHOD_STORED ? size != stored : size / DEFLATE_MOST > stored)
        return corrupt(e, "a member's two sizes do not fit");
    *out = (struct nn_zip_member){.name = (const char *)p + CENTRAL_BYTES,
                                  .name_len = name,
                                  .data = data + begin,
                                  .stored = (size_t)stored,
                                  .bytes = (size_t)size,
                                  .deflated = method == METHOD_DEFLATED,
                                  .crc32 = (uint32_t)little(p + 16, 4)};
    *out_len = all;
    return STATUS_OK;
}

static int by_name(const void *a, const void *b)
{
    const struct nn_zip_member *x = a, *y = b;
    size_t n = x->name_len < y->name_len ? x->name_len : y->name_len;
    int order = memcmp(x->name, y->name, n);
    return order ? order : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

static int by_place(const void *a, const void *b)
{
    const struct nn_zip_member *x = a, *y = b;
    return (x->data > y->data) - (x->data < y->data);
}

static bool overlapping(struct nn_zip *z)
{
    qsort(z->member, z->count, sizeof *z->member, by_place);
    const unsigned char *end = NULL;
    for (size_t i = 0; i < z->count; i++) {
        const struct nn_zip_member *m = &z->member[i];
        if (!m->stored)
            continue;
        if (end && m->data < end)
            return true;
        end = m->data + m->stored;
    }
    return false;
}

status nn_zip_open(const unsigned char *data, size_t len, struct nn_zip *out, struct errmsg *e)
{
    struct directory d = {0};
    struct nn_zip z = {NULL, 0};
    status st = find_directory(data, len, &d, e);
    if (st)
        return st;
    z.member = mem_zalloc((size_t)d.members + 1, sizeof *z.member);
    if (!z.member)
        return STATUS_NOMEM;
    const unsigned char *p = data + d.at;
    for (size_t left = (size_t)d.bytes, n = 0; !st && z.count < d.members; p += n, left -= n) {
        st = read_member(data, len, p, left, &z.member[z.count], &n, e);
        z.count += !st;
    }
    if (!st && overlapping(&z))
        st = corrupt(e, "two members have one place");
    qsort(z.member, z.count, sizeof *z.member, by_name);
    for (size_t i = 1; !st && i < z.count; i++)
        if (by_name(&z.member[i - 1], &z.member[i]) == 0)
            st = corrupt(e, "two members have one name");
    if (st)
        nn_zip_done(&z);
    else
        *out = z;
    return st;
}

void nn_zip_done(struct nn_zip *z)
{
    mem_free(z->member);
    *z = (struct nn_zip){NULL, 0};
}

struct nn_zip_member *nn_zip_find(const struct nn_zip *z, const char *name, size_t len)
{
    struct nn_zip_member key = {.name = name, .name_len = len};
    return bsearch(&key, z->member, z->count, sizeof *z->member, by_name);
}

status nn_zip_all_stored(const struct nn_zip *z, struct errmsg *e)
{
    for (size_t i = 0; i < z->count; i++)
        if (z->member[i].deflated)
            return errmsg_set(e, STATUS_UNSUPPORTED, "member \"%.*s\" is compressed",
                              (int)z->member[i].name_len, z->member[i].name);
    return STATUS_OK;
}

bool nn_zip_intact(struct nn_zip_member *m)
{
    if (m->checked == ZIP_UNCHECKED)
        m->checked = crc32_z(0, m->data, m->bytes) == m->crc32 ? ZIP_INTACT : ZIP_DAMAGED;
    return m->checked == ZIP_INTACT;
}

/* Raw deflate, all of `from` into just `bytes` bytes. */
static bool inflate_all(const struct nn_zip_member *m, unsigned char *to)
{
    z_stream z = {.next_in = (unsigned char *)m->data, .next_out = to};
    size_t in = m->stored, out = m->bytes;
    int rc = inflateInit2(&z, -MAX_WBITS);
    if (rc != Z_OK)
        return false;
    while (rc == Z_OK) {
        /* zlib counts in 32 bits */
        uInt give = in < UINT32_MAX ? (uInt)in : UINT32_MAX;
        uInt space = out < UINT32_MAX ? (uInt)out : UINT32_MAX;
        z.avail_in = give, z.avail_out = space;
        rc = inflate(&z, Z_NO_FLUSH);
        in -= give - z.avail_in, out -= space - z.avail_out;
    }
    inflateEnd(&z);
    return rc == Z_STREAM_END && in == 0 && out == 0;
}

status nn_zip_inflate(const struct nn_zip_member *m, void **out, struct errmsg *e)
{
    AUTO(mem_free) unsigned char *bytes = mem_alloc(m->bytes + 1);
    if (!bytes)
        return STATUS_NOMEM;
    if (!inflate_all(m, bytes) || crc32_z(0, bytes, m->bytes) != m->crc32)
        return errmsg_set(e, STATUS_CORRUPT, "%.*s does not decompress to what its checksum says",
                          (int)m->name_len, m->name);
    *out = TAKE(bytes);
    return STATUS_OK;
}
