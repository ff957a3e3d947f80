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
    uint64_t promised = a.f.file.verdict.size;
    assert_ok(asked_wait(&a));
    assert_int_equal(a.f.file.verdict.group, FUSED_GROUP_IMAGE);
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
    assert_served("a.png");
    assert_ok(cache_flush(rig.cache));
    assert_ok(asked_examine(&rig, &a, "a.png"));
    assert_false(a.f.file.verdict.has_pixels); /* a header does not tell */
    assert_ok(fused_identify(rig.p, &a.f.file, NULL));
    assert_true(a.f.file.verdict.has_pixels);
    assert_true(fused_is_cached(rig.p, &a.f.file.verdict));
    asked_end(&a);
}

/* Whoever is answered from memory learns as much as whoever came first. */
static void bytes_in_memory_come_with_both_digests(void **state)
{
    (void)state;
    struct asked a;
    struct pipeline_stats ps;
    test_image(rig.dir, "a.png", IMAGE_PNG, 16, 3, false, 1);
    assert_served("a.png");
    assert_ok(cache_flush(rig.cache));
    asked_start(&rig, &a, "a.png", PURIFY_URGENT);
    assert_ok(asked_wait(&a));
    pipeline_stats(rig.p, &ps);
    assert_int_equal(ps.memory_hits, 1);
    assert_true(a.f.file.verdict.has_source);
    assert_true(fused_is_cached(rig.p, &a.f.file.verdict));
    asked_end(&a);
}

/* As on a file system that gave a number, a size and times to another file. */
static void the_bytes_decide_not_the_identity(void **state)
{
    (void)state;
    struct asked a, b;
    test_image(rig.dir, "a.png", IMAGE_PNG, 16, 3, false, 1);
    test_image(rig.dir, "b.png", IMAGE_PNG, 16, 3, false, 2);
    usleep(30000); /* the table refuses files that changed a moment ago */
    asked_start(&rig, &a, "a.png", PURIFY_URGENT);
    assert_ok(asked_wait(&a));
    assert_ok(asked_examine(&rig, &b, "b.png"));
    assert_ok(cache_file_put(rig.cache, &b.f.file.id, &a.f.file.verdict.source));
    asked_end(&b);
    assert_ok(cache_flush(rig.cache));
    assert_served("b.png");
    restart(NULL);
    assert_served("b.png");
    /* Who says that identities can be believed is believed. */
    restart(&(struct pipeline_options){.threads = 2, .immutable = true});
    assert_ok(asked_examine(&rig, &b, "b.png"));
    assert_true(b.f.file.verdict.has_source);
    assert_memory_equal(&b.f.file.verdict.source, &a.f.file.verdict.source, sizeof(struct digest));
    assert_true(fused_is_cached(rig.p, &b.f.file.verdict));
    asked_end(&b);
    asked_end(&a);
}

static void an_immutable_source_is_read_once(void **state)
{
    (void)state;
    struct asked a;
    test_image(rig.dir, "a.png", IMAGE_PNG, 16, 3, false, 1);
    usleep(30000);
    for (int round = 0; round < 2; round++) {
        restart(&(struct pipeline_options){.threads = 2, .immutable = true});
        assert_ok(asked_examine(&rig, &a, "a.png"));
        assert_int_equal(fused_is_cached(rig.p, &a.f.file.verdict), round > 0);
        asked_end(&a);
        assert_served("a.png");
    }
}

