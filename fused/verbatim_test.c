/* Copies byte for byte: one version, holes, padding, what can fail. */
#include "testing.h"

#include "verbatim.h"

#include <stdatomic.h>
#include <unistd.h>

#include "base/banned.h"

struct pair {
    char *dir;
    int from, to;
};

static int pair_new(void **state)
{
    static struct pair p;
    char path[512];
    p.dir = test_dir_new();
    snprintf(path, sizeof path, "%s/from", p.dir);
    p.from = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    snprintf(path, sizeof path, "%s/to", p.dir);
    p.to = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    assert_true(p.from >= 0 && p.to >= 0);
    *state = &p;
    return 0;
}

static int pair_free(void **state)
{
    struct pair *p = *state;
    fault_clear();
    close(p->from);
    close(p->to);
    test_dir_free(p->dir);
    return 0;
}

static status copy(const struct pair *p, uint64_t padded_size, struct stat *sb)
{
    struct verbatim v = {.from = p->from, .to = p->to, .padded_size = padded_size};
    int reading;
    return verbatim_copy(&v, sb, &reading);
}

static void expect_same(const struct pair *p, off_t size)
{
    static char a[1 << 20], b[1 << 20];
    struct stat sb;
    assert_int_equal(fstat(p->to, &sb), 0);
    assert_int_equal(sb.st_size, size);
    for (off_t at = 0; at < size; at += (off_t)sizeof a) {
        ssize_t n = pread(p->from, a, sizeof a, at);
        assert_int_equal(pread(p->to, b, sizeof b, at), n);
        assert_memory_equal(a, b, (size_t)n);
    }
}

static void bytes_and_padding(void **state)
{
    struct pair *p = *state;
    struct stat sb;
    char text[200000], got[16];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 7919 >> 3);
    assert_ok(copy(p, 0, &sb));
    expect_same(p, 0);
    assert_ok(io_pwrite(p->from, text, sizeof text, 0));
    assert_ok(copy(p, 0, &sb));
    expect_same(p, sizeof text);
    assert_int_equal(sb.st_size, sizeof text);
    assert_ok(copy(p, sizeof text + 5000, &sb));
    off_t end = lseek(p->to, 0, SEEK_END);
    assert_int_equal(end, sizeof text + 5000);
    assert_int_equal(pread(p->to, got, 2, sizeof text - 1), 2);
    assert_int_equal((uint8_t)got[0], (uint8_t)text[sizeof text - 1]);
    assert_int_equal((uint8_t)got[1], 0xff);
    assert_int_equal(pread(p->to, got, 2, end - 1), 1);
    assert_int_equal((uint8_t)got[0], 0xff);
    assert_int_equal(ftruncate(p->from, 10), 0); /* a shorter one over it */
    assert_ok(copy(p, 0, &sb));
    expect_same(p, 10);
}

static void holes_stay_holes(void **state)
{
    struct pair *p = *state;
    struct stat sb;
    const off_t size = (off_t)1 << 40; /* more than any disk that tests run on */
    if (ftruncate(p->from, size) < 0)
        skip();
    assert_ok(io_pwrite(p->from, "a", 1, 1 << 20));
    assert_ok(io_pwrite(p->from, "b", 1, size - 100));
    assert_ok(copy(p, 0, &sb));
    assert_int_equal(fstat(p->to, &sb), 0);
    assert_int_equal(sb.st_size, size);
    assert_true(sb.st_blocks < 1 << 12);
    char got[4] = "";
    assert_int_equal(pread(p->to, got, 1, 1 << 20), 1);
    assert_int_equal(pread(p->to, got + 1, 1, size - 100), 1);
    assert_string_equal(got, "ab");
    assert_int_equal(pread(p->to, got, 1, 0), 1);
    assert_int_equal(got[0], 0);
}

/* ---- change ---- */

enum { VERSION_BYTES = 4 << 20, WRITE_BYTES = 1 << 14 };

struct writing {
    int fd;
    int versions; /* then it stays */
    atomic_int made;
};

/* Each version is the same byte throughout, written from the beginning to the end. */
static void *write_versions(void *arg)
{
    struct writing *w = arg;
    char bytes[WRITE_BYTES];
    for (int i = 1; i <= w->versions; i++) {
        memset(bytes, 'a' + i % 26, sizeof bytes);
        for (off_t at = 0; at < VERSION_BYTES; at += WRITE_BYTES)
            assert_int_equal(pwrite(w->fd, bytes, sizeof bytes, at), WRITE_BYTES);
        atomic_store(&w->made, i);
    }
    return NULL;
}

/* As the file was at some instant: the beginning of a version, and the rest of the one before. */
static void is_one_state(int fd)
{
    char *bytes = malloc(VERSION_BYTES);
    size_t i = 1;
    assert_int_equal(pread(fd, bytes, VERSION_BYTES, 0), VERSION_BYTES);
    while (i < VERSION_BYTES && bytes[i] == bytes[0])
        i++;
    if (i < VERSION_BYTES)
        assert_int_equal((bytes[i] - 'a' + 1) % 26, bytes[0] - 'a');
    for (size_t k = i; k < VERSION_BYTES; k++)
        if (bytes[k] != bytes[i])
            fail_msg("byte %zu is of another version", k);
    free(bytes);
}

