/* torch.save's files: what tests/torch/files.py wrote is read, and damaged or forged ones are refused. */
#include "file/zip.h"
#include "nn/nn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "file/memory_file.h"

static const char *const golden[] = {"tests/golden/torch_zip.pt", "tests/golden/torch_old.pt"};

static size_t get(const char *name, unsigned char **out)
{
    enum { MOST = 1 << 16 };
    *out = mem_alloc(MOST);
    FILE *f = fopen(name, "rb");
    assert_non_null(f);
    size_t len = fread(*out, 1, MOST, f);
    assert_int_equal(fclose(f), 0);
    return len;
}

/* Opens what put() wrote and touches every byte that it promises. */
static status try(struct errmsg *e)
{
    AUTO(nn_file_close) struct nn_file *f = NULL;
    unsigned sum = 0;
    status st = nn_file_open_any(path, &f, e);
    for (int i = 0; !st && i < nn_file_count(f); i++) {
        const struct nn_file_tensor *t = nn_file_at(f, i);
        assert_non_null(nn_file_find(f, t->name));
        for (size_t k = 0; k < t->bytes; k++)
            sum += ((const unsigned char *)t->data)[k];
    }
    return st ? st : sum > UINT32_MAX ? STATUS_INTERNAL : STATUS_OK;
}

static void expect(const struct nn_file *f, const char *name, const char *dtype, int rank,
                   const float *want, size_t n)
{
    float got[16];
    const struct nn_file_tensor *t = nn_file_find(f, name);
    assert_non_null(t);
    assert_string_equal(t->dtype, dtype);
    assert_int_equal(t->shape.rank, rank);
    assert_int_equal(nn_file_read_f32(t, got, n), STATUS_OK);
    for (size_t i = 0; i < n; i++)
        assert_true(got[i] == want[i]);
}

static void every_tensor_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(golden); i++) {
        AUTO(nn_file_close) struct nn_file *f = NULL;
        struct errmsg e = {""};
        assert_int_equal(nn_file_open_any(golden[i], &f, &e), STATUS_OK);
        assert_int_equal(nn_file_count(f), 11);
        expect(f, "state.weight", "F32", 2, (float[]){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, 12);
        expect(f, "state.turned", "F32", 2, (float[]){0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}, 12);
        expect(f, "state.part", "F32", 2, (float[]){5, 6, 9, 10}, 4);
        expect(f, "state.half", "F16", 1, (float[]){1.5f, -2.25f}, 2);
        expect(f, "state.brain", "BF16", 1, (float[]){1.5f, -2.25f}, 2);
        expect(f, "state.scalar", "F32", 1, (float[]){7}, 1);
        expect(f, "list.2.parameter", "F32", 2, (float[]){1, 1, 1, 1}, 4);
        expect(f, "7", "F32", 1, (float[]){0}, 1);
        const struct nn_file_tensor *whole = nn_file_find(f, "state.whole");
        assert_non_null(whole);
        assert_string_equal(whole->dtype, "I64");
        assert_memory_equal(whole->data, ((const int64_t[]){1, 2, -3}), 24);
        assert_int_equal(nn_file_find(f, "state.empty")->bytes, 0);
    }
}

static void safetensors_are_read_as_well(void **state)
{
    (void)state;
    AUTO(nn_file_close) struct nn_file *f = NULL;
    struct errmsg e = {""};
    assert_int_equal(nn_file_open_any("tests/golden/resnet.safetensors", &f, &e), STATUS_OK);
    assert_non_null(nn_file_find(f, "param.fc.bias"));
    assert_int_equal(nn_file_open_any("tests/golden/absent", &f, &e), STATUS_NOT_FOUND);
}

static void a_file_cut_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(golden); i++) {
        AUTO(mem_free) unsigned char *data = NULL;
        size_t len = get(golden[i], &data);
        for (size_t n = 0; n < len; n++) {
            struct errmsg e = {""};
            put(data, n);
            assert_int_not_equal(try(&e), STATUS_OK);
            assert_true(e.text[0] != 0);
        }
    }
}

/* A changed byte may go unnoticed where nothing depends on it; it must not cause invalid reads. */
static void a_changed_byte_does_no_harm(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(golden); i++) {
        AUTO(mem_free) unsigned char *data = NULL;
        size_t len = get(golden[i], &data);
        for (size_t n = 0; n < len; n++) {
            static const unsigned char change[] = {0xff, 0x01, 0x80, 0x20};
            for (size_t k = 0; k < sizeof change; k++) {
                struct errmsg e = {""};
                data[n] ^= change[k];
                put(data, len);
                (void)!try(&e);
                data[n] ^= change[k];
            }
        }
    }
}

