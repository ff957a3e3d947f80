#include "base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

static char dir[] = "/tmp/base-test-XXXXXX";

static const char *in_dir(const char *name)
{
    static char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

/* ---- status ---- */

static void every_status_has_a_text_and_codes(void **state)
{
    (void)state;
    for (int st = 0; st < STATUS_COUNT; st++) {
        assert_true(status_text((status)st)[0] != 0);
        assert_int_equal(status_errno((status)st) == 0, st == STATUS_OK);
        assert_int_equal(status_exit((status)st) == 0, st == STATUS_OK);
    }
    assert_string_equal(status_text((status)999), status_text(STATUS_INTERNAL));
    assert_int_equal(status_from_errno(ENOSPC), STATUS_NO_SPACE);
    assert_int_equal(status_from_errno(0), STATUS_INTERNAL);
    assert_int_equal(status_from_errno(EPIPE), STATUS_IO);
}

static void errmsg_prefixes_and_truncates(void **state)
{
    (void)state;
    struct errmsg e = {""};
    assert_int_equal(errmsg_set(&e, STATUS_IO, "disk %d", 3), STATUS_IO);
    assert_int_equal(errmsg_prefix(&e, STATUS_IO, "cache %s", "x"), STATUS_IO);
    assert_string_equal(e.text, "cache x: disk 3");
    assert_int_equal(errmsg_set(NULL, STATUS_IO, "nobody listens"), STATUS_IO);
    for (int i = 0; i < 200; i++)
        status_ignore(errmsg_prefix(&e, STATUS_IO, "again"), "only the length matters");
    assert_true(strlen(e.text) < ERRMSG_MAX);
    struct errmsg empty = {""};
    assert_string_equal(errmsg_text(&empty, STATUS_LIMIT), status_text(STATUS_LIMIT));
}

/* ---- buf ---- */

static void buf_grows_to_its_maximum_and_no_further(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(buf_add(&b, "x", 1), STATUS_OK);
    assert_int_equal(b.len, 100);
    assert_int_equal(buf_add(&b, "x", 1), STATUS_LIMIT);
    assert_int_equal(buf_reserve(&b, SIZE_MAX), STATUS_LIMIT);
    assert_int_equal(b.len, 100);
    assert_int_equal(b.data[100], 0);
    buf_reset(&b);
    assert_int_equal(buf_addf(&b, "%d-%s", 42, "y"), STATUS_OK);
    assert_string_equal(b.data, "42-y");
    assert_int_equal(buf_addf(&b, "%200d", 1), STATUS_LIMIT);
    assert_string_equal(b.data, "42-y");
    buf_done(&b);
}

/* ---- seam ---- */

static void memory_fails_when_told(void **state)
{
    (void)state;
    fault_set(FAULT_MEM, 2, 0, 0);
    AUTO(mem_free) void *a = mem_alloc(1);
    AUTO(mem_free) void *b = mem_zalloc(3, 5);
    AUTO(mem_free) void *c = mem_alloc_aligned(100);
    fault_clear();
    assert_non_null(a);
    assert_null(b);
    assert_non_null(c);
    assert_int_equal((uintptr_t)c % 64, 0);
    assert_null(mem_zalloc(SIZE_MAX / 2, 4));
    assert_null(mem_alloc_aligned(SIZE_MAX));
}

static void write_file_is_all_or_nothing(void **state)
{
    (void)state;
    const enum fault_kind kinds[] = {FAULT_OPEN, FAULT_WRITE, FAULT_SYNC, FAULT_RENAME, FAULT_MEM};
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", in_dir("whole"));
    assert_int_equal(io_write_file(path, "old", 3, NULL), STATUS_OK);
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        struct errmsg e = {""};
        fault_set(kinds[k], 1, 0, kinds[k] == FAULT_WRITE ? ENOSPC : 0);
        status st = io_write_file(path, "new text", 8, &e);
        fault_clear();
        assert_int_not_equal(st, STATUS_OK);
        if (kinds[k] == FAULT_WRITE)
            assert_int_equal(st, STATUS_NO_SPACE);
        assert_true(e.text[0] != 0);
        AUTO(mem_free) void *data = NULL;
        size_t len = 0;
        assert_int_equal(io_read_file(path, 100, &data, &len, NULL), STATUS_OK);
        assert_string_equal(data, "old");
        assert_int_equal(len, 3);
    }
    struct errmsg e = {""};
    void *data = NULL;
    size_t len = 0;
    assert_int_equal(io_read_file(path, 2, &data, &len, &e), STATUS_LIMIT);
    /* Its size is 0 by its own account. */
    assert_int_equal(io_read_file("/proc/self/status", 1 << 20, &data, &len, &e), STATUS_OK);
    assert_true(len > 5 && strlen(data) == len && strncmp(data, "Name:", 5) == 0);
    mem_free(data);
    data = NULL;
    assert_int_equal(io_read_file("/proc/self/status", 5, &data, &len, &e), STATUS_LIMIT);
    assert_int_equal(io_read_file(dir, 100, &data, &len, &e), STATUS_INVALID);
    assert_int_equal(io_read_file(in_dir("absent"), 100, &data, &len, &e), STATUS_NOT_FOUND);
    assert_null(data);
}

