/* Tar archives of CIFAR batches: parts, order, and archives that lie. */
#include "test_cifar.h"

#include <zlib.h>

/* Two images in data_batch_2, one in data_batch_1, one in test_batch; in an odd order. */
static struct buf archive(bool binary)
{
    struct buf tar = BUF_INIT(1 << 24), text = BUF_INIT(64);
    static const struct {
        const char *name;
        int first, n;
    } row[] = {{"test_batch", 3, 1}, {"data_batch_2", 1, 2}, {"data_batch_1", 0, 1}};
    ADD(&text, "an explanation");
    tar_begin(&tar, "cifar/", 0, '5');
    tar_add(&tar, "cifar/readme.html", &text);
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        char name[64];
        struct buf b =
            binary ? cifar_binary(row[i].first, row[i].n) : cifar_pickle(row[i].first, row[i].n);
        snprintf(name, sizeof name, "cifar/%s%s", row[i].name, binary ? ".bin" : "");
        tar_add(&tar, name, &b);
        buf_done(&b);
    }
    tar_end(&tar);
    buf_done(&text);
    return tar;
}

static void parts_are_found_and_ordered(void **state)
{
    struct scratch *s = *state;
    for (int binary = 0; binary < 2; binary++)
        for (int zipped = 0; zipped < 2; zipped++) {
            struct image_array *a = NULL;
            struct buf b = archive(binary);
            if (zipped) {
                gzFile gz = gzopen(in_scratch(s, "cifar.tar"), "wb");
                assert_int_equal(gzwrite(gz, b.data, (unsigned)b.len), b.len);
                assert_int_equal(gzclose(gz), Z_OK);
            } else {
                put_file(s, "cifar.tar", b.data, b.len);
            }
            assert_int_equal(open_array(s, "cifar.tar", IMAGE_ARRAY_ALL, &a, ""), STATUS_OK);
            assert_cifar(a, 0, 3);
            image_array_close(a);
            assert_int_equal(open_array(s, "cifar.tar", IMAGE_ARRAY_TRAIN, &a, ""), STATUS_OK);
            assert_cifar(a, 0, 3);
            image_array_close(a);
            assert_int_equal(open_array(s, "cifar.tar", IMAGE_ARRAY_TEST, &a, ""), STATUS_OK);
            assert_cifar(a, 3, 1);
            image_array_close(a);
            buf_done(&b);
        }
}

/* CIFAR-100 calls its parts train and test; names may go up or be absolute: they are only read. */
static void names_are_only_matched(void **state)
{
    struct scratch *s = *state;
    struct image_array *a = NULL;
    struct buf tar = BUF_INIT(1 << 24), train = cifar_pickle(5, 2), other = cifar_pickle(7, 1);
    tar_add(&tar, "../../../tmp/train", &train);
    tar_add(&tar, "/etc/training", &other);
    tar_add(&tar, "x/data_batch_0", &other);
    tar_add(&tar, "x/data_batch_1x", &other);
    tar_add(&tar, "x/data_batch_111", &other);
    tar_add(&tar, "train/x", &other);
    tar_begin(&tar, "x/data_batch_1", 0, '2'); /* a symbolic link */
    tar_end(&tar);
    put_file(s, "names.tar", tar.data, tar.len);
    assert_int_equal(open_array(s, "names.tar", IMAGE_ARRAY_ALL, &a, ""), STATUS_OK);
    assert_cifar(a, 5, 2);
    image_array_close(a);
    assert_int_equal(open_array(s, "names.tar", IMAGE_ARRAY_TEST, &a, "CIFAR's test batch"),
                     STATUS_UNSUPPORTED);
    buf_done(&tar);
    buf_done(&train);
    buf_done(&other);
}

