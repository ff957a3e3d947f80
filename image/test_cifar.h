#ifndef IMAGE_TEST_CIFAR_H
#define IMAGE_TEST_CIFAR_H
/* For tests: CIFAR batches as Python 2 pickled them, and tar archives. */
#include "test_trees.h"

enum { CIFAR_IMAGE = 3072 };

__attribute__((unused)) static void add(struct buf *b, const void *data, size_t len)
{
    assert_int_equal(buf_add(b, data, len), STATUS_OK);
}
#define ADD(b, literal) add(b, literal, sizeof(literal) - 1)

__attribute__((unused)) static void add_little(struct buf *b, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++, v >>= 8)
        add(b, &(char){(char)v}, 1);
}

__attribute__((unused)) static uint8_t cifar_pixel(int image, size_t at)
{
    return (uint8_t)(at / 1024 * 80 + at % 7 + (size_t)image * 3);
}
__attribute__((unused)) static int cifar_label(int image)
{
    return image * 7 % 10;
}

__attribute__((unused)) static void add_labels(struct buf *b, const char *key, int first, int n)
{
    ADD(b, "U");
    add_little(b, strlen(key), 1);
    add(b, key, strlen(key));
    ADD(b, "](");
    for (int i = 0; i < n; i++) {
        ADD(b, "K");
        add_little(b, (uint64_t)cifar_label(first + i), 1);
    }
    ADD(b, "e");
}

/* numpy's array of n x 3072 bytes; type: "u1". */
__attribute__((unused)) static void add_array(struct buf *b, int first, int n, const char *type)
{
    ADD(b, "cnumpy.core.multiarray\n_reconstruct\nq\x01"
           "cnumpy\nndarray\nK\0\x85U\1b\x87R(K\1M");
    add_little(b, (uint64_t)n, 2);
    ADD(b, "M\0\x0c\x86"
           "cnumpy\ndtype\nU\2");
    add(b, type, 2);
    ADD(b, "K\0K\1\x87R(K\3U\1|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89T");
    add_little(b, (uint64_t)n * CIFAR_IMAGE, 4);
    for (int i = 0; i < n; i++)
        for (size_t k = 0; k < CIFAR_IMAGE; k++)
            add(b, &(char){(char)cifar_pixel(first + i, k)}, 1);
    ADD(b, "tb");
}

/* Images first .. first+n-1 as a pickle. */
__attribute__((unused)) static struct buf cifar_pickle(int first, int n)
{
    struct buf b = BUF_INIT(1 << 24);
    ADD(&b, "\x80\2}q\0(U\x0b"
            "batch_labelU\x04testU\x04"
            "data");
    add_array(&b, first, n, "u1");
    add_labels(&b, "labels", first, n);
    ADD(&b, "u.");
    return b;
}

__attribute__((unused)) static struct buf cifar_binary(int first, int n)
{
    struct buf b = BUF_INIT(1 << 24);
    for (int i = first; i < first + n; i++) {
        add_little(&b, (uint64_t)cifar_label(i), 1);
        for (size_t k = 0; k < CIFAR_IMAGE; k++)
            add_little(&b, cifar_pixel(i, k), 1);
    }
    return b;
}

/* ---- tar ---- */

__attribute__((unused)) static void tar_sum(char block[512])
{
    unsigned sum = 0;
    memset(block + 148, ' ', 8);
    for (int i = 0; i < 512; i++)
        sum += (uint8_t)block[i];
    snprintf(block + 148, 8, "%06o", sum);
}

__attribute__((unused)) static void tar_begin(struct buf *b, const char *name, size_t size,
                                              char type)
{
    char block[512] = "";
    snprintf(block, 100, "%s", name);
    snprintf(block + 124, 12, "%011o", (unsigned)size);
    block[156] = type;
    memcpy(block + 257, "ustar\00000", 8);
    tar_sum(block);
    add(b, block, sizeof block);
}

__attribute__((unused)) static void tar_add(struct buf *b, const char *name, const struct buf *data)
{
    static const char zero[512];
    tar_begin(b, name, data->len, '0');
    add(b, data->data, data->len);
    add(b, zero, -data->len % 512);
}

__attribute__((unused)) static void tar_end(struct buf *b)
{
    static const char zero[1024];
    add(b, zero, sizeof zero);
}

__attribute__((unused)) static void assert_cifar(const struct image_array *a, int first, int n)
{
    assert_int_equal(image_array_count(a), n);
    assert_int_equal(image_array_width(a), 32);
    for (int i = 0; i < n; i++) {
        struct image img = IMAGE_INIT;
        assert_int_equal(image_array_label(a, (size_t)i), cifar_label(first + i));
        assert_int_equal(image_array_get(a, (size_t)i, &img), STATUS_OK);
        for (size_t k = 0; k < CIFAR_IMAGE; k++)
            assert_int_equal(img.pixels[k % 1024 * 3 + k / 1024], cifar_pixel(first + i, k));
        image_done(&img);
    }
}

__attribute__((unused)) static status open_array(const struct scratch *s, const char *name,
                                                 enum image_array_part part,
                                                 struct image_array **out, const char *says)
{
    struct errmsg e = {""};
    status st = image_array_open(in_scratch(s, name), NULL, part, out, &e);
    if (!strstr(e.text, says))
        fail_msg("\"%s\" (%s) does not say \"%s\"", e.text, status_text(st), says);
    return st;
}

__attribute__((unused)) static void refused(const struct scratch *s, struct buf *b, status want,
                                            const char *says)
{
    struct image_array *a = NULL;
    put_file(s, "bad", b->data, b->len);
    buf_done(b);
    assert_int_equal(open_array(s, "bad", IMAGE_ARRAY_ALL, &a, says), want);
    assert_null(a);
}

#endif
