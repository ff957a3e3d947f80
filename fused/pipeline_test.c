#include "testing.h"

#include <stdatomic.h>
#include <unistd.h>

#include "base/banned.h"

static struct rig rig;

static int set_up(void **state)
{
    (void)state;
    rig_new(&rig);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fault_clear();
    rig_free(&rig);
    return 0;
}

static void restart(const struct pipeline_options *opt)
{
    rig_stop(&rig);
    rig_start(&rig, opt);
}

/* The memo refuses files that changed a moment ago. */
static void let_files_settle(void)
{
    usleep(30000);
}

/* What the pipeline must give for a PNG or JPEG in memory: decoded, inverted, encoded. */
static uint8_t *expected(const uint8_t *data, size_t len, size_t *out_len)
{
    struct image_limits lim = image_limits_default();
    struct image img;
    struct image_info info;
    assert_ok(image_decode(data, len, &lim, &img, &info, NULL));
    for (size_t i = 0; i < image_pixel_bytes(&img); i++)
        img.pixels[i] ^= 0xff;
    AUTO(mem_free) uint8_t *meta = mem_alloc(info.metadata_bytes + 1);
    uint8_t *out = mem_alloc(info.encoded_size);
    assert_non_null(meta);
    assert_non_null(out);
    assert_ok(image_metadata(data, len, &info, &lim, meta, NULL));
    assert_ok(image_encode(&img, &info, meta, info.metadata_bytes, out, info.encoded_size, NULL));
    image_done(&img);
    *out_len = info.encoded_size;
    return out;
}

static void assert_served(const char *name)
{
    char path[512];
    void *data;
    size_t len, want_len;
    struct asked a;
    snprintf(path, sizeof path, "%s/%s", rig.dir, name);
    assert_ok(io_read_file(path, 1 << 20, &data, &len, NULL));
    uint8_t *want = expected(data, len, &want_len);
    asked_start(&rig, &a, name, PURIFY_URGENT);
    uint64_t promised = a.f.verdict.size;
    assert_ok(asked_wait(&a));
    assert_int_equal(a.f.kind, FUSED_IMAGE);
    assert_int_equal(a.f.bytes->len, promised);
    assert_int_equal(a.f.bytes->len, want_len);
    assert_memory_equal(a.f.bytes->data, want, want_len);
    asked_end(&a);
    mem_free(want);
    mem_free(data);
}

static void sizes_are_promised_and_kept(void **state)
{
    (void)state;
    const struct {
        const char *name;
        enum image_format format;
        int channels;
        bool alpha;
    } kinds[] = {{"grey.png", IMAGE_PNG, 1, false},  {"rgb.png", IMAGE_PNG, 3, false},
                 {"la.png", IMAGE_PNG, 1, true},     {"rgba.png", IMAGE_PNG, 3, true},
                 {"grey.jpg", IMAGE_JPEG, 1, false}, {"rgb.jpg", IMAGE_JPEG, 3, false}};
    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
        test_image(rig.dir, kinds[i].name, kinds[i].format, 13 + (int)i, kinds[i].channels,
                   kinds[i].alpha, i);
        assert_served(kinds[i].name);
    }
    /* From the cache, alpha from the source. */
    let_files_settle();
    for (int round = 0; round < 2; round++) {
        restart(NULL);
        for (unsigned i = 0; i < ARRAY_LEN(kinds); i++)
            assert_served(kinds[i].name);
        assert_int_equal(fake_submitted(&rig.fake), 0);
    }
}

static void the_memo_spares_decoding(void **state)
{
    (void)state;
    struct asked a;
    test_image(rig.dir, "a.png", IMAGE_PNG, 16, 3, false, 1);
    let_files_settle();
    assert_served("a.png");
    assert_ok(cache_flush(rig.cache));
    assert_ok(asked_examine(&rig, &a, "a.png"));
    assert_true(a.f.verdict.has_pixels);
    assert_true(fused_is_cached(rig.p, &a.f.verdict));
    asked_end(&a);
}