/* A chmod, a new name, an unlink: the descriptor still has the bytes. */
static void an_open_file_is_the_version_that_was_opened(void **state)
{
    (void)state;
    struct asked a, again;
    test_image(rig.dir, "a.png", IMAGE_PNG, 16, 3, true, 1);
    asked_start(&rig, &a, "a.png", PURIFY_URGENT);
    assert_ok(asked_wait(&a));
    restart(NULL);
    again = a;
    again.f.bytes = NULL;
    again.answers = 0;
    assert_int_equal(fchmod(a.f.file.fd, 0600), 0);
    struct stat sb;
    assert_int_equal(fstat(a.f.file.fd, &sb), 0);
    again.f.file.id = fused_file_id(&sb);
    again.f.same_bytes = true;
    again.f.arg = &again;
    fused_fetch_start(rig.p, &again.f, PURIFY_URGENT);
    assert_ok(asked_wait(&again));
    assert_int_equal(again.f.bytes->len, a.f.bytes->len);
    assert_memory_equal(again.f.bytes->data, a.f.bytes->data, a.f.bytes->len);
    fused_bytes_unref(again.f.bytes);
    /* Overwritten in place it is gone, once memory has forgotten it. */
    restart(NULL);
    test_image(rig.dir, "a.png", IMAGE_PNG, 16, 3, true, 2);
    assert_int_equal(fstat(a.f.file.fd, &sb), 0);
    again.f.file.id = fused_file_id(&sb);
    again.answers = 0;
    fused_fetch_start(rig.p, &again.f, PURIFY_URGENT);
    assert_int_equal(asked_wait(&again), STATUS_AGAIN);
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
    for (int i = 1; i < FILES; i++)
        assert_memory_equal(a[i].f.bytes->data, a[0].f.bytes->data, a[0].f.bytes->len);
    for (int i = 0; i < FILES; i++)
        asked_end(&a[i]);
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
    assert_int_equal(pipeline_state_of(rig.p, &reader.f.file.id, &reader.f.file.verdict),
                     PIPELINE_RUNNING);
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
        assert_int_equal(a.f.file.verdict.group, FUSED_GROUP_OTHER);
        assert_int_equal(a.f.file.verdict.size, a.f.file.id.size);
        assert_string_equal(a.f.file.verdict.reason, "");
        asked_end(&a);
    }
}

static void files_of_images_are_not_purified_and_named(void **state)
{
    (void)state;
    const struct {
        const char *name, *bytes;
        size_t len;
    } files[] = {
        {"a.npy", "\x93NUMPY\1\0v\0{'descr'", 18},
        {"a.zip", "PK\3\4\x14\0\0\0", 8},
        {"a.jpg", "GIF8", 4},
        {"b.png", "", 0},
        {"c.png", "\x89PNG\r\n\x1a\n\0\0", 10},
    };
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct asked a;
        test_write(rig.dir, files[i].name, files[i].bytes, files[i].len);
        assert_ok(asked_examine(&rig, &a, files[i].name));
        assert_int_equal(a.f.file.verdict.group, FUSED_GROUP_UNPURIFIED);
        assert_int_equal(a.f.file.verdict.size, files[i].len);
        assert_true(a.f.file.verdict.reason[0] != 0);
        asked_end(&a);
    }
}

static void rules_decide_by_name(void **state)
{
    (void)state;
    struct asked a;
    struct fused_rules rules = {0};
    assert_ok(fused_rules_add(&rules, false, "mask.png", NULL));
    test_image(rig.dir, "a.png", IMAGE_PNG, 16, 3, false, 1);
    test_image(rig.dir, "mask.png", IMAGE_PNG, 16, 3, false, 1);
    restart(&(struct pipeline_options){.threads = 1, .rules = &rules});
    assert_ok(asked_examine(&rig, &a, "a.png"));
    assert_int_equal(a.f.file.verdict.group, FUSED_GROUP_IMAGE);
    asked_end(&a);
    assert_ok(asked_examine(&rig, &a, "mask.png"));
    assert_int_equal(a.f.file.verdict.group, FUSED_GROUP_EXCLUDED);
    assert_int_equal(a.f.file.verdict.size, a.f.file.id.size);
    asked_end(&a);
    restart(NULL);
    fused_rules_done(&rules);
}

static void assert_padded(const struct asked *a, const uint8_t *data, size_t len)
{
    uint8_t got[8192];
    size_t n;
    assert_true(a->f.file.verdict.size <= sizeof got);
    for (size_t step = 1; step < 5000; step = step * 3 + 1) {
        for (uint64_t off = 0; off < a->f.file.verdict.size; off += n) {
            assert_ok(fused_read_original(a->f.file.fd, a->f.file.id.size, a->f.file.verdict.size,
                                          got + off, step, off, &n));
            assert_true(n > 0);
        }
        assert_memory_equal(got, data, len);
        for (uint64_t i = len; i < a->f.file.verdict.size; i++)
            assert_int_equal(got[i], FUSED_PAD);
    }
    assert_ok(fused_read_original(a->f.file.fd, a->f.file.id.size, a->f.file.verdict.size, got, 10,
                                  a->f.file.verdict.size, &n));
    assert_int_equal(n, 0);
}

