#include "nn/nn.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char dir[] = "/tmp/nn-safetensors-XXXXXX";
static char path[64];

static int make_dir(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/t.safetensors", dir);
    return 0;
}

static int files_in_dir(void)
{
    int n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static void put_bytes(const void *data, size_t len)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

/* A file of this header (its stated length changed by `lie`) and data_len zero bytes. */
static void put_file(const char *header, long lie, size_t data_len)
{
    size_t len = strlen(header);
    uint64_t said = (uint64_t)((long)len + lie);
    char *all = mem_zalloc(8 + len + data_len, 1);
    assert_non_null(all);
    memcpy(all, &said, 8);
    memcpy(all + 8, header, len);
    put_bytes(all, 8 + len + data_len);
    mem_free(all);
}

static const char *const small =
    "{\"__metadata__\":{\"k\":\"v\"},"
    "\"b\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[16,22]},"
    "\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}";

static void reads_a_small_file(void **state)
{
    (void)state;
    AUTO(nn_file_close) struct nn_file *f = NULL;
    struct errmsg e = {""};
    put_file(small, 0, 22);
    assert_int_equal(nn_file_open(path, &f, &e), STATUS_OK);
    assert_int_equal(nn_file_count(f), 2);
    assert_string_equal(nn_file_at(f, 0)->name, "a");
    assert_string_equal(nn_file_at(f, 1)->dtype, "F16");
    assert_null(nn_file_at(f, 2));
    assert_null(nn_file_find(f, "c"));
    const struct nn_file_tensor *a = nn_file_find(f, "a");
    assert_true(nn_shape_equal(a->shape, nn_shape2(2, 2)));
    assert_int_equal(a->bytes, 16);
    float v[4] = {1, 1, 1, 1};
    assert_int_equal(nn_file_read_f32(a, v, 3), STATUS_INVALID);
    assert_int_equal(nn_file_read_f32(a, v, 4), STATUS_OK);
    assert_true(v[0] == 0 && v[3] == 0);
    assert_int_equal(nn_file_meta_count(f), 1);
    assert_string_equal(nn_file_meta(f, "k"), "v");
    assert_string_equal(nn_file_meta_at(f, 0).key, "k");
    assert_null(nn_file_meta_at(f, 1).key);
    assert_null(nn_file_meta(f, "z"));
}

#define TENSOR(name, dtype, shape, begin, end)                                                     \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end \
    "]}"

static void hostile_headers(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        long lie;
        size_t data;
        status want;
        const char *says;
    } row[] = {
        {"", 0, 0, STATUS_CORRUPT, "not a JSON object"},
        {"{}", 0, 0, STATUS_OK, ""},
        {"{}  ", 0, 0, STATUS_OK, ""},
        {" {}", 0, 0, STATUS_CORRUPT, "not a JSON object"},
        {"{}", 0, 1, STATUS_CORRUPT, "unused bytes"},
        {"{}", 1, 0, STATUS_CORRUPT, "cut off"},
        {"{}", LONG_MAX - 2, 0, STATUS_CORRUPT, "cut off"},
        {"{}", -3, 0, STATUS_CORRUPT, "cut off"}, /* 2^64 - 1 */
        {"{}}", 0, 0, STATUS_CORRUPT, "JSON"},
        {"[]", 0, 0, STATUS_CORRUPT, "not a JSON object"},
        {"{\"a\":1}", 0, 0, STATUS_CORRUPT, "\"a\""},
        {"{\"a\":{}}", 0, 0, STATUS_CORRUPT, "\"a\""},
        {"{\"a\\u0000b\":{}}", 0, 0, STATUS_CORRUPT, "JSON"},
        {"{\"\xff\":{}}", 0, 0, STATUS_CORRUPT, "JSON"},
        {"{\"__metadata__\":[]}", 0, 0, STATUS_CORRUPT, "metadata"},
        {"{\"__metadata__\":{\"k\":1}}", 0, 0, STATUS_CORRUPT, "\"k\""},
        {"{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0, 0, STATUS_CORRUPT, "JSON"},
        {"{" TENSOR("a", "F32", "[1]", 0, 4) "}", 0, 4, STATUS_OK, ""},
        {"{" TENSOR("a", "F32", "[1]", 0, 4) "}", 0, 3, STATUS_CORRUPT, "inside the file"},
        {"{" TENSOR("a", "F32", "[1]", 0, 4) "}", 0, 5, STATUS_CORRUPT, "unused bytes"},
        {"{" TENSOR("a", "F32", "[1]", 4, 0) "}", 0, 4, STATUS_CORRUPT, "inside the file"},
        {"{" TENSOR("a", "F32", "[1]", -4, 0) "}", 0, 4, STATUS_CORRUPT, "inside the file"},
        {"{" TENSOR("a", "F32", "[1]", 0, 4.0) "}", 0, 4, STATUS_CORRUPT, "inside the file"},
        {"{" TENSOR("a", "F32", "[1]", 0, 9223372036854775808) "}", 0, 4, STATUS_CORRUPT, "JSON"},
        {"{" TENSOR("a", "F32", "[1]", 0, 9223372036854775807) "}", 0, 4, STATUS_CORRUPT, "inside"},
        {"{" TENSOR("a", "F32", "[1]", 4, 8) "}", 0, 8, STATUS_CORRUPT, "before it"},
        {"{" TENSOR("a", "F32", "[2]", 0, 4) "}", 0, 4, STATUS_CORRUPT, "does not fit its shape"},
        {"{" TENSOR("a", "F16", "[1]", 0, 4) "}", 0, 4, STATUS_CORRUPT, "does not fit its shape"},
        {"{" TENSOR("a", "F99", "[1]", 0, 4) "}", 0, 4, STATUS_UNSUPPORTED, "dtype"},
        {"{" TENSOR("a", "F32", "[-1]", 0, 4) "}", 0, 4, STATUS_CORRUPT, "whole number"},
        {"{" TENSOR("a", "F32", "[1.0]", 0, 4) "}", 0, 4, STATUS_CORRUPT, "whole number"},
        {"{" TENSOR("a", "F32", "{}", 0, 4) "}", 0, 4, STATUS_CORRUPT, "shape"},
        {"{" TENSOR("a", "F32", "[4294967296]", 0, 4) "}", 0, 4, STATUS_UNSUPPORTED, "too large"},
        {"{" TENSOR("a", "F32", "[1,1,1,1,1]", 0, 4) "}", 0, 4, STATUS_UNSUPPORTED, "dimensions"},
        /* 2^31-1 squared twice over, times four, is 0 or small modulo 2^64 in careless arithmetic
         */
        {"{" TENSOR("a", "F32", "[1073741824,1073741824,4,1]", 0, 0) "}", 0, 0, STATUS_CORRUPT,
         "does not fit its shape"},
        {"{" TENSOR("a", "F32", "[2147483647,2147483647,2147483647,0]", 0, 0) "}", 0, 0,
         STATUS_CORRUPT, "does not fit its shape"},
        {"{" TENSOR("a", "F32", "[0,2147483647]", 0, 0) "}", 0, 0, STATUS_OK, ""},
        {"{" TENSOR("a", "F32", "[]", 0, 4) "}", 0, 4, STATUS_OK, ""},
        {"{" TENSOR("a", "F32", "[1]", 0, 4) "," TENSOR("b", "F32", "[1]", 0, 4) "}", 0, 4,
         STATUS_CORRUPT, "overlap"},
        {"{" TENSOR("a", "F32", "[2]", 0, 8) "," TENSOR("b", "F32", "[2]", 4, 12) "}", 0, 12,
         STATUS_CORRUPT, "overlap"},
        {"{" TENSOR("a", "F32", "[1]", 0, 4) "," TENSOR("b", "F32", "[1]", 8, 12) "}", 0, 12,
         STATUS_CORRUPT, "before it"},
        {"{" TENSOR("a", "F32", "[1]", 0, 4) "," TENSOR("a", "F32", "[1]", 4, 8) "}", 0, 8,
         STATUS_CORRUPT, "JSON"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 0, 4,
         STATUS_CORRUPT, "its entry is not"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,4]}}", 0, 4, STATUS_CORRUPT,
         "inside the file"},
        {"{\"a\":{\"dtype\":4,\"shape\":[1],\"data_offsets\":[0,4]}}", 0, 4, STATUS_CORRUPT,
         "its entry is not"},
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        struct nn_file *f = NULL;
        struct errmsg e = {""};
        put_file(row[i].header, row[i].lie, row[i].data);
        status st = nn_file_open(path, &f, &e);
        if (st != row[i].want || !strstr(e.text, row[i].says))
            fail_msg("%s: \"%s\", \"%s\"", row[i].header, status_text(st), e.text);
        if (st)
            assert_null(f);
        nn_file_close(f);
    }
}

