#include "testing.h"

#include <pthread.h>
#include <stdatomic.h>

static void put_get_reopen(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cache *c = open_dir(dir);
    for (unsigned i = 0; i < 200; i++) {
        assert_status(STATUS_NOT_FOUND, get(c, i));
        assert_ok(put(c, i));
        assert_ok(get(c, i)); /* at once, from the queue or the pack */
        assert_ok(has(c, i));
    }
    assert_ok(cache_flush(c));
    assert_int_equal(200, count_there(c, 0, 300));
    assert_ok(cache_close(c));
    c = open_dir(dir);
    assert_int_equal(200, count_there(c, 0, 300));
    assert_status(STATUS_NOT_FOUND, has(c, 200));
    struct cache_stats s = stats_of(c);
    assert_int_equal(200, s.objects);
    assert_int_equal(PROFILES, s.profiles);
    assert_int_equal(1, s.packs);
    assert_int_equal(200, s.hits);
    assert_int_equal(100, s.misses);
    assert_int_equal(0, s.recovered);
    assert_int_equal(s.disk_bytes, s.live_bytes + 64);
    assert_ok(cache_close(c));
    remove_dir(dir);
}

static void same_pixels_other_profile(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cache *c = open_dir(dir);
    struct cache_key a = key_of(0), b = a;
    b.profile = key_of(1).profile;
    const struct cache_shape shape = {2, 2, 1};
    assert_ok(cache_put(c, &a, shape, "aaaa", 4, NULL, NULL));
    assert_ok(cache_put(c, &b, shape, "bbbb", 4, NULL, NULL));
    assert_ok(cache_flush(c));
    struct cache_object o;
    assert_ok(cache_get(c, &a, &o));
    assert_memory_equal("aaaa", o.pixels, 4);
    cache_object_done(&o);
    assert_ok(cache_get(c, &b, &o));
    assert_memory_equal("bbbb", o.pixels, 4);
    cache_object_done(&o);
    assert_ok(cache_close(c));
    remove_dir(dir);
}