/* What only decoding finds does not change the size that was told: before, after, and in the next
   mount. */
static void a_damaged_image_keeps_its_size(void **state)
{
    (void)state;
    for (int format = 0; format <= IMAGE_JPEG; format++)
        for (int cut = 0; cut < 2; cut++) {
            struct asked a;
            size_t len;
            uint64_t told = 0;
            uint8_t *data = test_encode((enum image_format)format, 32, 3, false, 9, &len);
            if (cut)
                len = len * 2 / 3;
            else if (format == IMAGE_PNG) /* a block of deflate's fourth kind, which there is not */
                ((uint8_t *)memmem(data, len, "IDAT", 4))[6] = 7;
            else
                len -= len / 8; /* the last rows are missing */
            test_write(rig.dir, "bad", data, len);
            for (int round = 0; round < 3; round++) {
                asked_start(&rig, &a, "bad", PURIFY_URGENT);
                if (!round)
                    told = a.f.file.verdict.size;
                assert_int_equal(a.f.file.verdict.size, told);
                assert_true(told >= len);
                assert_ok(asked_wait(&a));
                assert_int_equal(a.f.file.verdict.group, FUSED_GROUP_UNPURIFIED);
                assert_null(a.f.bytes);
                assert_true(a.f.file.verdict.reason[0] != 0);
                assert_int_equal(a.f.file.verdict.size, told);
                assert_padded(&a, data, len);
                asked_end(&a);
                assert_ok(cache_flush(rig.cache)); /* then the memo knows */
                if (round)
                    restart(NULL);
            }
            mem_free(data);
        }
    assert_int_equal(fake_submitted(&rig.fake), 0);
}

static void too_large_is_original(void **state)
{
    (void)state;
    struct asked a;
    restart(&(struct pipeline_options){.max_pixels = 100, .threads = 1});
    test_image(rig.dir, "big.png", IMAGE_PNG, 16, 3, false, 1);
    assert_ok(asked_examine(&rig, &a, "big.png"));
    assert_int_equal(a.f.file.verdict.group, FUSED_GROUP_UNPURIFIED);
    assert_true(a.f.file.verdict.reason[0] != 0);
    asked_end(&a);
}

/* Readers of small images do not wait for memory that large ones hold, nor the other way round. */
static void large_and_small_images_do_not_wait_for_each_other(void **state)
{
    (void)state;
    enum { LARGE = 4, SMALL = 12 };
    struct asked large[LARGE], small[SMALL];
    struct pipeline_stats ps;
    /* A large one is more than 4000 bytes, one alone fills its lane. */
    restart(&(struct pipeline_options){.threads = 2, .inflight_bytes = 64000});
    for (unsigned i = 0; i < LARGE + SMALL; i++) {
        char name[16];
        snprintf(name, sizeof name, "%u.png", i);
        test_image(rig.dir, name, IMAGE_PNG, i < LARGE ? 120 : 8, 3, false, i);
    }
    fake_hold(&rig.fake, true);
    for (unsigned i = 0; i < LARGE + SMALL; i++) {
        char name[16];
        snprintf(name, sizeof name, "%u.png", i);
        asked_start(&rig, i < LARGE ? &large[i] : &small[i - LARGE], name, PURIFY_URGENT);
    }
    do
        pipeline_stats(rig.p, &ps);
    while (ps.flights < SMALL + 1); /* all small ones, and one large one */
    assert_int_equal(ps.queued[PURIFY_URGENT], LARGE - 1);
    fake_hold(&rig.fake, false);
    for (unsigned i = 0; i < LARGE + SMALL; i++) {
        struct asked *a = i < LARGE ? &large[i] : &small[i - LARGE];
        assert_ok(asked_wait(a));
        asked_end(a);
    }
}

