#include "nn/nn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "file/memory_file.h"

/* As numpy.save writes it, version 1, without the padding. */
static size_t npy(char *out, const char *header, const void *data, size_t len)
{
    size_t n = strlen(header);
    memcpy(out, "\x93NUMPY\1\0", 8);
    out[8] = (char)(n & 255);
    out[9] = (char)(n >> 8);
    memcpy(out + 10, header, n);
    memcpy(out + 10 + n, data, len);
    return 10 + n + len;
}

#define HEADER(descr, order, shape)                                                                \
    "{'descr': '" descr "', 'fortran_order': " order ", 'shape': " shape ", }  \n"

static void an_array_is_a_tensor(void **state)
{
    (void)state;
    static const float v[6] = {1, 2, 3, 4, 5, -6};
    char file[512];
    put(file, npy(file, HEADER("<f4", "False", "(1, 2, 3, 1)"), v, sizeof v));
    AUTO(nn_file_close) struct nn_file *f = NULL;
    assert_int_equal(nn_file_open_any(path, &f, NULL), STATUS_OK);
    assert_int_equal(nn_file_count(f), 1);
    const struct nn_file_tensor *t = nn_file_find(f, "array");
    assert_non_null(t);
    assert_true(nn_shape_equal(t->shape, nn_shape4(1, 2, 3, 1)));
    float got[6];
    assert_int_equal(nn_file_read_f32(t, got, 6), STATUS_OK);
    assert_memory_equal(got, v, sizeof v);
}

static void damaged_and_foreign_arrays_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t len;
        status want;
        const char *says;
    } row[] = {
        {HEADER("|i1", "False", "(3,)"), 3, STATUS_OK, ""},
        {HEADER("|u1", "False", "()"), 1, STATUS_OK, ""},
        {"{'shape':(2,2),'descr':'|u1','fortran_order':False}", 4, STATUS_OK, ""},
        {HEADER("|i1", "False", "(3,)"), 2, STATUS_CORRUPT, "shape says 3"},
        {HEADER("|i1", "False", "(3,)"), 4, STATUS_CORRUPT, "shape says 3"},
        {HEADER("<f8", "False", "(2147483647, 2147483647, 2147483647)"), 4, STATUS_CORRUPT,
         "shape says"},
        {HEADER("<f4", "False", "(99999999999999999999,)"), 4, STATUS_UNSUPPORTED, "too large"},
        {HEADER("|i1", "False", "(1, 1, 1, 1, 1)"), 1, STATUS_UNSUPPORTED, "4 dimensions"},
        {HEADER("|i1", "True", "(1, 1)"), 1, STATUS_UNSUPPORTED, "columns"},
        {HEADER(">f4", "False", "(1,)"), 4, STATUS_UNSUPPORTED, "type"},
        {HEADER("|O", "False", "(1,)"), 8, STATUS_UNSUPPORTED, "type"},
        {HEADER("|i1", "Maybe", "(1,)"), 1, STATUS_CORRUPT, "header"},
        {HEADER("|i1", "False", "(-1,)"), 1, STATUS_CORRUPT, "header"},
        {HEADER("|i1", "False", "(1"), 1, STATUS_CORRUPT, "header"},
        {HEADER("|i1", "False", "(1,), 'shape': (1,)"), 1, STATUS_CORRUPT, "header"},
        {"{'descr': '|i1', 'shape': (1,)}", 1, STATUS_CORRUPT, "header"},
        {"{'descr': [('a', '|i1')], 'fortran_order': False, 'shape': (1,)}", 1, STATUS_CORRUPT,
         "header"},
        {"{'descr': '|i1", 1, STATUS_CORRUPT, "header"},
        {"", 1, STATUS_CORRUPT, "header"},
        {HEADER("|i1", "False", "(1,)") "x", 1, STATUS_CORRUPT, "header"},
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        char file[512] = {0};
        AUTO(nn_file_close) struct nn_file *f = NULL;
        struct errmsg e = {""};
        put(file, npy(file, row[i].header, "\1\2\3\4\5\6\7\10", row[i].len));
        status st = nn_file_open_any(path, &f, &e);
        if (st != row[i].want || !strstr(e.text, row[i].says))
            fail_msg("row %zu: %s, %s", i, status_text(st), e.text);
    }
}

