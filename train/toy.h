#ifndef TRAIN_TOY_H
#define TRAIN_TOY_H
/* For tests: a scratch directory and small ImageFolder trees. Include after <cmocka.h>. */
#include "png.h"
#include "stream.h"
#include "train.h"

#include <ftw.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

static char toy_root[256];

static int toy_remove_one(const char *path, const struct stat *sb, int kind, struct FTW *f)
{
    (void)sb;
    (void)kind;
    (void)f;
    return remove(path);
}

__attribute__((unused)) static int toy_setup(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(toy_root, sizeof toy_root, "%s/relearn-train-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(toy_root) ? 0 : -1;
}

__attribute__((unused)) static int toy_teardown(void **state)
{
    (void)state;
    return nftw(toy_root, toy_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A path in the scratch directory; good until the 64th next call. */
__attribute__((unused)) static const char *toy_path(const char *name)
{
    static char path[64][512];
    static int next;
    char *p = path[next++ % 64];
    snprintf(p, sizeof path[0], "%s/%s", toy_root, name);
    return p;
}

/* Fails the test when st is an error, or when it is none or e does not say so. */
__attribute__((unused)) static void toy_good(status st, const struct errmsg *e)
{
    if (st)
        fail_msg("%s: %s", status_text(st), e->text);
}

/* A tree's images as a set, for train_set_free. */
__attribute__((unused)) static struct train_set *toy_set(const char *name)
{
    struct train_set *s = NULL;
    struct errmsg e = {""};
    struct train_data_options o = {.dir = toy_path(name)};
    toy_good(train_set_open(&o, &s, &e), &e);
    return s;
}

__attribute__((unused)) static status toy_bad(status st, const struct errmsg *e, const char *says)
{
    assert_int_not_equal(st, STATUS_OK);
    if (!strstr(e->text, says))
        fail_msg("\"%s\" does not say \"%s\"", e->text, says);
    return st;
}

__attribute__((unused)) static void toy_mkdir(const char *name)
{
    assert_int_equal(io_mkdirs(toy_path(name), 0, NULL), STATUS_OK);
}

__attribute__((unused)) static void toy_write(const char *name, const void *data, size_t len)
{
    FILE *f = fopen(toy_path(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

/* As numpy.save writes it: descr is "|u1" or the like, shape "(3, 8, 8, 3)". */
__attribute__((unused)) static void toy_npy(const char *name, const char *descr, const char *shape,
                                            const void *data, size_t len)
{
    AUTO(buf_done) struct buf file = BUF_INIT((size_t)1 << 28);
    char header[200];
    int n = snprintf(header, sizeof header,
                     "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape);
    const char size[2] = {(char)n, 0};
    assert_in_range(n, 1, 127);
    assert_int_equal(buf_add(&file, "\x93NUMPY\1\0", 8), STATUS_OK);
    assert_int_equal(buf_add(&file, size, 2), STATUS_OK);
    assert_int_equal(buf_add(&file, header, (size_t)n), STATUS_OK);
    assert_int_equal(buf_add(&file, data, len), STATUS_OK);
    toy_write(name, file.data, file.len);
}

__attribute__((unused)) static void toy_image(const char *name, int w, int h, int c,
                                              const uint8_t *pixels)
{
    struct image img = {w, h, c, (uint8_t *)pixels, NULL};
    assert_int_equal(train_png_write(toy_path(name), &img, NULL), STATUS_OK);
}

/* An image of class k out of `classes`: noise, and a bright block whose place says the class. */
__attribute__((unused)) static void toy_class_image(const char *name, int side, int c, int k,
                                                    uint64_t number)
{
    uint8_t pixels[64 * 64 * 3];
    struct nn_rng r = nn_rng(77, number);
    int n = side * side * c;
    for (int i = 0; i < n; i++)
        pixels[i] = (uint8_t)(60 + stream_below(nn_rng_u32(r, (uint64_t)i), 60));
    int half = side / 2, left = (k & 1) * half, top = (k >> 1 & 1) * half;
    for (int y = 0; y < half; y++)
        for (int x = 0; x < half; x++)
            for (int j = 0; j < c; j++)
                pixels[((top + y) * side + left + x) * c + j] =
                    (uint8_t)(pixels[((top + y) * side + left + x) * c + j] + 90);
    toy_image(name, side, side, c, pixels);
}

/* dir/a, dir/b, ... up to four classes with `each` images. */
__attribute__((unused)) static void toy_tree(const char *dir, int classes, int each, int side,
                                             int c, uint64_t seed)
{
    for (int k = 0; k < classes; k++) {
        char name[128];
        snprintf(name, sizeof name, "%s/%c", dir, 'a' + k);
        toy_mkdir(name);
        for (int i = 0; i < each; i++) {
            snprintf(name, sizeof name, "%s/%c/%03d.png", dir, 'a' + k, i);
            toy_class_image(name, side, c, k, seed << 32 | (uint64_t)(k * 1000 + i));
        }
    }
}

/* The file's bytes, for mem_free. */
__attribute__((unused)) static void *toy_read(const char *path, size_t *out_len)
{
    void *data = NULL;
    struct errmsg e = {""};
    if (io_read_file(path, (size_t)1 << 28, &data, out_len, &e))
        fail_msg("%s", e.text);
    return data;
}

__attribute__((unused)) static bool toy_there(const char *name)
{
    struct stat sb;
    return lstat(toy_path(name), &sb) == 0;
}

__attribute__((unused)) static void toy_assert_same_file(const char *a, const char *b)
{
    size_t na, nb;
    void *da = toy_read(a, &na), *db = toy_read(b, &nb);
    assert_int_equal(na, nb);
    assert_memory_equal(da, db, na);
    mem_free(da);
    mem_free(db);
}

/* A training that succeeds. */
__attribute__((unused)) static struct train_result toy_run(struct train_options o)
{
    struct train_result r;
    struct errmsg e = {""};
    toy_good(train_run(&o, &r, &e), &e);
    return r;
}

#endif