/* The old format's beginning, then this as the object. */
static status try_object(const void *object, size_t len, struct errmsg *e)
{
    static const unsigned char head[] = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
                                        "\x80\x02M\xe9\x03."
                                        "\x80\x02}.";
    unsigned char all[1024];
    assert_true(sizeof head - 1 + len <= sizeof all);
    memcpy(all, head, sizeof head - 1);
    memcpy(all + sizeof head - 1, object, len);
    put(all, sizeof head - 1 + len);
    return try(e);
}
#define TRY(bytes, e) try_object(bytes, sizeof(bytes) - 1, e)
#define NO_STORAGES "\x80\x02]."

static void nothing_is_run(void **state)
{
    (void)state;
    struct errmsg e = {""};
    assert_int_equal(TRY("\x80\x02"
                         "cposix\nsystem\nX\x04\x00\x00\x00true\x85R." NO_STORAGES,
                         &e),
                     STATUS_UNSUPPORTED);
    assert_non_null(strstr(e.text, "posix.system"));
    assert_int_equal(TRY("\x80\x02(X\x01\x00\x00\x00xios\nsystem\n." NO_STORAGES, &e),
                     STATUS_UNSUPPORTED); /* INST */
    assert_int_equal(TRY("\x80\x02}NR." NO_STORAGES, &e), STATUS_CORRUPT);
    assert_int_equal(TRY("\x80\x02"
                         "ccollections\nOrderedDict\n)Nb." NO_STORAGES,
                         &e),
                     STATUS_CORRUPT);
}

static void odd_objects_end_well(void **state)
{
    (void)state;
    struct errmsg e = {""};
    assert_int_equal(TRY("\x80\x02N." NO_STORAGES, &e), STATUS_UNSUPPORTED);
    assert_non_null(strstr(e.text, "no tensors"));
    assert_int_equal(TRY("\x80\x02." NO_STORAGES, &e), STATUS_CORRUPT);
    assert_int_equal(TRY("\x80\x02(." NO_STORAGES, &e), STATUS_CORRUPT);
    assert_int_equal(TRY("\x80\x02}(K\x01u." NO_STORAGES, &e), STATUS_CORRUPT); /* half a pair */
    assert_int_equal(TRY("\x80\x02N(0." NO_STORAGES, &e), STATUS_CORRUPT);      /* below the mark */
    assert_int_equal(TRY("\x80\x02h\x09." NO_STORAGES, &e), STATUS_CORRUPT);
    assert_int_equal(TRY("\x80\x02Nr\xff\xff\xff\x7f." NO_STORAGES, &e), STATUS_CORRUPT);
    assert_int_equal(TRY("\x80\x07N." NO_STORAGES, &e), STATUS_UNSUPPORTED);
    /* a list that holds itself */
    assert_int_equal(TRY("\x80\x02]q\x00h\x00"
                         "a." NO_STORAGES,
                         &e),
                     STATUS_UNSUPPORTED);
    assert_non_null(strstr(e.text, "nested"));
}

/* Fourteen lists, each holding the one before ten times: 10^14 values to walk. */
static void shared_values_do_not_multiply(void **state)
{
    (void)state;
    struct errmsg e = {""};
    unsigned char object[512] = "\x80\x02]q";
    size_t n = 4;
    object[n++] = 0;
    for (unsigned char level = 1; level < 15; level++) {
        object[n++] = ']';
        object[n++] = 'q';
        object[n++] = level;
        object[n++] = '(';
        for (int i = 0; i < 10; i++) {
            object[n++] = 'h';
            object[n++] = level - 1;
        }
        object[n++] = 'e';
    }
    object[n++] = '.';
    memcpy(object + n, NO_STORAGES, sizeof NO_STORAGES - 1);
    assert_int_equal(try_object(object, n + sizeof NO_STORAGES - 1, &e), STATUS_UNSUPPORTED);
}

