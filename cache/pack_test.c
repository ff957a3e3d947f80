#include "testing.h"

#include "pack_scan.h"

static struct record record_of(unsigned n, uint8_t *block)
{
    struct record r = {.key = key_of(n), .shape = shape_of(n), .len = len_of(n)};
    fill(n, block + RECORD_HEADER_BYTES, r.len);
    r.checksum = checksum64(block + RECORD_HEADER_BYTES, r.len);
    return r;
}

static void append(struct pack *p, unsigned n)
{
    uint8_t block[RECORD_HEADER_BYTES + PIXELS_MAX];
    struct record r = record_of(n, block);
    uint64_t offset, at = p->end;
    assert_ok(pack_append(p, &r, block, &offset));
    assert_int_equal(at, offset);
    assert_int_equal(at + record_bytes(r.len), p->end);
}

static char *packs_dir(void)
{
    char *dir = temp_dir();
    AUTO(mem_free) char *packs = in_dir(dir, "packs");
    assert_int_equal(0, mkdir(packs, 0700));
    return dir;
}

/* Which of the objects [0, n) a scan finds, as a string of digits. */
static void scan(struct pack *p, unsigned n, char *out, struct pack_scan *out_scan)
{
    struct pack_scan s;
    struct record r;
    uint64_t offset;
    size_t found = 0;
    status st;
    assert_ok(pack_scan_init(&s, p, 0));
    while (!(st = pack_scan_next(&s, &r, &offset)))
        for (unsigned i = 0; i < n; i++) {
            struct cache_key k = key_of(i);
            if (digest_equal(&k.pixels, &r.key.pixels))
                out[found++] = (char)('0' + i);
        }
    assert_status(STATUS_NOT_FOUND, st);
    out[found] = 0;
    if (out_scan)
        *out_scan = s;
    pack_scan_done(&s);
}