static void a_torn_write_leaves_a_part(void **state)
{
    (void)state;
    AUTO(fd_close) int fd = -1;
    assert_int_equal(io_open(AT_FDCWD, in_dir("torn"), O_RDWR | O_CREAT, 0600, &fd), STATUS_OK);
    fault_set(FAULT_WRITE, 1, 0, 0);
    assert_int_equal(io_pwrite(fd, "12345678", 8, 0), STATUS_IO);
    fault_clear();
    char got[16];
    size_t n = 0;
    assert_int_equal(io_pread(fd, got, sizeof got, 0, &n), STATUS_OK);
    assert_int_equal(n, 4);
    assert_int_equal(io_pread(fd, got, 1, -1, &n), STATUS_INVALID);
}

static void crash_fault_ends_the_process_at_a_sync(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        fault_set(FAULT_CRASH, 2, 0, 0);
        int fd = open(in_dir("crash"), O_RDWR | O_CREAT, 0600);
        status_ignore(io_sync(fd), "the first one passes");
        status_ignore(io_sync(fd), "the second does not return");
        _exit(0);
    }
    int ws = 0;
    waitpid(pid, &ws, 0);
    assert_true(WIFEXITED(ws));
    assert_int_equal(WEXITSTATUS(ws), 99);
}

static void mkdirs_makes_parents_and_refuses_files(void **state)
{
    (void)state;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", in_dir("a/b/c/"));
    assert_int_equal(io_mkdirs(path, 1, NULL), STATUS_OK);
    struct stat sb;
    assert_int_equal(stat(path, &sb), 0);
    assert_int_equal(sb.st_mode & 0777, 0700);
    assert_int_equal(io_mkdirs(path, 1, NULL), STATUS_OK);
    struct errmsg e = {""};
    assert_int_equal(io_write_file(in_dir("file"), "", 0, NULL), STATUS_OK);
    assert_int_not_equal(io_mkdirs(in_dir("file/x"), 0, &e), STATUS_OK);
    assert_int_equal(io_mkdirs(in_dir("file"), 0, &e), STATUS_EXISTS);
    assert_int_equal(io_mkdirs("", 0, &e), STATUS_INVALID);
    assert_int_equal(io_mkdirs("/", 0, &e), STATUS_OK);
}

/* The name aside can be told beforehand: a link there is not written through. */
static void write_file_follows_no_link(void **state)
{
    (void)state;
    char aside[PATH_MAX];
    AUTO(mem_free) void *data = NULL;
    size_t len = 0;
    assert_int_equal(io_write_file(in_dir("victim"), "its own", 7, NULL), STATUS_OK);
    snprintf(aside, sizeof aside, "%s.tmp.%ld", in_dir("written"), (long)getpid());
    assert_int_equal(symlink("victim", aside), 0);
    assert_int_equal(io_write_file(in_dir("written"), "new", 3, NULL), STATUS_OK);
    assert_int_equal(io_read_file(in_dir("victim"), 100, &data, &len, NULL), STATUS_OK);
    assert_string_equal(data, "its own");
}

/* ---- digest ---- */