static void deep_and_wide_json_is_refused(void **state)
{
    (void)state;
    enum { N = 9 << 20 };
    char *text = mem_alloc(N + 1);
    struct nn_file *f = NULL;
    assert_non_null(text);
    memset(text, '[', N);
    memcpy(text, "{\"a\":", 5);
    text[N] = 0;
    put_file(text, 0, 0);
    assert_int_equal(nn_file_open(path, &f, NULL), STATUS_CORRUPT);
    text[100000] = 0;
    put_file(text, 0, 0);
    assert_int_equal(nn_file_open(path, &f, NULL), STATUS_CORRUPT);
    mem_free(text);
}

static void every_prefix_is_refused(void **state)
{
    (void)state;
    AUTO(mem_free) char *all = NULL;
    size_t len = 0;
    put_file(small, 0, 22);
    assert_int_equal(io_read_file(path, 4096, (void **)&all, &len, NULL), STATUS_OK);
    for (size_t n = 0; n < len; n++) {
        struct nn_file *f = NULL;
        put_bytes(all, n);
        assert_int_equal(nn_file_open(path, &f, NULL), STATUS_CORRUPT);
    }
}

/* Whatever the bytes: opening ends with a status, and all that it hands out can be read. */
static void every_changed_byte_is_survived(void **state)
{
    (void)state;
    AUTO(mem_free) char *all = NULL;
    size_t len = 0;
    put_file(small, 0, 22);
    assert_int_equal(io_read_file(path, 4096, (void **)&all, &len, NULL), STATUS_OK);
    static const char with[] = {0, '0', '9', '-', '"', '{', ']', ' ', '\\', (char)0x80};
    for (size_t n = 0; n < len - 22; n++)
        for (size_t k = 0; k < sizeof with; k++) {
            AUTO(nn_file_close) struct nn_file *f = NULL;
            char was = all[n];
            all[n] = with[k];
            put_bytes(all, len);
            all[n] = was;
            if (nn_file_open(path, &f, NULL))
                continue;
            for (int i = 0; i < nn_file_count(f); i++) {
                const struct nn_file_tensor *t = nn_file_at(f, i);
                float v[16];
                assert_true(t->bytes <= 22 && nn_shape_count(t->shape) <= 16);
                status_ignore(nn_file_read_f32(t, v, (size_t)nn_shape_count(t->shape)),
                              "the dtype may have changed");
            }
        }
}