static void invalid_shapes(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cache *c = open_dir(dir);
    struct cache_key k = key_of(0);
    static const struct cache_shape bad[] = {
        {0, 1, 1},          {1, 0, 1},         {1, 1, 0},          {1, 1, 5},          {2, 2, 2},
        {0xffffffff, 1, 4}, {65536, 65536, 1}, {0x40000001, 1, 1}, {0x80000000, 2, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_status(STATUS_INVALID, cache_put(c, &k, bad[i], "1234", 4, NULL, NULL));
    assert_status(STATUS_NOT_FOUND, has(c, 0));
    assert_ok(cache_close(c));
    remove_dir(dir);
}

struct heard {
    atomic_int ok, failed;
};

static void hear(void *arg, status st)
{
    struct heard *h = arg;
    atomic_fetch_add(st ? &h->failed : &h->ok, 1);
}

static void callbacks_and_twins(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cache *c = open_dir(dir);
    struct heard h = {0};
    for (unsigned i = 0; i < 300; i++)
        assert_ok(put_done(c, i % 10, hear, &h));
    assert_ok(cache_flush(c));
    assert_int_equal(300, h.ok);
    assert_int_equal(0, h.failed);
    assert_int_equal(10, stats_of(c).objects);
    assert_int_equal(10, stats_of(c).stored);
    assert_ok(put_done(c, 3, hear, &h)); /* there already: no second record */
    uint64_t before = stats_of(c).disk_bytes;
    assert_ok(cache_close(c));
    assert_int_equal(301, h.ok);
    c = open_dir(dir);
    assert_int_equal(before, stats_of(c).disk_bytes);
    assert_ok(cache_close(c));
    remove_dir(dir);
}

static void bounded_queue(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cache *c = open_with(dir, (struct cache_options){.queue_bytes = 2000});
    unsigned again = 0, accepted = 0;
    struct heard h = {0};
    uint8_t pixels[PIXELS_MAX];
    for (unsigned i = 0; i < 2000; i++) {
        struct cache_key k = key_of(i);
        fill(i, pixels, len_of(i));
        status st = cache_try_put(c, &k, shape_of(i), pixels, len_of(i), hear, &h);
        again += st == STATUS_AGAIN;
        accepted += st == STATUS_OK;
        assert_true(stats_of(c).queued_bytes <= 2000);
    }
    assert_int_equal(2000, again + accepted);
    assert_true(accepted > 0);
    for (unsigned i = 0; i < 100; i++) /* waits, and so loses nothing */
        assert_ok(put(c, 5000 + i));
    struct cache_key k = key_of(9000); /* larger than the queue */
    assert_ok(cache_flush(c));
    assert_ok(cache_put(c, &k, (struct cache_shape){100, 100, 1}, pixels, 10000, hear, &h));
    assert_ok(cache_flush(c));
    assert_ok(cache_has(c, &k));
    assert_int_equal(accepted + 1, h.ok);
    assert_int_equal(100, count_there(c, 5000, 5100));
    assert_ok(cache_close(c));
    remove_dir(dir);
}

/* ---- threads and processes ---- */

struct work {
    struct cache *c;
    unsigned seed, got;
};

static void *hammer(void *arg)
{
    struct work *w = arg;
    for (unsigned i = 0; i < 400; i++) {
        unsigned n = (i * 7 + w->seed * 13) % 150;
        status st = get(w->c, n);
        if (st == STATUS_NOT_FOUND)
            st = put(w->c, n);
        else
            w->got++;
        CHECK(st == STATUS_OK);
        if (i % 50 == 0) {
            struct cache_file_id id = {1, n, n, n, n};
            struct cache_memo memo = {.format = n, .pixels = key_of(n).pixels};
            CHECK(cache_memo_put(w->c, &memo.pixels, &memo) == STATUS_OK);
            CHECK(cache_file_put(w->c, &id, &memo.pixels) == STATUS_OK);
        }
        if (i % 97 == 0)
            CHECK(cache_flush(w->c) == STATUS_OK);
    }
    return NULL;
}

static void many_threads(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cache *c = open_dir(dir);
    pthread_t t[12];
    struct work w[12];
    for (unsigned i = 0; i < 12; i++) {
        w[i] = (struct work){c, i, 0};
        assert_int_equal(0, pthread_create(&t[i], NULL, hammer, &w[i]));
    }
    unsigned got = 0;
    for (unsigned i = 0; i < 12; i++) {
        pthread_join(t[i], NULL);
        got += w[i].got;
    }
    assert_int_equal(150, count_there(c, 0, 200));
    assert_int_equal(150, stats_of(c).objects);
    assert_true(got > 0);
    assert_ok(cache_close(c));
    remove_dir(dir);
}

static int child_work(void *arg)
{
    struct cache *c = NULL;
    if (cache_open(arg, NULL, &c, NULL))
        return 1;
    struct work w = {c, (unsigned)getpid(), 0};
    hammer(&w);
    return cache_close(c) ? 2 : 0;
}

static void many_processes(void **state)
{
    (void)state;
    char *dir = temp_dir();
    pid_t pid[6];
    for (int i = 0; i < 6; i++)
        pid[i] = in_child(child_work, dir);
    for (int i = 0; i < 6; i++)
        assert_int_equal(0, child_status(pid[i]));
    struct cache *c = open_dir(dir);
    assert_int_equal(150, count_there(c, 0, 200));
    struct cache_stats s = stats_of(c);
    assert_int_equal(150, s.objects);
    assert_true(s.packs >= 1 && s.packs <= 6);
    struct cache_verify_result v;
    assert_ok(cache_verify(c, NULL, &v));
    assert_int_equal(0, v.bad);
    assert_int_equal(150, v.objects);
    assert_true(v.index_ok);
    assert_ok(cache_close(c));
    remove_dir(dir);
}

static void two_handles(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cache *a = open_dir(dir), *b = open_dir(dir);
    assert_ok(put(a, 1));
    assert_ok(cache_flush(a));
    assert_ok(get(b, 1));
    assert_ok(put(b, 2));
    assert_ok(cache_flush(b));
    assert_ok(get(a, 2));
    assert_int_equal(2, stats_of(a).packs); /* each appends to its own */
    assert_ok(cache_close(a));
    assert_ok(cache_close(b));
    a = open_dir(dir); /* a short command continues an old pack */
    assert_ok(put(a, 3));
    assert_ok(cache_flush(a));
    assert_int_equal(2, stats_of(a).packs);
    assert_ok(cache_close(a));
    remove_dir(dir);
}

/* ---- memo ---- */

static void memo(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cache *c = open_dir(dir);
    struct digest source = key_of(6).pixels;
    struct cache_memo m = {.format = 7,
                           .shape = {640, 480, 3},
                           .pixels = key_of(5).pixels,
                           .info_len = 3,
                           .info = "abc"};
    struct cache_memo got;
    assert_status(STATUS_NOT_FOUND, cache_memo_get(c, &source, &got));
    assert_ok(cache_memo_put(c, &source, &m));
    assert_ok(cache_flush(c));
    assert_ok(cache_memo_get(c, &source, &got));
    assert_int_equal(7, got.format);
    assert_int_equal(640, got.shape.width);
    assert_int_equal(480, got.shape.height);
    assert_int_equal(3, got.shape.channels);
    assert_int_equal(3, got.info_len);
    assert_memory_equal("abc", got.info, 3);
    assert_true(digest_equal(&m.pixels, &got.pixels));
    struct digest other = source;
    other.byte[31] ^= 1;
    assert_status(STATUS_NOT_FOUND, cache_memo_get(c, &other, &got));
    m.info_len = 0; /* a new entry replaces the old one */
    assert_ok(cache_memo_put(c, &source, &m));
    assert_ok(cache_flush(c));
    assert_ok(cache_memo_get(c, &source, &got));
    assert_int_equal(0, got.info_len);
    assert_int_equal(1, stats_of(c).memos);
    assert_ok(cache_close(c));
    c = open_dir(dir);
    assert_ok(cache_memo_get(c, &source, &got));
    m.info_len = CACHE_MEMO_INFO_MAX + 1;
    assert_status(STATUS_INVALID, cache_memo_put(c, &source, &m));
    assert_ok(cache_remove(c, CACHE_ALL, NULL, NULL));
    assert_status(STATUS_NOT_FOUND, cache_memo_get(c, &source, &got));
    assert_int_equal(0, stats_of(c).memos);
    assert_ok(cache_close(c));
    remove_dir(dir);
}

static void file(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cache *c = open_dir(dir);
    const struct cache_file_id id = {UINT64_MAX, UINT64_MAX - 1, 1234, -5, 1000000001};
    struct digest a = key_of(1).pixels, b = key_of(2).pixels, got;
    assert_status(STATUS_NOT_FOUND, cache_file_get(c, &id, &got));
    assert_ok(cache_file_put(c, &id, &a));
    assert_ok(cache_flush(c));
    assert_ok(cache_file_get(c, &id, &got));
    assert_true(digest_equal(&a, &got));
    struct cache_file_id other = id;
    other.ctime_ns++;
    assert_status(STATUS_NOT_FOUND, cache_file_get(c, &other, &got));
    other = id, other.size++;
    assert_status(STATUS_NOT_FOUND, cache_file_get(c, &other, &got));
    other = id, other.inode++;
    assert_status(STATUS_NOT_FOUND, cache_file_get(c, &other, &got));
    other = id, other.mtime_ns++;
    assert_status(STATUS_NOT_FOUND, cache_file_get(c, &other, &got));
    assert_ok(cache_file_put(c, &other, &b)); /* a changed file replaces its entry */
    assert_ok(cache_flush(c));
    assert_status(STATUS_NOT_FOUND, cache_file_get(c, &id, &got));
    assert_int_equal(1, stats_of(c).files);
    assert_ok(cache_close(c));
    c = open_dir(dir);
    assert_ok(cache_file_get(c, &other, &got));
    assert_true(digest_equal(&b, &got));
    assert_ok(cache_remove(c, CACHE_ALL, NULL, NULL));
    assert_status(STATUS_NOT_FOUND, cache_file_get(c, &other, &got));
    assert_int_equal(0, stats_of(c).files);
    assert_ok(cache_close(c));
    remove_dir(dir);
}

static void file_that_may_still_change(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cache *c = open_dir(dir);
    struct digest d = {{1}};
    int64_t now = (int64_t)time_real_ns();
    struct cache_file_id id = {1, 2, 3, 4, now};
    assert_status(STATUS_AGAIN, cache_file_put(c, &id, &d));
    id.ctime_ns = now + 1000000000; /* a clock that was set back */
    assert_status(STATUS_AGAIN, cache_file_put(c, &id, &d));
    id.ctime_ns = (now / 1000000000 - 1) * 1000000000; /* whole seconds */
    assert_status(STATUS_AGAIN, cache_file_put(c, &id, &d));
    id.ctime_ns = (now - 1000000000) | 1;
    assert_ok(cache_file_put(c, &id, &d));
    assert_ok(cache_close(c));
    remove_dir(dir);
}

/* ---- list, remove, read-only ---- */

struct listing {
    unsigned n, pinned;
    uint64_t bytes;
    unsigned stop_at;
};

static status list_one(void *arg, const struct cache_entry *entry)
{
    struct listing *l = arg;
    l->n++;
    l->pinned += entry->pinned;
    l->bytes += entry->bytes;
    return l->n == l->stop_at ? STATUS_CANCELLED : STATUS_OK;
}

static void list_and_remove(void **state)
{
    (void)state;
    char *dir = dir_with(600);
    struct cache *c = open_dir(dir);
    struct listing l = {0};
    assert_ok(cache_list(c, list_one, &l));
    assert_int_equal(600, l.n);
    assert_int_equal(0, l.pinned);
    assert_int_equal(stats_of(c).live_bytes, l.bytes);
    l = (struct listing){.stop_at = 300};
    assert_status(STATUS_CANCELLED, cache_list(c, list_one, &l));
    assert_int_equal(300, l.n);

    struct cache_key k = key_of(7);
    uint64_t removed = 0;
    assert_ok(cache_pin(c, CACHE_KEY, &k));
    l = (struct listing){0};
    assert_ok(cache_list(c, list_one, &l));
    assert_int_equal(1, l.pinned);
    assert_ok(cache_remove(c, CACHE_KEY, &k, &removed));
    assert_int_equal(1, removed);
    assert_status(STATUS_NOT_FOUND, get(c, 7));
    assert_ok(cache_remove(c, CACHE_KEY, &k, &removed));
    assert_int_equal(0, removed);
    assert_ok(cache_remove(c, CACHE_PROFILE, &k, &removed));
    assert_int_equal(199, removed);
    assert_int_equal(400, count_there(c, 0, 600));
    assert_ok(put(c, 7)); /* removing is not forbidding */
    assert_ok(cache_flush(c));
    assert_ok(get(c, 7));
    assert_ok(cache_remove(c, CACHE_ALL, NULL, &removed));
    assert_int_equal(401, removed);
    struct cache_stats s = stats_of(c);
    assert_int_equal(0, s.objects);
    assert_int_equal(0, s.live_bytes);
    assert_int_equal(0, s.packs); /* and the space is back */
    assert_status(STATUS_INVALID, cache_remove(c, CACHE_SCOPE_COUNT, &k, NULL));
    assert_status(STATUS_INVALID, cache_remove(c, CACHE_KEY, NULL, NULL));
    assert_ok(put(c, 1));
    assert_ok(cache_close(c));
    c = open_dir(dir);
    assert_int_equal(1, count_there(c, 0, 600));
    assert_ok(cache_close(c));
    remove_dir(dir);
}

static void read_only(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cache *c = NULL;
    const struct cache_options ro = {.read_only = true};
    AUTO(mem_free) char *none = in_dir(dir, "none");
    assert_status(STATUS_NOT_FOUND, cache_open(none, &ro, &c, NULL));
    assert_status(STATUS_NOT_FOUND, cache_open(dir, &ro, &c, NULL));
    remove_dir(dir);
    dir = dir_with(20);
    c = open_with(dir, ro);
    struct cache_key k = key_of(0);
    struct cache_file_id id = {0};
    struct cache_memo m = {0};
    uint64_t n;
    struct cache_verify_result v;
    assert_int_equal(20, count_there(c, 0, 30));
    assert_status(STATUS_DENIED, put(c, 30));
    assert_status(STATUS_DENIED, cache_memo_put(c, &k.pixels, &m));
    assert_status(STATUS_DENIED, cache_file_put(c, &id, &k.pixels));
    assert_status(STATUS_DENIED, cache_pin(c, CACHE_KEY, &k));
    assert_status(STATUS_DENIED, cache_remove(c, CACHE_ALL, NULL, NULL));
    assert_status(STATUS_DENIED, cache_rebuild(c, NULL, NULL, &n));
    assert_ok(cache_verify(c, NULL, &v));
    assert_int_equal(20, v.objects);
    struct cache *w = open_dir(dir); /* sees what others store */
    assert_ok(put(w, 25));
    assert_ok(cache_close(w));
    assert_ok(get(c, 25));
    assert_ok(cache_flush(c));
    assert_ok(cache_close(c));
    remove_dir(dir);
}

static void works_after_chdir(void **state)
{
    (void)state;
    char *dir = temp_dir();
    char here[4096];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(0, chdir(dir));
    struct cache *c = open_dir("some?where/a%20b");
    assert_int_equal(0, chdir("/"));
    assert_ok(put(c, 1));
    assert_ok(cache_flush(c));
    assert_ok(get(c, 1));
    assert_ok(cache_close(c));
    assert_int_equal(0, chdir(here));
    assert_true(exists(dir, "some?where/a%20b/index.sqlite"));
    struct stat sb;
    AUTO(mem_free) char *index = in_dir(dir, "some?where/a%20b/index.sqlite");
    assert_int_equal(0, stat(index, &sb));
    assert_int_equal(0600, sb.st_mode & 0777);
    remove_dir(dir);
}

static void not_a_directory(void **state)
{
    (void)state;
    char *dir = temp_dir();
    save_file(dir, "file", "x", 1);
    AUTO(mem_free) char *path = in_dir(dir, "file");
    struct cache *c = NULL;
    struct errmsg e = {""};
    assert_true(cache_open(path, NULL, &c, &e) != STATUS_OK);
    assert_non_null(strstr(e.text, "file"));
    assert_null(c);
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_get_reopen),
        cmocka_unit_test(same_pixels_other_profile),
        cmocka_unit_test(invalid_shapes),
        cmocka_unit_test(callbacks_and_twins),
        cmocka_unit_test(bounded_queue),
        cmocka_unit_test(many_processes),
        cmocka_unit_test(many_threads),
        cmocka_unit_test(two_handles),
        cmocka_unit_test(memo),
        cmocka_unit_test(file),
        cmocka_unit_test(file_that_may_still_change),
        cmocka_unit_test(list_and_remove),
        cmocka_unit_test(read_only),
        cmocka_unit_test(works_after_chdir),
        cmocka_unit_test(not_a_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