static void a_copy_is_one_version_or_says_that_it_is_not(void **state)
{
    struct pair *p = *state;
    struct stat sb;
    unsigned whole = 0, torn = 0;
    for (int round = 0; round < 3; round++) {
        struct writing w = {.fd = p->from, .versions = 8 << 2 * round};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, write_versions, &w), 0);
        while (atomic_load(&w.made) == 0)
            ;
        status st = copy(p, 0, &sb);
        if (!st)
            is_one_state(p->to);
        else
            assert_int_equal(st, STATUS_AGAIN);
        whole += !st;
        torn += st != STATUS_OK;
        pthread_join(thread, NULL);
    }
    assert_true(whole + torn == 3);
    assert_ok(copy(p, 0, &sb)); /* now that it stays */
    is_one_state(p->to);
}

/* In the middle of the copy everything is written anew, once. */
struct change {
    const struct pair *pair;
    int looks;
};

static int change_once(void *arg)
{
    struct change *c = arg;
    char bytes[WRITE_BYTES];
    memset(bytes, 'n', sizeof bytes);
    if (++c->looks == VERSION_BYTES / (1 << 16) / 2)
        for (off_t at = 0; at < VERSION_BYTES; at += WRITE_BYTES)
            assert_int_equal(pwrite(c->pair->from, bytes, sizeof bytes, at), WRITE_BYTES);
    return 0;
}

static void a_torn_copy_is_made_again(void **state)
{
    struct pair *p = *state;
    struct stat sb;
    struct change c = {.pair = p};
    int reading;
    char got;
    assert_int_equal(ftruncate(p->from, VERSION_BYTES), 0);
    assert_ok(io_pwrite(p->from, "o", 1, 0));
    assert_ok(io_pwrite(p->from, "o", 1, VERSION_BYTES - 1));
    for (off_t at = 0; at < VERSION_BYTES; at += 4096) /* no holes */
        assert_ok(io_pwrite(p->from, "o", 1, at));
    struct verbatim v = {.from = p->from, .to = p->to, .stop = change_once, .arg = &c};
    assert_ok(verbatim_copy(&v, &sb, &reading));
    is_one_state(p->to);
    assert_int_equal(pread(p->to, &got, 1, VERSION_BYTES - 1), 1);
    assert_int_equal(got, 'n');
}

/* One that changes at every look is named, not waited for without end. */
static int append_one(void *arg)
{
    const struct pair *p = arg;
    int fd = open("/proc/self/fd", O_RDONLY); /* any work */
    if (fd >= 0)
        close(fd);
    assert_int_equal(pwrite(p->from, "x", 1, lseek(p->from, 0, SEEK_END)), 1);
    return 0;
}

static void what_never_rests_is_named(void **state)
{
    struct pair *p = *state;
    struct stat sb;
    int reading = 0;
    assert_ok(io_pwrite(p->from, "begin", 5, 0));
    struct verbatim v = {.from = p->from, .to = p->to, .stop = append_one, .arg = p};
    assert_int_equal(verbatim_copy(&v, &sb, &reading), STATUS_AGAIN);
    assert_true(reading);
}

/* A change within the tick of the clock in which the file was last changed shows in no time. */
static void a_fresh_file_is_waited_for(void **state)
{
    struct pair *p = *state;
    struct stat sb, later;
    for (int i = 0; i < 4; i++) {
        assert_ok(io_pwrite(p->from, i % 2 ? "a" : "b", 1, 0));
        assert_ok(file_settle(p->from, &sb));
        assert_ok(io_pwrite(p->from, i % 2 ? "c" : "d", 1, 0));
        assert_int_equal(fstat(p->from, &later), 0);
        assert_true(sb.st_mtim.tv_sec != later.st_mtim.tv_sec ||
                    sb.st_mtim.tv_nsec != later.st_mtim.tv_nsec);
    }
    /* The clock of another machine: not waited for. */
    const struct timespec ahead[2] = {{time_real_ns() / 1000000000 + 1000, 0},
                                      {time_real_ns() / 1000000000 + 1000, 0}};
    assert_int_equal(futimens(p->from, ahead), 0);
    nanosleep(&(struct timespec){.tv_nsec = 150000000}, NULL);
    assert_ok(file_settle(p->from, &sb));
}

static int stop_now(void *arg)
{
    return ++*(int *)arg > 1;
}

static void failures_are_told_apart(void **state)
{
    struct pair *p = *state;
    struct stat sb;
    int reading = 0, asked = 0;
    char text[200000] = "x";
    assert_ok(io_pwrite(p->from, text, sizeof text, 0));
    struct verbatim v = {.from = p->from, .to = p->to};
    fault_set(FAULT_READ, 2, 0, 0);
    assert_int_equal(verbatim_copy(&v, &sb, &reading), STATUS_IO);
    assert_int_equal(reading, 1);
    fault_clear();
    fault_set(FAULT_WRITE, 2, 0, ENOSPC);
    assert_int_equal(verbatim_copy(&v, &sb, &reading), STATUS_NO_SPACE);
    assert_int_equal(reading, 0);
    fault_clear();
    v.stop = stop_now;
    v.arg = &asked;
    assert_int_equal(verbatim_copy(&v, &sb, &reading), STATUS_CANCELLED);
}

#define PAIR_TEST(f) cmocka_unit_test_setup_teardown(f, pair_new, pair_free)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_TEST(bytes_and_padding),
        PAIR_TEST(holes_stay_holes),
        PAIR_TEST(a_copy_is_one_version_or_says_that_it_is_not),
        PAIR_TEST(a_torn_copy_is_made_again),
        PAIR_TEST(what_never_rests_is_named),
        PAIR_TEST(a_fresh_file_is_waited_for),
        PAIR_TEST(failures_are_told_apart),
    };
    return cmocka_run_group_tests_name("verbatim", tests, NULL, NULL);
}