static void digests_match_published_values(void **state)
{
    (void)state;
    struct digest d, again;
    char hex[DIGEST_HEX_LEN + 1];
    const struct digest_part parts[] = {{"a", 1}, {NULL, 0}, {"bc", 2}};
    assert_int_equal(digest_sha256(parts, 3, &d), STATUS_OK);
    digest_hex(&d, hex);
    /* FIPS 180-2, appendix B.1 */
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(digest_parse(hex, &again), STATUS_OK);
    assert_true(digest_equal(&d, &again));
    hex[3] = 'g';
    assert_int_equal(digest_parse(hex, &again), STATUS_INVALID);
    assert_int_equal(digest_parse("abc", &again), STATUS_INVALID);
    assert_true(checksum64("", 0) == UINT64_C(0x2d06800538d394c2)); /* XXH3-64 of nothing */
}

/* ---- pool ---- */

static atomic_int ran;
static void count_one(void *arg)
{
    atomic_fetch_add(&ran, *(int *)arg);
}

static void every_accepted_job_runs_once(void **state)
{
    (void)state;
    int one = 1;
    struct pool *p = NULL;
    atomic_store(&ran, 0);
    assert_int_equal(pool_new("test", 3, 4, &p), STATUS_OK);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(pool_submit(p, count_one, &one), STATUS_OK);
    pool_wait_idle(p);
    assert_int_equal(atomic_load(&ran), 1000);
    int accepted = 0;
    for (int i = 0; i < 1000; i++)
        accepted += pool_try_submit(p, count_one, &one) == STATUS_OK;
    pool_free(p);
    assert_int_equal(atomic_load(&ran), 1000 + accepted);
    assert_int_equal(pool_new("bad", 0, 1, &p), STATUS_INVALID);
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static void wait_at_gate(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

static void a_full_queue_says_again(void **state)
{
    (void)state;
    struct pool *p = NULL;
    assert_int_equal(pool_new("full", 1, 2, &p), STATUS_OK);
    pthread_mutex_lock(&gate);
    int accepted = 0;
    for (int i = 0; i < 100; i++)
        accepted += pool_try_submit(p, wait_at_gate, NULL) == STATUS_OK;
    assert_in_range(accepted, 2, 3); /* two queued, one perhaps already taken */
    pthread_mutex_unlock(&gate);
    pool_free(p);
}

/* Both threads of a pool with room for one job submit many, which submit more. */
static struct pool *small_pool;
static atomic_int submitted;
static void submit_more(void *arg)
{
    int depth = *(int *)arg;
    static int deeper[] = {0, 1};
    atomic_fetch_add(&ran, 1);
    for (int i = 0; i < 20 && depth > 0; i++) {
        atomic_fetch_add(&submitted, 1);
        assert_int_equal(pool_submit(small_pool, submit_more, &deeper[depth - 1]), STATUS_OK);
    }
}

static void a_job_may_submit_to_a_full_queue(void **state)
{
    (void)state;
    int depth = 2;
    atomic_store(&ran, 0);
    atomic_store(&submitted, 0);
    assert_int_equal(pool_new("small", 2, 1, &small_pool), STATUS_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pool_submit(small_pool, submit_more, &depth), STATUS_OK);
    pool_free(small_pool);
    assert_int_equal(atomic_load(&submitted), 4 * (20 + 20 * 20));
    assert_int_equal(atomic_load(&ran), 4 + atomic_load(&submitted));
}

static void a_cpu_that_lacks_something_is_named(void **state)
{
    (void)state;
#if defined(__x86_64__)
    assert_null(cpu_missing()); /* these tests run on what is built for */
    assert_int_equal(setenv("RELEARN_CPU", "sse2", 1), 0);
    assert_string_equal(cpu_missing(), "AVX2");
    assert_int_equal(cpu_check("base_test"), status_exit(STATUS_UNSUPPORTED));
    assert_int_equal(unsetenv("RELEARN_CPU"), 0);
#endif
    assert_int_equal(cpu_check("base_test"), 0);
}

static void bytes_are_counted(void **state)
{
    (void)state;
    uint64_t before = fault_mem_bytes();
    mem_free(mem_alloc(1000));
    mem_free(mem_zalloc(10, 100));
    mem_free(mem_realloc(NULL, 500));
    assert_int_equal(fault_mem_bytes() - before, 2500);
}

static void pool_survives_failing_memory(void **state)
{
    (void)state;
    for (unsigned long n = 1; n < 10; n++) {
        struct pool *p = NULL;
        fault_set(FAULT_MEM, n, 0, 0);
        status st = pool_new("oom", 2, 2, &p);
        fault_clear();
        if (!st) {
            pool_free(p);
            assert_true(n > 3);
            return;
        }
        assert_int_equal(st, STATUS_NOMEM);
        assert_null(p);
    }
    fail_msg("pool_new never succeeded");
}

/* ---- log, paths ---- */

static void log_gate_counts_what_it_holds_back(void **state)
{
    (void)state;
    struct log_gate g = {0, 0};
    unsigned dropped = 99;
    assert_int_equal(log_gate_pass(&g, UINT64_C(3600000000000), &dropped), 1);
    assert_int_equal(dropped, 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(log_gate_pass(&g, UINT64_C(3600000000000), &dropped), 0);
    g.next_ns = 0;
    assert_int_equal(log_gate_pass(&g, 1, &dropped), 1);
    assert_int_equal(dropped, 5);
}

static void paths_follow_xdg(void **state)
{
    (void)state;
    AUTO(mem_free) char *a = NULL;
    AUTO(mem_free) char *b = NULL;
    AUTO(mem_free) char *c = NULL;
    setenv("XDG_CACHE_HOME", "/x/cache", 1);
    assert_int_equal(path_cache_dir(&a), STATUS_OK);
    assert_string_equal(a, "/x/cache/relearnfs");
    setenv("XDG_CACHE_HOME", "relative/is/ignored", 1);
    setenv("HOME", "/home/u", 1);
    assert_int_equal(path_cache_dir(&b), STATUS_OK);
    assert_string_equal(b, "/home/u/.cache/relearnfs");
    setenv("RELEARN_DATA_DIR", "/data", 1);
    assert_int_equal(path_data_dir(&c), STATUS_OK);
    assert_string_equal(c, "/data");
}

/* ---- shown ---- */

static void names_cannot_disturb_a_terminal(void **state)
{
    (void)state;
    const struct {
        const char *text, *want;
    } cases[] = {
        {"", ""},
        {"caf\xc3\xa9 \xe7\x8c\xab \xf0\x9f\x90\x88.png",
         "caf\xc3\xa9 \xe7\x8c\xab \xf0\x9f\x90\x88.png"},
        {"a\nb\tc\033[31m\177", "a\\x0ab\\x09c\\x1b[31m\\x7f"},
        {"\xff\xfe", "\\xff\\xfe"},
        {"\xc3", "\\xc3"},                                   /* cut */
        {"\xc0\xaf", "\\xc0\\xaf"},                          /* overlong */
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"},                 /* a surrogate */
        {"\xc2\x9b", "\\xc2\\x9b"},                          /* CSI in one character */
        {"a\xe2\x80\xaegnp.exe", "a\\xe2\\x80\\xaegnp.exe"}, /* right to left */
        {"back\\slash \\x0a", "back\\slash \\x0a"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_string_equal(TEXT_SHOWN(cases[i].text), cases[i].want);
        assert_string_equal(TEXT_SHOWN(TEXT_SHOWN(cases[i].text)), cases[i].want);
        AUTO(mem_free) char *fresh = text_shown_new(cases[i].text);
        assert_string_equal(fresh, cases[i].want);
    }
    char small[8];
    assert_string_equal(text_shown("abcd\nef", small, sizeof small), "abcd");
    assert_string_equal(text_shown("abcde\xc3\xa9xyz", small, sizeof small), "abcde\xc3\xa9");
    assert_string_equal(text_shown("abcdef\xc3\xa9xyz", small, sizeof small), "abcdef");
}

static void a_log_line_is_one_line(void **state)
{
    (void)state;
    int p[2], old = dup(STDERR_FILENO);
    assert_int_equal(pipe(p), 0);
    dup2(p[1], STDERR_FILENO);
    log_init("prog");
    log_error("%s: no", "a\nfake: \033[2J");
    dup2(old, STDERR_FILENO);
    char got[200] = "";
    assert_true(read(p[0], got, sizeof got - 1) > 0);
    assert_string_equal(got, "prog: a\\x0afake: \\x1b[2J: no\n");
    close(old);
    close(p[0]);
    close(p[1]);
}

/* ---- progress, stopping ---- */

/* Begins to keep what goes to stderr; heard() ends it and gives the text, for mem_free. */
static int listen_in(void)
{
    fflush(stderr);
    int kept = dup(2);
    assert_non_null(freopen(in_dir("stderr"), "w", stderr));
    return kept;
}

static char *heard(int kept)
{
    fflush(stderr);
    dup2(kept, 2);
    close(kept);
    void *data = NULL;
    size_t len = 0;
    assert_int_equal(io_read_file(in_dir("stderr"), 1 << 16, &data, &len, NULL), STATUS_OK);
    return data;
}

/* Ten seconds ago it began, one of two images is done, and that was a tenth of the pixels. */
static void time_left_is_told_by_the_work(void **state)
{
    (void)state;
    struct progress p;
    int kept = listen_in();
    progress_init(&p, "x", 0, 2, 0);
    p.start_ns -= 10000000000u;
    p.next_ns = 0;
    progress_update_work(&p, 1, 100, 1000, NULL);
    char *by_work = heard(kept);
    assert_non_null(strstr(by_work, "1/2"));
    assert_non_null(strstr(by_work, "1:30 left"));
    kept = listen_in();
    progress_init(&p, "x", 0, 2, 0);
    p.start_ns -= 10000000000u;
    p.next_ns = 0;
    progress_update(&p, 1, NULL);
    char *by_count = heard(kept);
    assert_non_null(strstr(by_count, "0:10 left"));
    mem_free(by_work);
    mem_free(by_count);
}

/* In a process of its own: what a signal does cannot be undone. */
static void a_stop_that_takes_long_says_what_it_waits_for(void **state)
{
    (void)state;
    int kept = listen_in();
    pid_t pid = fork();
    if (pid == 0) {
        stop_install();
        stop_waits_for("the frobnication");
        raise(SIGINT);
        int asked = stop_requested();
        pause(); /* until the line was written: the alarm's handler ends it */
        _exit(asked ? 7 : 8);
    }
    int ws;
    assert_int_equal(waitpid(pid, &ws, 0), pid);
    char *said = heard(kept);
    assert_true(WIFEXITED(ws));
    assert_int_equal(WEXITSTATUS(ws), 7);
    assert_non_null(strstr(said, "relearn: stopping after the frobnication"));
    mem_free(said);
    pid = fork();
    if (pid == 0) {
        stop_install();
        raise(SIGINT);
        raise(SIGINT);
        _exit(9);
    }
    assert_int_equal(waitpid(pid, &ws, 0), pid);
    assert_true(WIFSIGNALED(ws) && WTERMSIG(ws) == SIGINT);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_text_and_codes),
        cmocka_unit_test(errmsg_prefixes_and_truncates),
        cmocka_unit_test(buf_grows_to_its_maximum_and_no_further),
        cmocka_unit_test(memory_fails_when_told),
        cmocka_unit_test(write_file_is_all_or_nothing),
        cmocka_unit_test(write_file_follows_no_link),
        cmocka_unit_test(a_torn_write_leaves_a_part),
        cmocka_unit_test(crash_fault_ends_the_process_at_a_sync),
        cmocka_unit_test(mkdirs_makes_parents_and_refuses_files),
        cmocka_unit_test(digests_match_published_values),
        cmocka_unit_test(every_accepted_job_runs_once),
        cmocka_unit_test(a_full_queue_says_again),
        cmocka_unit_test(pool_survives_failing_memory),
        cmocka_unit_test(a_job_may_submit_to_a_full_queue),
        cmocka_unit_test(a_cpu_that_lacks_something_is_named),
        cmocka_unit_test(bytes_are_counted),
        cmocka_unit_test(log_gate_counts_what_it_holds_back),
        cmocka_unit_test(paths_follow_xdg),
        cmocka_unit_test(names_cannot_disturb_a_terminal),
        cmocka_unit_test(a_log_line_is_one_line),
        cmocka_unit_test(time_left_is_told_by_the_work),
        cmocka_unit_test(a_stop_that_takes_long_says_what_it_waits_for),
    };
    int failed = cmocka_run_group_tests_name("base", tests, NULL, NULL);
    char cmd[64];
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    return system(cmd) ? 1 : failed;
}