static void header_rejects_every_flip(void **state)
{
    (void)state;
    uint8_t block[RECORD_HEADER_BYTES + PIXELS_MAX];
    struct record in = record_of(3, block), out;
    uint64_t salt;
    record_encode(&in, 77, block);
    assert_ok(record_decode(block, &out, &salt));
    assert_int_equal(77, salt);
    assert_int_equal(in.len, out.len);
    assert_int_equal(in.checksum, out.checksum);
    assert_memory_equal(&in.key, &out.key, sizeof in.key);
    assert_memory_equal(&in.shape, &out.shape, sizeof in.shape);
    for (unsigned bit = 0; bit < RECORD_HEADER_BYTES * 8; bit++) {
        block[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_status(STATUS_CORRUPT, record_decode(block, &out, &salt));
        block[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    uint8_t head[PACK_HEADER_BYTES];
    pack_header_encode(99, 1, head);
    assert_ok(pack_header_decode(head, &salt));
    assert_int_equal(99, salt);
    for (unsigned bit = 0; bit < PACK_HEADER_BYTES * 8; bit++) {
        head[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_status(STATUS_CORRUPT, pack_header_decode(head, &salt));
        head[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void later_version_is_left_alone(void **state)
{
    (void)state;
    uint8_t head[PACK_HEADER_BYTES];
    uint64_t salt;
    pack_header_encode(99, 1, head);
    head[8] = 2;
    uint64_t sum = checksum64(head, 56);
    memcpy(head + 56, &sum, 8); /* the machine of the tests is little-endian */
    assert_status(STATUS_BAD_VERSION, pack_header_decode(head, &salt));
    char *dir = packs_dir();
    save_file(dir, "packs/00000005.pack", head, sizeof head);
    struct pack p = PACK_NONE;
    assert_status(STATUS_BAD_VERSION, pack_lock(dir, 5, &p));
    remove_dir(dir);
}

static void names(void **state)
{
    (void)state;
    assert_int_equal(7, pack_id("00000007.pack"));
    assert_int_equal(4294967295u, pack_id("4294967295.pack"));
    static const char *const bad[] = {"",
                                      "7.pack",
                                      "00000007.pac",
                                      "a0000007.pack",
                                      "4294967296.pack",
                                      "00000007.pack~",
                                      "-0000007.pack",
                                      "00000000.pack",
                                      "99999999999.pack"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(0, pack_id(bad[i]));
}

static void append_and_scan(void **state)
{
    (void)state;
    char *dir = packs_dir(), found[16];
    struct pack p = PACK_NONE, q = PACK_NONE;
    assert_ok(pack_create(dir, 1, &p));
    assert_status(STATUS_EXISTS, pack_create(dir, 1, &q));
    assert_status(STATUS_BUSY, pack_lock(dir, 1, &q));
    assert_status(STATUS_NOT_FOUND, pack_lock(dir, 2, &q));
    for (unsigned i = 0; i < 5; i++)
        append(&p, i);
    assert_ok(pack_sync(&p));
    scan(&p, 5, found, NULL);
    assert_string_equal("01234", found);
    uint64_t end = p.end;
    pack_done(&p);
    assert_ok(pack_lock(dir, 1, &p));
    assert_int_equal(end, p.end);
    append(&p, 5);
    assert_ok(pack_rewind(&p, end));
    scan(&p, 6, found, NULL);
    assert_string_equal("01234", found);
    assert_ok(pack_delete(dir, &p));
    assert_status(STATUS_NOT_FOUND, pack_lock(dir, 1, &q));
    remove_dir(dir);
}

static void torn_tail_at_every_length(void **state)
{
    (void)state;
    char *dir = packs_dir(), found[16];
    struct pack p = PACK_NONE;
    assert_ok(pack_create(dir, 1, &p));
    append(&p, 0);
    append(&p, 1);
    uint64_t start = p.end;
    append(&p, 2);
    uint64_t end = p.end;
    for (uint64_t len = end; len-- > start;) {
        struct pack_scan s;
        assert_int_equal(0, ftruncate(p.fd, (off_t)len));
        p.end = len;
        scan(&p, 3, found, &s);
        assert_string_equal("01", found);
        assert_int_equal(start, s.good);
        assert_false(s.unread);
        /* the same length, but the blocks were never written */
        assert_int_equal(0, ftruncate(p.fd, (off_t)end));
        p.end = end;
        scan(&p, 3, found, &s);
        /* the padding at the end was zero anyway */
        if (len >= start + RECORD_HEADER_BYTES + len_of(2))
            assert_string_equal("012", found);
        else if (strcmp("01", found) != 0) /* or the lost bytes were zeros themselves */
            assert_true(len + 4 > start + RECORD_HEADER_BYTES + len_of(2));
    }
    pack_done(&p);
    remove_dir(dir);
}

static void scan_steps_over_damage(void **state)
{
    (void)state;
    char *dir = packs_dir(), found[16];
    struct pack p = PACK_NONE;
    uint64_t at[6];
    assert_ok(pack_create(dir, 1, &p));
    for (unsigned i = 0; i < 5; i++) {
        at[i] = p.end;
        append(&p, i);
    }
    assert_ok(io_pwrite(p.fd, "?", 1, (off_t)at[1] + 30)); /* a header */
    scan(&p, 5, found, NULL);
    assert_string_equal("0234", found);
    assert_ok(io_pwrite(p.fd, "??", 2, (off_t)at[3] + RECORD_HEADER_BYTES + 3)); /* pixels */
    scan(&p, 5, found, NULL);
    assert_string_equal("024", found);
    memset(found, 0, sizeof found);
    assert_ok(io_pwrite(p.fd, found, sizeof found, 0)); /* the pack's own header */
    pack_done(&p);
    assert_ok(pack_lock(dir, 1, &p));
    assert_int_equal(STATUS_CORRUPT, p.header);
    scan(&p, 5, found, NULL);
    assert_string_equal("024", found);
    pack_done(&p);
    remove_dir(dir);
}

/* Pixels that are themselves a record of another pack must not be taken for one. */
static void records_inside_pixels(void **state)
{
    (void)state;
    char *dir = packs_dir(), found[16];
    uint8_t inner[RECORD_HEADER_BYTES + PIXELS_MAX], outer[2 * PIXELS_MAX];
    struct pack p = PACK_NONE;
    assert_ok(pack_create(dir, 1, &p));
    append(&p, 0);
    struct record small = record_of(1, inner);
    record_encode(&small, p.salt ^ 1, inner);
    uint32_t len = (uint32_t)record_bytes(small.len);
    struct record big = {.key = key_of(2), .shape = {len, 1, 1}, .len = len};
    memcpy(outer + RECORD_HEADER_BYTES, inner, len);
    big.checksum = checksum64(inner, len);
    uint64_t at;
    assert_ok(pack_append(&p, &big, outer, &at));
    append(&p, 3);
    assert_ok(
        io_pwrite(p.fd, "?", 1, (off_t)at)); /* damage the outer header: the scan looks inside */
    scan(&p, 4, found, NULL);
    assert_string_equal("03", found);
    pack_done(&p);
    remove_dir(dir);
}

static void read_checks_key_and_shape(void **state)
{
    (void)state;
    char *dir = packs_dir();
    struct pack p = PACK_NONE;
    uint8_t pixels[PIXELS_MAX];
    assert_ok(pack_create(dir, 1, &p));
    uint64_t at = p.end;
    append(&p, 4);
    struct cache_key k = key_of(4), other = key_of(5);
    assert_ok(pack_read(p.fd, at, &k, shape_of(4), pixels));
    assert_status(STATUS_CORRUPT, pack_read(p.fd, at, &other, shape_of(4), pixels));
    assert_status(STATUS_CORRUPT, pack_read(p.fd, at, &k, shape_of(5), pixels));
    assert_status(STATUS_CORRUPT, pack_read(p.fd, at + 1, &k, shape_of(4), pixels));
    assert_status(STATUS_CORRUPT, pack_read(p.fd, at + 64, &k, shape_of(4), pixels));
    assert_status(STATUS_CORRUPT, pack_read(p.fd, p.end, &k, shape_of(4), pixels));
    assert_status(STATUS_CORRUPT, pack_read(p.fd, UINT64_MAX - 63, &k, shape_of(4), pixels));
    pack_done(&p);
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_rejects_every_flip),
        cmocka_unit_test(later_version_is_left_alone),
        cmocka_unit_test(names),
        cmocka_unit_test(append_and_scan),
        cmocka_unit_test(torn_tail_at_every_length),
        cmocka_unit_test(scan_steps_over_damage),
        cmocka_unit_test(records_inside_pixels),
        cmocka_unit_test(read_checks_key_and_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