static void batches_are_whole_and_alike(void **state)
{
    struct scratch *s = *state;
    struct buf tar = BUF_INIT(1 << 24), one = cifar_pickle(0, 1), bad = cifar_pickle(1, 1);
    tar_add(&tar, "data_batch_1", &one);
    tar_add(&tar, "data_batch_3", &one);
    tar_end(&tar);
    refused(s, &tar, STATUS_CORRUPT, "batch 3 but not the one before");
    tar = (struct buf)BUF_INIT(1 << 24);
    tar_add(&tar, "data_batch_1", &one);
    tar_add(&tar, "data_batch_1", &one);
    tar_end(&tar);
    refused(s, &tar, STATUS_CORRUPT, "batch 1 twice");
    tar = (struct buf)BUF_INIT(1 << 24);
    tar_add(&tar, "data_batch_1", &one);
    bad.data[bad.len - 1] = 'x';
    tar_add(&tar, "data_batch_2", &bad);
    tar_end(&tar);
    refused(s, &tar, STATUS_UNSUPPORTED, "batch 2: the pickle at byte");
    struct buf hundred = BUF_INIT(1 << 20);
    ADD(&hundred, "\x80\2}(U\x04"
                  "data");
    add_array(&hundred, 0, 1, "u1");
    add_labels(&hundred, "fine_labels", 0, 1);
    ADD(&hundred, "u.");
    tar = (struct buf)BUF_INIT(1 << 24);
    tar_add(&tar, "data_batch_1", &one);
    tar_add(&tar, "data_batch_2", &hundred);
    tar_end(&tar);
    refused(s, &tar, STATUS_CORRUPT, "batch 2: is not of the first batch's kind");
    buf_done(&one);
    buf_done(&bad);
    buf_done(&hundred);
}

static void a_tar_cut_anywhere_is_refused(void **state)
{
    struct scratch *s = *state;
    struct buf tar = archive(true);
    for (size_t len = 512; len + 1024 <= tar.len; len += 128) {
        struct buf cut = BUF_INIT(1 << 24);
        add(&cut, tar.data, len);
        refused(s, &cut, STATUS_CORRUPT, "cut off");
    }
    buf_done(&tar);
}

static void sizes_are_not_believed(void **state)
{
    struct scratch *s = *state;
    static const struct {
        const char *size; /* 12 bytes */
        status want;
        const char *says;
    } row[] = {
        {"77777777777", STATUS_LIMIT, "MiB"},
        {"00777777777", STATUS_CORRUPT, "cut off"},
        {"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", STATUS_CORRUPT, "damaged"},
        {"\x80\0\0\0\0\x7f\xff\xff\xff\xff\xff\xff", STATUS_LIMIT, "MiB"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", STATUS_CORRUPT, "damaged"},
        {"0x000000010", STATUS_CORRUPT, "damaged"},
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++)
        for (int wanted = 0; wanted < 2; wanted++) {
            struct buf tar = BUF_INIT(1 << 20);
            tar_begin(&tar, wanted ? "train" : "other", 0, '0');
            memcpy(tar.data + 124, row[i].size, 12);
            tar_sum(tar.data);
            tar_end(&tar);
            /* What is passed over may be of any size; the file ends before it does. */
            bool skipped = !wanted && row[i].want == STATUS_LIMIT;
            refused(s, &tar, skipped ? STATUS_CORRUPT : row[i].want,
                    skipped ? "cut off" : row[i].says);
        }
    struct buf tar = archive(true);
    tar.data[512 + 148] ^= 1; /* the second member's sum */
    refused(s, &tar, STATUS_CORRUPT, "damaged");
}

static void no_memory(void **state)
{
    struct scratch *s = *state;
    struct buf tar = archive(false);
    put_file(s, "cifar.tar", tar.data, tar.len);
    status st = STATUS_NOMEM;
    unsigned long n = 1;
    for (; st == STATUS_NOMEM; n++) {
        struct image_array *a = NULL;
        fault_set(FAULT_MEM, n, 0, 0);
        st = image_array_open(in_scratch(s, "cifar.tar"), NULL, IMAGE_ARRAY_ALL, &a, NULL);
        fault_clear();
        image_array_close(a);
    }
    assert_int_equal(st, STATUS_OK);
    assert_true(n > 50);
    buf_done(&tar);
}

#define SCRATCH_TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(parts_are_found_and_ordered), SCRATCH_TEST(names_are_only_matched),
        SCRATCH_TEST(batches_are_whole_and_alike), SCRATCH_TEST(a_tar_cut_anywhere_is_refused),
        SCRATCH_TEST(sizes_are_not_believed),      SCRATCH_TEST(no_memory),
    };
    return cmocka_run_group_tests_name("array_tar", tests, NULL, NULL);
}