static void not_a_regular_file(void **state)
{
    (void)state;
    struct nn_file *f = NULL;
    struct errmsg e = {""};
    char name[128];
    assert_int_equal(nn_file_open(dir, &f, &e), STATUS_INVALID);
    snprintf(name, sizeof name, "%s/none", dir);
    assert_int_equal(nn_file_open(name, &f, &e), STATUS_NOT_FOUND);
    assert_non_null(strstr(e.text, name));
    snprintf(name, sizeof name, "%s/fifo", dir);
    assert_int_equal(mkfifo(name, 0600), 0);
    assert_int_equal(nn_file_open(name, &f, &e), STATUS_INVALID);
    unlink(name);
}

/* ---- writing ---- */

static const float numbers[6] = {1, -2, 3.5f, 1e-30f, 65504, 0.1f};

static void fill_save(struct nn_save_tensor t[3])
{
    t[0] = (struct nn_save_tensor){"m", nn_shape2(2, 3), numbers, false};
    t[1] = (struct nn_save_tensor){"a half", nn_shape1(3), numbers, true};
    t[2] = (struct nn_save_tensor){"b", nn_shape4(1, 1, 2, 1), numbers + 4, false};
}

static void writes_the_same_bytes(void **state)
{
    (void)state;
    static const char want[] =
        "{\"__metadata__\":{\"a\":\"2\",\"b\":\"1\"},"
        "\"a half\":{\"data_offsets\":[32,38],\"dtype\":\"F16\",\"shape\":[3]},"
        "\"b\":{\"data_offsets\":[0,8],\"dtype\":\"F32\",\"shape\":[1,1,2,1]},"
        "\"m\":{\"data_offsets\":[8,32],\"dtype\":\"F32\",\"shape\":[2,3]}}";
    struct nn_save_tensor t[3];
    fill_save(t);
    for (int turn = 0; turn < 3; turn++) {
        AUTO(mem_free) char *all = NULL;
        size_t len = 0;
        struct nn_save_tensor s[3] = {t[turn], t[(turn + 1) % 3], t[(turn + 2) % 3]};
        struct nn_meta meta[2] = {{"b", "1"}, {"a", "2"}}, swapped[2] = {{"a", "2"}, {"b", "1"}};
        assert_int_equal(nn_file_save(path, s, 3, turn ? swapped : meta, 2, NULL), STATUS_OK);
        assert_int_equal(io_read_file(path, 4096, (void **)&all, &len, NULL), STATUS_OK);
        uint64_t n;
        memcpy(&n, all, sizeof n);
        assert_int_equal(n % 8, 0);
        assert_int_equal(len, 8 + n + 38);
        assert_memory_equal(all + 8, want, sizeof want - 1);
        assert_memory_equal(all + 8 + n, numbers + 4, 8);
        assert_memory_equal(all + 8 + n + 8, numbers, 24);
        assert_memory_equal(all + 8 + n + 32, "\x00\x3c\x00\xc0\x00\x43", 6);
    }
}

