/* Headers of numpy's files: what numpy writes is read, what it does not write is refused. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The file's beginning, of this version of the format. */
static size_t head(unsigned char *out, int version, const char *dict)
{
    size_t n = strlen(dict), start = version == 1 ? 10 : 12;
    memcpy(out, "\x93NUMPY", 6);
    out[6] = (unsigned char)version;
    out[7] = 0;
    for (size_t i = 8; i < start; i++)
        out[i] = (unsigned char)(n >> (8 * (i - 8)) & 255);
    memcpy(out + start, dict, n);
    return start + n;
}

static void headers_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *dict, *type;
        bool fortran;
        int rank;
        uint64_t dim[4], count;
    } row[] = {
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (10, 32, 16, 3), }   \n",
         "|u1",
         false,
         4,
         {10, 32, 16, 3},
         15360},
        {"{'shape':(2,),'descr':'<f4','fortran_order':True}", "<f4", true, 1, {2}, 2},
        {"{'descr': '<i8', 'fortran_order': False, 'shape': (), }", "<i8", false, 0, {0}, 1},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999, 0), }",
         "|u1",
         false,
         2,
         {INT64_MAX, 0},
         0},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (4294967296, 4294967296), }",
         "|u1",
         false,
         2,
         {4294967296, 4294967296},
         INT64_MAX},
        {"{'descr': 'a name that is too long', 'fortran_order': False, 'shape': (1,), }",
         "",
         false,
         1,
         {1},
         1},
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++)
        for (int version = 1; version <= 3; version++) {
            unsigned char file[256];
            struct npy_header h;
            size_t n = head(file, version, row[i].dict);
            assert_true(npy_is(file, n));
            assert_int_equal(npy_parse(file, n, &h, NULL), STATUS_OK);
            assert_string_equal(h.type, row[i].type);
            assert_int_equal(h.fortran, row[i].fortran);
            assert_int_equal(h.rank, row[i].rank);
            assert_memory_equal(h.dim, row[i].dim, (size_t)h.rank * sizeof h.dim[0]);
            assert_int_equal(h.data_at, n);
            assert_int_equal(npy_count(&h), row[i].count);
            for (size_t cut = 0; cut < n; cut++)
                assert_int_equal(npy_parse(file, cut, &h, NULL), STATUS_CORRUPT);
        }
}

static void more_axes_than_are_kept_are_counted(void **state)
{
    (void)state;
    unsigned char file[256];
    struct npy_header h;
    size_t n = head(file, 1,
                    "{'descr': '|u1', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,1,1), }");
    assert_int_equal(npy_parse(file, n, &h, NULL), STATUS_OK);
    assert_true(h.rank > NPY_RANK_MAX);
    assert_int_equal(npy_count(&h), INT64_MAX);
}

static void others_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "{}",
        "{'descr': '|u1', 'fortran_order': False}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1,), 'more': 1}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1,), 'shape': (2,)}",
        "{'descr': '|u1', 'fortran_order': 0, 'shape': (1,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1 2)}",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1,)} and more",
    };
    unsigned char file[256];
    struct npy_header h;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(npy_parse(file, head(file, 1, bad[i]), &h, NULL), STATUS_CORRUPT);
    size_t n = head(file, 1, "{'descr': '|u1', 'fortran_order': False, 'shape': (1,)}");
    file[6] = 9;
    assert_int_equal(npy_parse(file, n, &h, NULL), STATUS_UNSUPPORTED);
    file[0] = 'x';
    assert_false(npy_is(file, n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_read),
        cmocka_unit_test(more_axes_than_are_kept_are_counted),
        cmocka_unit_test(others_are_refused),
    };
    return cmocka_run_group_tests_name("npy", tests, NULL, NULL);
}