static void same_pixels_are_purified_once(void **state)
{
    (void)state;
    enum { FILES = 8 };
    struct asked a[FILES];
    struct pipeline_stats ps;
    for (int i = 0; i < FILES; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d.png", i);
        test_image(rig.dir, name, IMAGE_PNG, 16, 3, false, 5);
    }
    fake_hold(&rig.fake, true);
    for (int i = 0; i < FILES; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d.png", i);
        asked_start(&rig, &a[i], name, PURIFY_URGENT);
    }
    do
        pipeline_stats(rig.p, &ps);
    while (ps.coalesced < FILES - 1);
    fake_hold(&rig.fake, false);
    for (int i = 0; i < FILES; i++)
        assert_ok(asked_wait(&a[i]));
    assert_int_equal(fake_submitted(&rig.fake), 1);
    for (int i = 0; i < FILES; i++) {
        assert_memory_equal(a[i].f.bytes->data, a[0].f.bytes->data, a[0].f.bytes->len);
        asked_end(&a[i]);
    }
}

static void a_reader_promotes_what_the_sweep_began(void **state)
{
    (void)state;
    struct asked sweep, reader;
    struct pipeline_stats ps;
    test_image(rig.dir, "a.png", IMAGE_PNG, 16, 3, false, 6);
    fake_hold(&rig.fake, true);
    asked_start(&rig, &sweep, "a.png", PURIFY_SWEEP);
    while (fake_submitted(&rig.fake) == 0) {
    }
    asked_start(&rig, &reader, "a.png", PURIFY_URGENT);
    do
        pipeline_stats(rig.p, &ps);
    while (ps.coalesced == 0);
    pthread_mutex_lock(&rig.fake.lock);
    assert_int_equal(rig.fake.promoted, 1);
    assert_int_equal(rig.fake.first->priority, PURIFY_URGENT);
    pthread_mutex_unlock(&rig.fake.lock);
    assert_int_equal(pipeline_state_of(rig.p, &reader.f.id, &reader.f.verdict), PIPELINE_RUNNING);
    fake_hold(&rig.fake, false);
    assert_ok(asked_wait(&sweep));
    assert_ok(asked_wait(&reader));
    asked_end(&sweep);
    asked_end(&reader);
}

static void what_is_no_image_is_original(void **state)
{
    (void)state;
    struct asked a;
    const char *names[] = {"label.txt", "empty"};
    test_write(rig.dir, "label.txt", "cat\n", 4);
    test_write(rig.dir, "empty", "", 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_ok(asked_examine(&rig, &a, names[i]));
        assert_int_equal(a.f.verdict.kind, FUSED_ORIGINAL);
        assert_int_equal(a.f.verdict.size, a.f.id.size);
        assert_string_equal(a.f.verdict.reason, "");
        asked_end(&a);
    }
}

static void a_truncated_file_is_known_before_it_is_read(void **state)
{
    (void)state;
    for (int format = 0; format <= IMAGE_JPEG; format++) {
        struct asked a;
        size_t len;
        uint8_t *data = test_encode((enum image_format)format, 32, 3, false, 9, &len);
        test_write(rig.dir, "cut", data, len * 2 / 3);
        mem_free(data);
        assert_ok(asked_examine(&rig, &a, "cut"));
        assert_int_equal(a.f.verdict.kind, FUSED_ORIGINAL);
        assert_int_equal(a.f.verdict.size, len * 2 / 3);
        assert_true(a.f.verdict.reason[0] != 0);
        asked_end(&a);
    }
}

static void damage_inside_is_found_once_and_remembered(void **state)
{
    (void)state;
    struct asked a;
    size_t len;
    uint8_t *data = test_encode(IMAGE_PNG, 32, 3, false, 9, &len);
    data[len / 2] ^= 0x55;
    test_write(rig.dir, "bad.png", data, len);
    mem_free(data);
    let_files_settle();
    asked_start(&rig, &a, "bad.png", PURIFY_URGENT);
    assert_ok(asked_wait(&a));
    assert_int_equal(a.f.kind, FUSED_ORIGINAL);
    assert_null(a.f.bytes);
    assert_true(a.f.reason[0] != 0);
    asked_end(&a);
    assert_ok(cache_flush(rig.cache));
    assert_ok(asked_examine(&rig, &a, "bad.png"));
    assert_int_equal(a.f.verdict.kind, FUSED_ORIGINAL);
    assert_int_equal(a.f.verdict.size, len);
    assert_true(a.f.verdict.reason[0] != 0);
    asked_end(&a);
}