static void comes_back(void **state)
{
    (void)state;
    struct nn_save_tensor t[3];
    fill_save(t);
    AUTO(nn_file_close) struct nn_file *f = NULL;
    struct digest d, want;
    AUTO(mem_free) char *all = NULL;
    size_t len = 0;
    float v[6];
    assert_int_equal(nn_file_save(path, t, 3, NULL, 0, NULL), STATUS_OK);
    assert_int_equal(nn_file_open(path, &f, NULL), STATUS_OK);
    assert_int_equal(nn_file_meta_count(f), 0);
    assert_int_equal(nn_file_read_f32(nn_file_find(f, "m"), v, 6), STATUS_OK);
    assert_memory_equal(v, numbers, sizeof v);
    assert_int_equal(nn_file_read_f32(nn_file_find(f, "a half"), v, 3), STATUS_OK);
    assert_memory_equal(v, numbers, 12); /* these three are exact in a half */
    assert_int_equal(nn_file_digest(f, &d), STATUS_OK);
    assert_int_equal(io_read_file(path, 4096, (void **)&all, &len, NULL), STATUS_OK);
    assert_int_equal(digest_sha256(&(struct digest_part){all, len}, 1, &want), STATUS_OK);
    assert_memory_equal(&d, &want, sizeof d);
}

static void large_halves(void **state)
{
    (void)state;
    enum { N = 40001 };
    AUTO(mem_free) float *v = mem_alloc(N * sizeof *v);
    AUTO(mem_free) float *w = mem_alloc(N * sizeof *w);
    AUTO(nn_file_close) struct nn_file *f = NULL;
    assert_true(v && w);
    for (int i = 0; i < N; i++)
        v[i] = (float)(i % 2048);
    struct nn_save_tensor t = {"v", nn_shape1(N), v, true};
    assert_int_equal(nn_file_save(path, &t, 1, NULL, 0, NULL), STATUS_OK);
    assert_int_equal(nn_file_open(path, &f, NULL), STATUS_OK);
    assert_int_equal(nn_file_read_f32(nn_file_at(f, 0), w, N), STATUS_OK);
    assert_memory_equal(v, w, N * sizeof *v);
}