/* The old format: one storage of n floats, and `item` `times` times in a list. */
enum { FLOATS = 1000, TIMES = 20000 };
static size_t shared_storage(unsigned char *to, bool expanded)
{
    static const char head[] = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
                               "\x80\x02M\xe9\x03."
                               "\x80\x02}."
                               "\x80\x02]("
                               "ctorch._utils\n_rebuild_tensor_v2\n(";
    static const char id[] = "(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00"
                             "0X\x03\x00\x00\x00"
                             "cpuM\xe8\x03NtQK\x00";
    static const char turned[] = "K\x0aK\x64\x86K\x01K\x0a\x86"; /* 10 x 100, strides 1 and 10 */
    static const char plain[] = "K\x0aK\x64\x86K\x64K\x01\x86";
    static const char end[] = "\x89"
                              "ccollections\nOrderedDict\n)RtRq\x01";
    size_t n = 0;
#define ADD(bytes) (memcpy(to + n, bytes, sizeof(bytes) - 1), n += sizeof(bytes) - 1)
    ADD(head);
    ADD(id);
    if (expanded)
        ADD(turned);
    else
        ADD(plain);
    ADD(end);
    for (int i = 1; i < TIMES; i++)
        ADD("h\x01");
    ADD("e."
        "\x80\x02]X\x01\x00\x00\x00"
        "0a."
        "\xe8\x03\x00\x00\x00\x00\x00\x00");
#undef ADD
    memset(to + n, 0, FLOATS * sizeof(float));
    return n + FLOATS * sizeof(float);
}

static void shared_storages_cost_what_the_file_holds(void **state)
{
    (void)state;
    enum { MOST = 8 << 20 }; /* of the 80 MB that the tensors would hold */
    for (int expanded = 0; expanded < 2; expanded++) {
        struct errmsg e = {""};
        AUTO(mem_free) unsigned char *file = mem_alloc(2 * TIMES + 4 * FLOATS + 1024);
        size_t len = shared_storage(file, expanded);
        put(file, len);
        uint64_t before = fault_mem_bytes();
        assert_int_equal(try(&e), STATUS_LIMIT);
        assert_non_null(strstr(e.text, "more than the file"));
        assert_in_range(fault_mem_bytes() - before, 0, MOST);
    }
}

/* A member's checksum is computed once, however often it is needed. */
static void a_checksum_is_computed_once(void **state)
{
    (void)state;
    struct errmsg e = {""};
    struct nn_zip z;
    AUTO(mem_free) unsigned char *data = NULL;
    size_t len = get(golden[0], &data);
    assert_int_equal(nn_zip_open(data, len, &z, &e), STATUS_OK);
    struct nn_zip_member *m = &z.member[0];
    for (size_t i = 0; i < z.count; i++)
        m = z.member[i].bytes > m->bytes ? &z.member[i] : m;
    assert_true(nn_zip_intact(m));
    data[m->data - data] ^= 1;
    assert_true(nn_zip_intact(m)); /* remembered */
    nn_zip_done(&z);
    assert_int_equal(nn_zip_open(data, len, &z, &e), STATUS_OK);
    int damaged = 0;
    for (size_t i = 0; i < z.count; i++)
        damaged += !nn_zip_intact(&z.member[i]);
    assert_int_equal(damaged, 1);
    nn_zip_done(&z);
}

/* Two entries of the directory that name the same bytes: the work of reading all members would no longer be
   bounded by the file's length. */
static void members_share_no_bytes(void **state)
{
    (void)state;
    struct errmsg e = {""};
    struct nn_zip z;
    AUTO(mem_free) unsigned char *data = NULL;
    size_t len = get(golden[0], &data), entry[2], n = 0;
    for (size_t i = 0; i + 46 < len && n < 2; i++)
        if (memcmp(data + i, "PK\1\2", 4) == 0 && memcmp(data + i + 24, "\0\0\0\0", 4) != 0)
            entry[n++] = i;
    assert_int_equal(n, 2);
    memcpy(data + entry[1] + 42, data + entry[0] + 42, 4); /* where it is */
    assert_int_equal(nn_zip_open(data, len, &z, &e), STATUS_CORRUPT);
    assert_non_null(strstr(e.text, "one place"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tensor_is_found),
        cmocka_unit_test(safetensors_are_read_as_well),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(a_changed_byte_does_no_harm),
        cmocka_unit_test(nothing_is_run),
        cmocka_unit_test(odd_objects_end_well),
        cmocka_unit_test(shared_values_do_not_multiply),
        cmocka_unit_test(shared_storages_cost_what_the_file_holds),
        cmocka_unit_test(a_checksum_is_computed_once),
        cmocka_unit_test(members_share_no_bytes),
    };
    return cmocka_run_group_tests(tests, memory_file_open, memory_file_close);
}