/* What a dead reader asked for goes behind what others wait for. */
static void abandoned_work_stands_back(void **state)
{
    (void)state;
    struct asked a[3];
    struct pipeline_stats ps;
    test_image(rig.dir, "a.png", IMAGE_PNG, 16, 3, false, 1);
    test_image(rig.dir, "b.png", IMAGE_PNG, 16, 3, false, 2);
    fake_hold(&rig.fake, true);
    asked_start(&rig, &a[0], "a.png", PURIFY_URGENT);
    asked_start(&rig, &a[1], "a.png", PURIFY_URGENT);
    asked_start(&rig, &a[2], "b.png", PURIFY_URGENT);
    do
        pipeline_stats(rig.p, &ps);
    while (ps.flights < 2 || ps.coalesced < 1 || fake_submitted(&rig.fake) < 2);
    assert_int_equal(ps.urgent, 3);
    fused_fetch_abandon(rig.p, &a[0].f);
    assert_int_equal(rig.fake.demoted, 0); /* somebody else waits for it */
    fused_fetch_abandon(rig.p, &a[1].f);
    fused_fetch_abandon(rig.p, &a[1].f);
    assert_int_equal(rig.fake.demoted, 1);
    pipeline_stats(rig.p, &ps);
    assert_int_equal(ps.urgent, 1);
    fake_hold(&rig.fake, false);
    for (int i = 0; i < 3; i++) {
        assert_ok(asked_wait(&a[i]));
        fused_fetch_abandon(rig.p, &a[i].f); /* too late to matter */
        asked_end(&a[i]);
    }
    pipeline_stats(rig.p, &ps);
    assert_int_equal(ps.urgent, 0);
}

/* A caller may be gone before its request is started. */
static void giving_up_may_come_first(void **state)
{
    (void)state;
    struct asked a;
    struct pipeline_stats ps;
    test_image(rig.dir, "a.png", IMAGE_PNG, 16, 3, false, 1);
    fake_hold(&rig.fake, true);
    assert_ok(asked_examine(&rig, &a, "a.png"));
    fused_fetch_abandon(rig.p, &a.f);
    fused_fetch_start(rig.p, &a.f, PURIFY_URGENT);
    pipeline_stats(rig.p, &ps);
    assert_int_equal(ps.urgent, 0);
    fake_hold(&rig.fake, false);
    assert_ok(asked_wait(&a));
    asked_end(&a);
}

/* At any moment, also while a worker reads and decodes. */
static void giving_up_is_allowed_at_any_time(void **state)
{
    (void)state;
    struct pipeline_stats ps;
    test_image(rig.dir, "a.jpg", IMAGE_JPEG, 64, 3, false, 1);
    for (int i = 0; i < 100; i++) {
        struct asked a;
        asked_start(&rig, &a, "a.jpg", PURIFY_URGENT);
        for (int n = 0; n <= i % 10; n++)
            fused_fetch_abandon(rig.p, &a.f);
        assert_ok(asked_wait(&a));
        asked_end(&a);
    }
    pipeline_stats(rig.p, &ps);
    assert_int_equal(ps.urgent, 0);
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

/* Each n-th allocation fails once: every fetch is answered once, with the right bytes or an
   error. */
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
        if (!st && a.f.file.verdict.group == FUSED_GROUP_IMAGE) {
            fused_fetch_start(rig.p, &a.f, PURIFY_URGENT);
            st = asked_wait(&a);
        }
        bool fault_left = fault_calls(FAULT_MEM) < n;
        fault_clear();
        if (st) {
            assert_int_equal(st, STATUS_NOMEM);
            failures++;
        } else {
            assert_int_equal(a.f.file.verdict.group, FUSED_GROUP_IMAGE);
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
        TEST(bytes_in_memory_come_with_both_digests),
        TEST(same_pixels_are_purified_once),
        TEST(a_reader_promotes_what_the_sweep_began),
        TEST(what_is_no_image_is_original),
        TEST(files_of_images_are_not_purified_and_named),
        TEST(rules_decide_by_name),
        TEST(a_damaged_image_keeps_its_size),
        TEST(the_bytes_decide_not_the_identity),
        TEST(an_immutable_source_is_read_once),
        TEST(an_open_file_is_the_version_that_was_opened),
        TEST(large_and_small_images_do_not_wait_for_each_other),
        TEST(abandoned_work_stands_back),
        TEST(giving_up_is_allowed_at_any_time),
        TEST(giving_up_may_come_first),
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