static void refuses_to_write(void **state)
{
    (void)state;
    struct nn_save_tensor one = {"a", nn_shape1(1), numbers, false}, two[2] = {one, one};
    struct nn_save_tensor reserved = {"__metadata__", nn_shape1(1), numbers, false};
    struct nn_save_tensor broken = {"\xc3(", nn_shape1(1), numbers, false};
    struct nn_meta twice[2] = {{"k", "1"}, {"k", "2"}}, raw = {"k", "\xff"};
    struct errmsg e = {""};
    unlink(path);
    assert_int_equal(nn_file_save(path, two, 2, NULL, 0, &e), STATUS_INVALID);
    assert_non_null(strstr(e.text, "\"a\""));
    assert_int_equal(nn_file_save(path, &reserved, 1, NULL, 0, &e), STATUS_INVALID);
    assert_int_equal(nn_file_save(path, &broken, 1, NULL, 0, &e), STATUS_INVALID);
    assert_int_equal(nn_file_save(path, &one, 1, twice, 2, &e), STATUS_INVALID);
    assert_int_equal(nn_file_save(path, &one, 1, &raw, 1, &e), STATUS_INVALID);
    assert_int_equal(files_in_dir(), 0);
    assert_int_equal(nn_file_save("/nonexistent/dir/f", &one, 1, NULL, 0, &e), STATUS_NOT_FOUND);
}

/* ---- faults ---- */

static void a_failed_save_leaves_the_old_file(void **state)
{
    (void)state;
    static const enum fault_kind kinds[] = {FAULT_MEM, FAULT_OPEN, FAULT_WRITE, FAULT_SYNC,
                                            FAULT_RENAME};
    struct nn_save_tensor t[3];
    fill_save(t);
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
        for (unsigned long n = 1;; n++) {
            AUTO(nn_file_close) struct nn_file *f = NULL;
            struct errmsg e = {""};
            put_file("{}", 0, 0);
            fault_set(kinds[k], n, 0, kinds[k] == FAULT_WRITE ? ENOSPC : 0);
            status st = nn_file_save(path, t, 3, NULL, 0, &e);
            fault_clear();
            assert_int_equal(files_in_dir(), 1);
            assert_int_equal(nn_file_open(path, &f, NULL), STATUS_OK);
            if (!st)
                break;
            assert_true(e.text[0] != 0);
            if (kinds[k] == FAULT_WRITE)
                assert_int_equal(st, STATUS_NO_SPACE);
            /* once renamed, only making the rename durable can fail */
            bool renamed = n == 2 && (kinds[k] == FAULT_SYNC || kinds[k] == FAULT_OPEN);
            assert_int_equal(nn_file_count(f), renamed ? 3 : 0);
        }
}

static void a_failed_open_gives_nothing(void **state)
{
    (void)state;
    put_file(small, 0, 22);
    for (unsigned long n = 1;; n++) {
        AUTO(nn_file_close) struct nn_file *f = NULL;
        fault_set(FAULT_MEM, n, 0, 0);
        status st = nn_file_open(path, &f, NULL);
        fault_clear();
        if (!st)
            break;
        assert_int_equal(st, STATUS_NOMEM);
        assert_null(f);
    }
    struct nn_file *f = NULL;
    fault_set(FAULT_OPEN, 1, 0, EACCES);
    assert_int_equal(nn_file_open(path, &f, NULL), STATUS_DENIED);
    fault_clear();
}

/* ---- the second opinion: tests/torch/stfile.py ---- */

static bool python(const char *verb, const char *a, const char *b)
{
    char command[512];
    snprintf(command, sizeof command, "python3 tests/torch/stfile.py %s %s %s", verb, a, b);
    if (access("tests/torch/stfile.py", R_OK) < 0 || system("python3 -c 0 2>/dev/null") != 0)
        return false;
    assert_int_equal(system(command), 0);
    return true;
}