static void too_large_is_original(void **state)
{
    (void)state;
    struct asked a;
    restart(&(struct pipeline_options){.max_pixels = 100, .threads = 1});
    test_image(rig.dir, "big.png", IMAGE_PNG, 16, 3, false, 1);
    assert_ok(asked_examine(&rig, &a, "big.png"));
    assert_int_equal(a.f.verdict.kind, FUSED_ORIGINAL);
    assert_true(a.f.verdict.reason[0] != 0);
    asked_end(&a);
}

static void a_failing_purifier_is_an_error_for_every_waiter(void **state)
{
    (void)state;
    struct asked a[3];
    test_image(rig.dir, "a.png", IMAGE_PNG, 16, 3, false, 1);
    fake_outcome(&rig.fake, STATUS_NOMEM);
    for (int i = 0; i < 3; i++)
        asked_start(&rig, &a[i], "a.png", i ? PURIFY_URGENT : PURIFY_SWEEP);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(asked_wait(&a[i]), STATUS_NOMEM);
        assert_string_equal(a[i].f.err.text, "the fake says so");
        assert_null(a[i].f.bytes);
        asked_end(&a[i]);
    }
    fake_outcome(&rig.fake, STATUS_OK);
    assert_served("a.png");
}

enum { MANY = 40 };

static void many_files(void)
{
    for (unsigned i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof name, "%u.png", i);
        test_image(rig.dir, name, IMAGE_PNG, 8 + (int)(i % 5), 3, false, 100 + i);
    }
}

static void ask_many(struct asked *a)
{
    for (unsigned i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof name, "%u.png", i);
        asked_start(&rig, &a[i], name, i % 3 ? PURIFY_URGENT : PURIFY_SWEEP);
    }
}

static void a_full_purifier_and_little_memory_only_delay(void **state)
{
    (void)state;
    static struct asked a[MANY];
    restart(&(struct pipeline_options){.threads = 3, .inflight_bytes = 4000});
    rig.fake.queue_max = 1;
    many_files();
    ask_many(a);
    for (int i = 0; i < MANY; i++) {
        assert_ok(asked_wait(&a[i]));
        asked_end(&a[i]);
    }
    struct pipeline_stats ps;
    pipeline_stats(rig.p, &ps);
    assert_int_equal(ps.inflight_bytes, 0);
    assert_int_equal(ps.urgent, 0);
    assert_int_equal(ps.flights, 0);
    assert_int_equal(ps.purified, MANY);
}

static void stopping_answers_everything_once(void **state)
{
    (void)state;
    static struct asked a[MANY];
    rig.fake.queue_max = 5;
    many_files();
    fake_hold(&rig.fake, true);
    ask_many(a);
    struct pipeline_stats ps;
    do
        pipeline_stats(rig.p, &ps);
    while (ps.flights < 6 || fake_submitted(&rig.fake) < 5); /* the purifier's fill, and one more */
    rig_stop(&rig);
    assert_int_equal(rig.fake.cancelled, 5);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(a[i].answers, 1);
        assert_int_equal(a[i].st, STATUS_CANCELLED);
        asked_end(&a[i]);
    }
    rig_start(&rig, NULL);
}

static void a_file_that_changes_meanwhile_is_not_served(void **state)
{
    (void)state;
    struct asked a;
    test_image(rig.dir, "a.png", IMAGE_PNG, 16, 3, false, 1);
    assert_ok(asked_examine(&rig, &a, "a.png"));
    test_image(rig.dir, "a.png", IMAGE_PNG, 17, 3, false, 2);
    fused_fetch_start(rig.p, &a.f, PURIFY_URGENT);
    assert_int_equal(asked_wait(&a), STATUS_AGAIN);
    asked_end(&a);
    assert_served("a.png");
}

static void a_full_disk_does_not_stop_serving(void **state)
{
    (void)state;
    struct pipeline_stats ps;
    test_image(rig.dir, "a.png", IMAGE_PNG, 16, 3, false, 1);
    test_image(rig.dir, "b.png", IMAGE_PNG, 16, 3, false, 2);
    fault_set(FAULT_WRITE, 1, 1, ENOSPC);
    assert_served("a.png");
    assert_served("b.png");
    status_ignore(cache_flush(rig.cache), "it fails, that is the test");
    fault_clear();
    pipeline_stats(rig.p, &ps);
    assert_true(ps.no_space > 0);
}

/* Each n-th allocation fails once: every fetch is answered once, with the right bytes or an error.
 */