/* No proper prefix of a good file is one. */
static void a_file_that_ends_too_soon_is_damaged(void **state)
{
    (void)state;
    char file[512];
    size_t n = npy(file, HEADER("|i1", "False", "(3,)"), "abc", 3);
    for (size_t len = 6; len < n; len++) {
        AUTO(nn_file_close) struct nn_file *f = NULL;
        put(file, len);
        assert_int_equal(nn_file_open_any(path, &f, NULL), STATUS_CORRUPT);
    }
}

static void le(unsigned char **at, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        *(*at)++ = (unsigned char)(i < 8 ? v >> (8 * i) : 0);
}

/* A stored archive of two arrays; flip: a bit of the first one's data is wrong. */
static size_t npz(unsigned char *out, bool flip)
{
    static const char *const name[] = {"b.npy", "a.npy"};
    char array[2][256];
    size_t len[2], offset[2];
    unsigned char *at = out;
    for (int i = 0; i < 2; i++) {
        len[i] = npy(array[i], HEADER("|u1", "False", "(2,)"), i ? "xy" : "zw", 2);
        uint32_t crc = (uint32_t)crc32(0, (unsigned char *)array[i], (unsigned)len[i]);
        if (flip && i == 0)
            array[i][len[i] - 1] ^= 1;
        offset[i] = (size_t)(at - out);
        le(&at, 0x04034b50, 4), le(&at, 20, 2), le(&at, 0, 8), le(&at, crc, 4);
        le(&at, len[i], 4), le(&at, len[i], 4), le(&at, 5, 2), le(&at, 0, 2);
        memcpy(at, name[i], 5), at += 5;
        memcpy(at, array[i], len[i]), at += len[i];
    }
    size_t central = (size_t)(at - out);
    for (int i = 0; i < 2; i++) {
        const unsigned char *local = out + offset[i];
        le(&at, 0x02014b50, 4), le(&at, 20, 2);
        memcpy(at, local + 4, 26), at += 26;
        le(&at, 0, 10), le(&at, offset[i], 4); /* no comment, disk 0, attributes */
        memcpy(at, name[i], 5), at += 5;
    }
    size_t size = (size_t)(at - out) - central;
    le(&at, 0x06054b50, 4), le(&at, 0, 4), le(&at, 2, 2), le(&at, 2, 2);
    le(&at, size, 4), le(&at, central, 4), le(&at, 0, 2);
    return (size_t)(at - out);
}

static void an_archive_has_its_arrays_by_name(void **state)
{
    (void)state;
    unsigned char file[2048];
    struct errmsg e = {""};
    put(file, npz(file, false));
    AUTO(nn_file_close) struct nn_file *f = NULL;
    if (nn_file_open_any(path, &f, &e))
        fail_msg("%s", e.text);
    assert_int_equal(nn_file_count(f), 2);
    assert_string_equal(nn_file_at(f, 0)->name, "a");
    assert_memory_equal(nn_file_find(f, "a")->data, "xy", 2);
    assert_memory_equal(nn_file_find(f, "b")->data, "zw", 2);
    AUTO(nn_file_close) struct nn_file *g = NULL;
    put(file, npz(file, true));
    assert_int_equal(nn_file_open_any(path, &g, &e), STATUS_CORRUPT);
    assert_non_null(strstr(e.text, "b.npy"));
}

/* A deflated archive of one array of `n` equal bytes; what the directory says of it is the test's. */
struct says {
    size_t bytes; /* 0: the truth, as below */
    uint32_t crc;
    int cut; /* bytes missing at the end of the compressed ones */
    int pad; /* zeros after them */
    int method;
};
static size_t deflated_npz(unsigned char *out, int n, struct says says)
{
    AUTO(mem_free) char *array = mem_alloc((size_t)n + 300);
    AUTO(mem_free) char *data = mem_alloc((size_t)n);
    char header[200];
    memset(data, 7, (size_t)n);
    snprintf(header, sizeof header, HEADER("|u1", "False", "(%d,)"), n);
    size_t len = npy(array, header, data, (size_t)n);
    unsigned char *at = out, packed[4096];
    z_stream z = {.next_in = (unsigned char *)array, .avail_in = (unsigned)len};
    z.next_out = packed, z.avail_out = sizeof packed;
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t stored = z.total_out - (size_t)says.cut + (size_t)says.pad,
           size = says.bytes ? says.bytes : len;
    assert_int_equal(deflateEnd(&z), Z_OK);
    uint32_t crc = says.crc ? says.crc : (uint32_t)crc32(0, (unsigned char *)array, (unsigned)len);
    le(&at, 0x04034b50, 4), le(&at, 20, 2), le(&at, 0, 2);
    le(&at, (uint64_t)(says.method ? says.method : 8), 2);
    le(&at, 0, 4), le(&at, crc, 4), le(&at, stored, 4), le(&at, size, 4), le(&at, 5, 2);
    le(&at, 0, 2);
    memcpy(at, "a.npy", 5), at += 5;
    memset(at, 0, stored);
    memcpy(at, packed, stored - (size_t)says.pad), at += stored;
    size_t central = (size_t)(at - out);
    le(&at, 0x02014b50, 4), le(&at, 20, 2);
    memcpy(at, out + 4, 26), at += 26;
    le(&at, 0, 14);
    memcpy(at, "a.npy", 5), at += 5;
    size_t directory = (size_t)(at - out) - central;
    le(&at, 0x06054b50, 4), le(&at, 0, 4), le(&at, 1, 2), le(&at, 1, 2);
    le(&at, directory, 4), le(&at, central, 4), le(&at, 0, 2);
    return (size_t)(at - out);
}

