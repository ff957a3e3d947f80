/* Files of many images: only what is asked for is purified, once, and the rest of the file stays. */
#include "testing.h"

#include "list_copy.h"
#include "range.h"

enum { SIDE = 8, CHANNELS = 3, BYTES = SIDE * SIDE * CHANNELS, COUNT = 300, HEAD = 128 };

static struct rig rig;

static int setup(void **state)
{
    (void)state;
    rig_new(&rig);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_free(&rig);
    return 0;
}

/* ---- files ---- */

static uint8_t pixel(uint64_t image, int at)
{
    return (uint8_t)(image * 31 + image / 8 + (uint64_t)at * 7);
}

/* An array of COUNT images; planar: (N,C,H,W). */
static void make_array(const char *name, bool planar)
{
    uint8_t *file = mem_alloc(HEAD + COUNT * BYTES);
    assert_non_null(file);
    memset(file, ' ', HEAD);
    memcpy(file, "\x93NUMPY\1\0\x76\0", 10); /* 118 bytes of header */
    char dict[HEAD];
    int n = snprintf(dict, sizeof dict,
                     "{'descr': '|u1', 'fortran_order': False, 'shape': (%d, %d, %d, %d), }", COUNT,
                     planar ? CHANNELS : SIDE, SIDE, planar ? SIDE : CHANNELS);
    memcpy(file + 10, dict, (size_t)n);
    for (uint64_t i = 0; i < COUNT; i++)
        for (int at = 0; at < BYTES; at++)
            file[HEAD + i * BYTES + (uint64_t)at] = pixel(i, at);
    test_write(rig.dir, name, file, HEAD + COUNT * BYTES);
    mem_free(file);
}

static struct fused_file open_array(const char *name)
{
    char path[512];
    struct stat sb;
    snprintf(path, sizeof path, "%s/%s", rig.dir, name);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &sb), 0);
    struct fused_file f = fused_file_of(fd, name, &sb);
    assert_ok(fused_examine(rig.p, &f, NULL));
    assert_int_equal(f.verdict.group, FUSED_GROUP_IMAGE);
    assert_int_equal(f.verdict.list.count, COUNT);
    assert_int_equal(f.verdict.size, HEAD + COUNT * BYTES);
    return f;
}

/* ---- ranges ---- */

struct seen {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    unsigned images[COUNT]; /* guarded by lock, as all below */
    bool wrong, done;
    uint64_t fail_at;
    status st;
};

static status see(void *arg, uint64_t index, struct fused_bytes *b)
{
    struct seen *s = arg;
    bool wrong = b && b->len != BYTES;
    for (int at = 0; b && !wrong && at < BYTES; at++)
        wrong = b->data[at] != 255 - pixel(index, at);
    pthread_mutex_lock(&s->lock);
    s->wrong |= wrong;
    s->images[index]++;
    pthread_mutex_unlock(&s->lock);
    return index == s->fail_at ? STATUS_NO_SPACE : STATUS_OK;
}

static void see_end(void *arg, status st, const struct errmsg *e)
{
    struct seen *s = arg;
    (void)e;
    pthread_mutex_lock(&s->lock);
    assert_false(s->done);
    s->done = true;
    s->st = st;
    pthread_cond_signal(&s->cond);
    pthread_mutex_unlock(&s->lock);
}

static struct range *begin(struct seen *s, const struct fused_file *f, uint64_t from, uint64_t to,
                           bool want_bytes)
{
    memset(s, 0, sizeof *s);
    s->fail_at = UINT64_MAX;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->cond, NULL);
    const struct range_options o = {.file = f,
                                    .from = from,
                                    .to = to,
                                    .want_bytes = want_bytes,
                                    .priority = PURIFY_URGENT,
                                    .image = see,
                                    .done = see_end,
                                    .arg = s};
    struct range *r;
    assert_ok(range_new(rig.p, &o, &r));
    return r;
}

static status end(struct seen *s, struct range *r)
{
    pthread_mutex_lock(&s->lock);
    while (!s->done)
        pthread_cond_wait(&s->cond, &s->lock);
    pthread_mutex_unlock(&s->lock);
    range_free(r);
    assert_false(s->wrong);
    return s->st;
}