static void no_memory_is_an_error_never_wrong_bytes(void **state)
{
    (void)state;
    size_t len, want_len;
    uint8_t *data = test_encode(IMAGE_JPEG, 24, 3, false, 3, &len),
            *want = expected(data, len, &want_len);
    test_write(rig.dir, "a.jpg", data, len);
    int failures = 0, served = 0;
    for (unsigned long n = 1; n < 200; n++) {
        struct asked a;
        restart(NULL);
        assert_ok(cache_remove(rig.cache, CACHE_ALL, NULL, NULL));
        fault_set(FAULT_MEM, n, 0, 0);
        status st = asked_examine(&rig, &a, "a.jpg");
        if (!st && a.f.verdict.kind == FUSED_IMAGE) {
            fused_fetch_start(rig.p, &a.f, PURIFY_URGENT);
            st = asked_wait(&a);
        }
        bool fault_left = fault_calls(FAULT_MEM) < n;
        fault_clear();
        if (st) {
            assert_int_equal(st, STATUS_NOMEM);
            failures++;
        } else {
            assert_int_equal(a.f.kind, FUSED_IMAGE);
            assert_memory_equal(a.f.bytes->data, want, want_len);
            served++;
        }
        asked_end(&a);
        if (fault_left || (n > 60 && !st))
            break;
    }
    assert_true(failures > 0); /* how many depends on which threads' allocations were hit */
    assert_true(served > 0);
    mem_free(want);
    mem_free(data);
}

/* ---- many threads ---- */

enum { THREADS = 6, ROUNDS = 60 };

struct stress {
    uint8_t *want[MANY];
    size_t len[MANY];
    atomic_int wrong;
};

static void *stress_main(void *arg)
{
    struct stress *s = arg;
    unsigned x = (unsigned)(uintptr_t)&x;
    for (int i = 0; i < ROUNDS; i++) {
        struct asked a;
        char name[16];
        x = x * 1664525u + 1013904223u;
        unsigned n = (x >> 16) % MANY;
        snprintf(name, sizeof name, "%u.png", n);
        if (asked_examine(&rig, &a, name)) {
            s->wrong++;
            continue;
        }
        fused_fetch_start(rig.p, &a.f, x >> 8 & 1 ? PURIFY_URGENT : PURIFY_SWEEP);
        status st = asked_wait(&a);
        if (st || a.answers != 1 || a.f.bytes->len != s->len[n] ||
            memcmp(a.f.bytes->data, s->want[n], s->len[n]) != 0)
            s->wrong++;
        asked_end(&a);
    }
    return NULL;
}

static void threads_get_the_right_bytes(void **state)
{
    (void)state;
    static struct stress s;
    pthread_t thread[THREADS];
    many_files();
    /* Memory for a few images only, so that all three places answer. */
    restart(
        &(struct pipeline_options){.threads = 3, .encoded_bytes = 2000, .inflight_bytes = 8000});
    rig.fake.queue_max = 3;
    for (unsigned i = 0; i < MANY; i++) {
        size_t len;
        uint8_t *data = test_encode(IMAGE_PNG, 8 + (int)(i % 5), 3, false, 100 + i, &len);
        s.want[i] = expected(data, len, &s.len[i]);
        mem_free(data);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, stress_main, &s), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(s.wrong, 0);
    struct pipeline_stats ps;
    pipeline_stats(rig.p, &ps);
    assert_true(ps.memory_hits > 0);
    assert_true(ps.cache_hits > 0);
    assert_int_equal(ps.purified, MANY);
    for (int i = 0; i < MANY; i++)
        mem_free(s.want[i]);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sizes_are_promised_and_kept),
        TEST(the_memo_spares_decoding),
        TEST(same_pixels_are_purified_once),
        TEST(a_reader_promotes_what_the_sweep_began),
        TEST(what_is_no_image_is_original),
        TEST(a_truncated_file_is_known_before_it_is_read),
        TEST(damage_inside_is_found_once_and_remembered),
        TEST(too_large_is_original),
        TEST(a_failing_purifier_is_an_error_for_every_waiter),
        TEST(a_full_purifier_and_little_memory_only_delay),
        TEST(stopping_answers_everything_once),
        TEST(a_file_that_changes_meanwhile_is_not_served),
        TEST(a_full_disk_does_not_stop_serving),
        TEST(no_memory_is_an_error_never_wrong_bytes),
        TEST(threads_get_the_right_bytes),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