static void deflated_arrays_are_read(void **state)
{
    (void)state;
    unsigned char file[8192];
    struct errmsg e = {""};
    for (int n = 1; n <= 1000000; n *= 10) {
        AUTO(nn_file_close) struct nn_file *f = NULL;
        put(file, deflated_npz(file, n, (struct says){0}));
        if (nn_file_open_any(path, &f, &e))
            fail_msg("%s", e.text);
        const struct nn_file_tensor *t = nn_file_find(f, "a");
        assert_int_equal(t->bytes, n);
        for (int i = 0; i < n; i++)
            assert_int_equal(((const char *)t->data)[i], 7);
    }
}

static void deflated_arrays_are_what_they_say(void **state)
{
    (void)state;
    static const struct {
        int n;
        struct says says;
        status want;
        const char *text;
    } row[] = {
        {500, {.crc = 1}, STATUS_CORRUPT, "a.npy does not decompress"},
        {500, {.cut = 1}, STATUS_CORRUPT, "a.npy does not decompress"},
        {500, {.bytes = 500}, STATUS_CORRUPT, "a.npy does not decompress"}, /* fewer */
        {500, {.bytes = 5000}, STATUS_CORRUPT, "a.npy does not decompress"},
        {500, {.bytes = 5000000}, STATUS_CORRUPT, "two sizes"},
        {500, {.bytes = UINT32_MAX - 1}, STATUS_CORRUPT, "two sizes"},
        {3000000, {.bytes = UINT32_MAX - 1}, STATUS_CORRUPT, "two sizes"},
        {500, {.pad = 1}, STATUS_CORRUPT, "a.npy does not decompress"},
        {500, {.bytes = UINT32_MAX - 1, .pad = 4200000}, STATUS_LIMIT, "2048 MiB"},
        {500, {.method = 12}, STATUS_UNSUPPORTED, "another way than deflate"},
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        AUTO(mem_free) unsigned char *file = mem_alloc(8192 + (size_t)row[i].says.pad);
        struct errmsg e = {""};
        AUTO(nn_file_close) struct nn_file *f = NULL;
        put(file, deflated_npz(file, row[i].n, row[i].says));
        uint64_t before = fault_mem_bytes();
        status st = nn_file_open_any(path, &f, &e);
        if (st != row[i].want || !strstr(e.text, row[i].text))
            fail_msg("row %zu: %s, %s", i, status_text(st), e.text);
        assert_in_range(fault_mem_bytes() - before, 0, 1 << 20);
    }
}

static void short_memory_gives_nothing(void **state)
{
    (void)state;
    unsigned char file[2048];
    put(file, npz(file, false));
    unsigned long n = 1;
    for (;; n++) {
        AUTO(nn_file_close) struct nn_file *f = NULL;
        fault_set(FAULT_MEM, n, 0, 0);
        status st = nn_file_open_any(path, &f, NULL);
        fault_clear();
        if (!st)
            break;
        assert_int_equal(st, STATUS_NOMEM);
        assert_null(f);
    }
    assert_in_range(n, 4, 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_array_is_a_tensor),
        cmocka_unit_test(damaged_and_foreign_arrays_are_refused),
        cmocka_unit_test(a_file_that_ends_too_soon_is_damaged),
        cmocka_unit_test(an_archive_has_its_arrays_by_name),
        cmocka_unit_test(deflated_arrays_are_read),
        cmocka_unit_test(deflated_arrays_are_what_they_say),
        cmocka_unit_test(short_memory_gives_nothing),
    };
    return cmocka_run_group_tests_name("numpy_file", tests, memory_file_open, memory_file_close);
}