static unsigned images_seen(const struct seen *s, uint64_t from, uint64_t to)
{
    unsigned n = 0;
    for (uint64_t i = from; i < to; i++)
        n += s->images[i];
    return n;
}

static void only_what_is_asked_for_is_purified(void **state)
{
    (void)state;
    struct seen s;
    for (int planar = 0; planar < 2; planar++) {
        make_array("a.npy", planar);
        struct fused_file f = open_array("a.npy");
        unsigned before = fake_submitted(&rig.fake);
        struct range *r = begin(&s, &f, 5, 9, true);
        range_start(r);
        assert_int_equal(end(&s, r), STATUS_OK);
        assert_int_equal(fake_submitted(&rig.fake) - before, 4);
        assert_int_equal(images_seen(&s, 5, 9), 4);
        assert_int_equal(images_seen(&s, 0, COUNT), 4);
        for (int i = 5; i < 9; i++)
            assert_int_equal(s.images[i], 1);
        /* And never again, in any run. */
        assert_ok(cache_flush(rig.cache));
        r = begin(&s, &f, 4, 9, planar);
        range_start(r);
        assert_int_equal(end(&s, r), STATUS_OK);
        assert_int_equal(fake_submitted(&rig.fake) - before, 5);
        close(f.fd);
    }
}

static int never(void *arg)
{
    (void)arg;
    return 0;
}

static void all_of_it_is_a_few_at_a_time(void **state)
{
    (void)state;
    struct seen s;
    uint64_t stored;
    make_array("a.npy", true);
    struct fused_file f = open_array("a.npy");
    rig.fake.queue_max = 3;
    struct range *r = begin(&s, &f, 0, COUNT, false);
    range_start(r);
    assert_int_equal(end(&s, r), STATUS_OK);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(s.images[i], 1);
    assert_ok(cache_flush(rig.cache));
    assert_ok(pipeline_list_stored(rig.p, &f, never, NULL, &stored));
    assert_int_equal(stored, COUNT);
    close(f.fd);
}

static void an_image_and_a_row_of_the_same_pixels_are_purified_once(void **state)
{
    (void)state;
    struct seen s;
    struct asked a;
    make_array("a.npy", false);
    struct image img;
    struct image_info info;
    assert_ok(image_alloc(SIDE, SIDE, CHANNELS, false, &img));
    for (int at = 0; at < BYTES; at++)
        img.pixels[at] = pixel(7, at);
    assert_ok(image_info_new(IMAGE_PNG, &img, &info, NULL));
    uint8_t *png = mem_alloc(info.encoded_size);
    assert_ok(image_encode(&img, &info, NULL, 0, png, info.encoded_size, NULL));
    test_write(rig.dir, "a.png", png, info.encoded_size);
    mem_free(png);
    image_done(&img);
    asked_start(&rig, &a, "a.png", PURIFY_URGENT);
    assert_int_equal(asked_wait(&a), STATUS_OK);
    asked_end(&a);
    struct fused_file f = open_array("a.npy");
    struct range *r = begin(&s, &f, 7, 8, true);
    range_start(r);
    assert_int_equal(end(&s, r), STATUS_OK);
    assert_int_equal(fake_submitted(&rig.fake), 1);
    close(f.fd);
}

static void a_failure_ends_it(void **state)
{
    (void)state;
    struct seen s;
    make_array("a.npy", false);
    struct fused_file f = open_array("a.npy");
    struct range *r = begin(&s, &f, 0, COUNT, true);
    s.fail_at = 2;
    range_start(r);
    assert_int_equal(end(&s, r), STATUS_NO_SPACE);
    assert_true(images_seen(&s, 0, COUNT) < COUNT / 2);
    fake_outcome(&rig.fake, STATUS_IO);
    r = begin(&s, &f, 100, COUNT, true);
    range_start(r);
    assert_int_equal(end(&s, r), STATUS_IO);
    fake_outcome(&rig.fake, STATUS_OK);
    /* A file that is written to meanwhile is not what was examined. */
    assert_int_equal(pwrite(f.fd, "x", 1, HEAD + 200 * BYTES), 1);
    r = begin(&s, &f, 200, 201, true);
    range_start(r);
    assert_int_equal(end(&s, r), STATUS_AGAIN);
    close(f.fd);
}