static void python_reads_and_writes_ours(void **state)
{
    (void)state;
    char other[96];
    struct nn_save_tensor t[3];
    struct nn_meta meta = {"f\xc3\xbc\xc3\x9f", "line\n\"two\""};
    AUTO(nn_file_close) struct nn_file *f = NULL;
    snprintf(other, sizeof other, "%s/again", dir);
    fill_save(t);
    assert_int_equal(nn_file_save(path, t, 3, &meta, 1, NULL), STATUS_OK);
    if (!python("again", path, other))
        skip();
    assert_int_equal(nn_file_open(other, &f, NULL), STATUS_OK);
    unlink(other);
    assert_int_equal(nn_file_count(f), 3);
    assert_string_equal(nn_file_meta(f, meta.key), meta.value);
    float v[6];
    assert_int_equal(nn_file_read_f32(nn_file_find(f, "m"), v, 6), STATUS_OK);
    assert_memory_equal(v, numbers, sizeof v);
}

static void python_samples(void **state)
{
    (void)state;
    AUTO(nn_file_close) struct nn_file *f = NULL;
    if (!python("samples", path, ""))
        skip();
    assert_int_equal(nn_file_open(path, &f, NULL), STATUS_OK);
    float v[6];
    assert_int_equal(nn_file_read_f32(nn_file_find(f, "f16"), v, 4), STATUS_OK);
    assert_true(v[0] == 1.5f && v[1] == -2 && v[2] == 65504 && v[3] == 0x1p-24f);
    assert_int_equal(nn_file_read_f32(nn_file_find(f, "bf16"), v, 2), STATUS_OK);
    assert_true(v[0] == 1.5f && v[1] == -2);
    assert_int_equal(nn_file_read_f32(nn_file_find(f, "i64"), v, 1), STATUS_UNSUPPORTED);
    assert_int_equal(nn_file_read_f32(nn_file_find(f, "scalar"), v, 1), STATUS_OK);
    assert_true(v[0] == 0.25f);
    assert_int_equal(nn_file_read_f32(nn_file_find(f, "after odd"), v, 2), STATUS_OK);
    assert_true(v[0] == 7 && v[1] == -8);
    assert_int_equal(nn_file_read_f32(nn_file_find(f, "empty"), v, 0), STATUS_OK);
    assert_true(nn_shape_equal(nn_file_find(f, "deep")->shape, nn_shape4(1, 2, 1, 3)));
    assert_string_equal(nn_file_meta(f, "gr\xc3\xb6\xc3\x9f"
                                        "e"),
                        "ja");
}

/* Doubles become the nearest floats; one beyond the range of f32 is an error and changes nothing. */
static void doubles_are_read(void **state)
{
    (void)state;
    static const char header[] =
        "{\"w\":{\"dtype\":\"F64\",\"shape\":[5],\"data_offsets\":[0,40]}}";
    double v[] = {0.1, -2.5, 1e-320, -(double)INFINITY, 16777217};
    const float want[] = {0.1f, -2.5f, 0, -INFINITY, 16777216};
    uint64_t len = sizeof header - 1;
    unsigned char all[8 + sizeof header - 1 + sizeof v];
    for (int over = 0; over < 2; over++) {
        AUTO(nn_file_close) struct nn_file *f = NULL;
        AUTO(nn_params_free) struct nn_params *p = NULL;
        AUTO(nn_graph_free) struct nn_graph *g = NULL;
        struct errmsg e = {""};
        v[3] = over ? 1e39 : v[3];
        memcpy(all, &len, 8);
        memcpy(all + 8, header, len);
        memcpy(all + 8 + len, v, sizeof v);
        put_bytes(all, sizeof all);
        assert_int_equal(nn_file_open(path, &f, &e), STATUS_OK);
        assert_int_equal(nn_params_new(&p), STATUS_OK);
        assert_int_equal(nn_graph_new(p, &g), STATUS_OK);
        nn_param(g, "w", nn_shape1(5), NN_INIT_ZERO);
        float *got = nn_params_at(p, 0)->value;
        memset(got, 0, 5 * sizeof *got);
        assert_int_equal(nn_params_load(p, f, "", &e), over ? STATUS_LIMIT : STATUS_OK);
        for (int i = 0; i < 5; i++)
            assert_true(got[i] == (over ? 0 : want[i]));
        if (over)
            assert_non_null(strstr(e.text, "range of f32"));
    }
}