static void who_gave_up_is_not_worked_for(void **state)
{
    (void)state;
    struct seen s;
    struct pipeline_stats ps;
    make_array("a.npy", false);
    struct fused_file f = open_array("a.npy");
    fake_hold(&rig.fake, true);
    struct range *r = begin(&s, &f, 0, COUNT, true);
    range_start(r);
    range_abandon(r);
    pipeline_stats(rig.p, &ps);
    assert_int_equal(ps.urgent, 0);
    fake_hold(&rig.fake, false);
    assert_int_equal(end(&s, r), STATUS_CANCELLED);
    assert_true(images_seen(&s, 0, COUNT) < COUNT / 2);
    pipeline_stats(rig.p, &ps);
    assert_int_equal(ps.urgent, 0);
    /* The same of a pipeline that stops. */
    r = begin(&s, &f, 0, COUNT, true);
    pipeline_stop(rig.p);
    range_start(r);
    assert_int_equal(end(&s, r), STATUS_CANCELLED);
    assert_int_equal(images_seen(&s, 0, COUNT), 0);
    close(f.fd);
}

static void who_gave_up_at_once_is_not_worked_for(void **state)
{
    (void)state;
    struct seen s;
    struct pipeline_stats ps;
    make_array("a.npy", false);
    struct fused_file f = open_array("a.npy");
    struct range *r = begin(&s, &f, 0, COUNT, true);
    range_abandon(r);
    pipeline_stats(rig.p, &ps);
    assert_int_equal(ps.urgent, 0);
    range_start(r);
    assert_int_equal(end(&s, r), STATUS_CANCELLED);
    assert_int_equal(images_seen(&s, 0, COUNT), 0);
    close(f.fd);
}

/* ---- copies ---- */

static unsigned copied;

static void count_copied(void *arg)
{
    (void)arg;
    __atomic_add_fetch(&copied, 1, __ATOMIC_RELAXED);
}

static int after_some(void *arg)
{
    (void)arg;
    return __atomic_load_n(&copied, __ATOMIC_RELAXED) > 10;
}

static void a_copy_has_the_header_and_purified_images(void **state)
{
    (void)state;
    static uint8_t from[HEAD + COUNT * BYTES], to[sizeof from + 1];
    char path[512];
    int reading;
    struct errmsg e = {""};
    make_array("a.npy", true);
    struct fused_file f = open_array("a.npy");
    snprintf(path, sizeof path, "%s/copy", rig.dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct list_copy c = {.pipeline = rig.p, .from = &f, .to = fd, .copied = count_copied};
    copied = 0;
    assert_ok(list_copy(&c, &reading, &e));
    assert_int_equal(copied, COUNT);
    assert_int_equal(pread(f.fd, from, sizeof from, 0), sizeof from);
    assert_int_equal(pread(fd, to, sizeof to, 0), sizeof from);
    assert_memory_equal(to, from, HEAD);
    for (size_t i = HEAD; i < sizeof from; i++)
        assert_int_equal(to[i], 255 - from[i]);
    copied = 0;
    c.stop = after_some;
    assert_int_equal(list_copy(&c, &reading, &e), STATUS_CANCELLED);
    close(fd);
    /* What cannot be written to is not the source's fault. */
    c.stop = NULL;
    c.to = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_int_not_equal(list_copy(&c, &reading, &e), STATUS_OK);
    assert_int_equal(reading, 0);
    close(c.to);
    close(f.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(only_what_is_asked_for_is_purified),
        T(all_of_it_is_a_few_at_a_time),
        T(an_image_and_a_row_of_the_same_pixels_are_purified_once),
        T(a_failure_ends_it),
        T(who_gave_up_is_not_worked_for),
        T(who_gave_up_at_once_is_not_worked_for),
        T(a_copy_has_the_header_and_purified_images),
    };
    return cmocka_run_group_tests_name("range", tests, NULL, NULL);
}