/* ---- in parts ---- */

/* The same bytes as from nn_file_save, in whatever order the parts come. */
static void a_stream_writes_the_same_file(void **state)
{
    (void)state;
    float v[6] = {1, 2, 3, 4, 5, 6};
    const struct nn_meta meta[] = {{"k", "v"}};
    const struct nn_save_tensor t = {"t", nn_shape2(3, 2), v, false};
    char a[300], b[300];
    snprintf(a, sizeof a, "%s.whole", path);
    snprintf(b, sizeof b, "%s.parts", path);
    assert_int_equal(nn_file_save(a, &t, 1, meta, 1, NULL), STATUS_OK);
    struct nn_file_stream *s = NULL;
    assert_int_equal(nn_file_stream_new(b, "t", nn_shape2(3, 2), meta, 1, &s, NULL), STATUS_OK);
    for (int row = 2; row >= 0; row--)
        assert_int_equal(nn_file_stream_put(s, (uint64_t)row * 2, v + 2 * row, 2, NULL), STATUS_OK);
    assert_int_equal(access(b, F_OK), -1);
    assert_int_equal(nn_file_stream_finish(s, NULL), STATUS_OK);
    nn_file_stream_free(s);
    void *da, *db;
    size_t na, nb;
    assert_int_equal(io_read_file(a, 4096, &da, &na, NULL), STATUS_OK);
    assert_int_equal(io_read_file(b, 4096, &db, &nb, NULL), STATUS_OK);
    assert_int_equal(na, nb);
    assert_memory_equal(da, db, na);
    mem_free(da);
    mem_free(db);
    unlink(a);
    unlink(b);
}

static status stream_once(const char *to)
{
    float v[2] = {1, 2};
    struct nn_file_stream *s = NULL;
    struct errmsg e = {""};
    status st = nn_file_stream_new(to, "t", nn_shape1(2), NULL, 0, &s, &e);
    if (!st)
        st = nn_file_stream_put(s, 0, v, 2, &e);
    if (!st)
        st = nn_file_stream_finish(s, &e);
    nn_file_stream_free(s);
    return st;
}

static void a_stream_that_fails_leaves_nothing(void **state)
{
    (void)state;
    static const enum fault_kind kinds[] = {FAULT_MEM, FAULT_OPEN, FAULT_WRITE, FAULT_SYNC,
                                            FAULT_RENAME};
    char to[300], aside[340];
    snprintf(to, sizeof to, "%s.stream", path);
    snprintf(aside, sizeof aside, "%s.tmp.%ld", to, (long)getpid());
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        unsigned long n = 1, before;
        do {
            before = fault_calls(kinds[k]);
            fault_set(kinds[k], n, 0, 0);
            status st = stream_once(to);
            fault_clear();
            if (fault_calls(kinds[k]) - before < n)
                break; /* was not reached */
            assert_int_not_equal(st, STATUS_OK);
            assert_int_equal(access(aside, F_OK), -1);
            unlink(to); /* the last sync is of the folder: the file is there by then */
        } while (++n < 100);
        assert_in_range(n, 2, 99);
        unlink(to);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_are_read),
        cmocka_unit_test(reads_a_small_file),
        cmocka_unit_test(hostile_headers),
        cmocka_unit_test(deep_and_wide_json_is_refused),
        cmocka_unit_test(every_prefix_is_refused),
        cmocka_unit_test(every_changed_byte_is_survived),
        cmocka_unit_test(not_a_regular_file),
        cmocka_unit_test(writes_the_same_bytes),
        cmocka_unit_test(comes_back),
        cmocka_unit_test(large_halves),
        cmocka_unit_test(refuses_to_write),
        cmocka_unit_test(a_failed_save_leaves_the_old_file),
        cmocka_unit_test(a_failed_open_gives_nothing),
        cmocka_unit_test(python_reads_and_writes_ours),
        cmocka_unit_test(python_samples),
        cmocka_unit_test(a_stream_writes_the_same_file),
        cmocka_unit_test(a_stream_that_fails_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
