#ifndef CACHE_TESTING_H
#define CACHE_TESTING_H
/* Shared by this folder's tests: numbered objects, temporary directories, damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define UNUSED __attribute__((unused))
#define assert_status(want, call)                                                                  \
    do {                                                                                           \
        status got_ = (call);                                                                      \
        if (got_ != (want))                                                                        \
            fail_msg("%s: %s, wanted %s", #call, status_text(got_), status_text(want));            \
    } while (0)
#define assert_ok(call) assert_status(STATUS_OK, call)

enum { PROFILES = 3 };

/* Object n: its key, its shape (sizes differ), its pixels. */
UNUSED static struct cache_key key_of(unsigned n)
{
    struct cache_key k;
    const struct digest_part pixels = {&n, sizeof n};
    unsigned p = n % PROFILES;
    const struct digest_part profile = {&p, 1};
    CHECK(!digest_sha256(&pixels, 1, &k.pixels) && !digest_sha256(&profile, 1, &k.profile));
    return k;
}

UNUSED static struct cache_shape shape_of(unsigned n)
{
    return (struct cache_shape){5 + n % 7, 4 + n % 5, 1 + n % 4};
}

UNUSED static size_t len_of(unsigned n)
{
    struct cache_shape s = shape_of(n);
    return (size_t)s.width * s.height * s.channels;
}

UNUSED static void fill(unsigned n, uint8_t *pixels, size_t len)
{
    uint32_t x = n * 2654435761u + 1;
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525u + 1013904223u;
        pixels[i] = (uint8_t)(x >> 24);
    }
}

enum { PIXELS_MAX = 16 * 1024 };

UNUSED static status put_done(struct cache *c, unsigned n, cache_done_fn *done, void *arg)
{
    uint8_t pixels[PIXELS_MAX];
    struct cache_key k = key_of(n);
    fill(n, pixels, len_of(n));
    return cache_put(c, &k, shape_of(n), pixels, len_of(n), done, arg);
}

UNUSED static status put(struct cache *c, unsigned n)
{
    return put_done(c, n, NULL, NULL);
}

/* OK only when the bytes are the right ones; wrong bytes end the test. */
UNUSED static status get(struct cache *c, unsigned n)
{
    uint8_t pixels[PIXELS_MAX];
    struct cache_key k = key_of(n);
    struct cache_object o;
    status st = cache_get(c, &k, &o);
    if (st)
        return st;
    struct cache_shape s = shape_of(n);
    assert_int_equal(s.width, o.shape.width);
    assert_int_equal(s.height, o.shape.height);
    assert_int_equal(s.channels, o.shape.channels);
    assert_int_equal(len_of(n), o.len);
    fill(n, pixels, o.len);
    assert_memory_equal(pixels, o.pixels, o.len);
    cache_object_done(&o);
    return STATUS_OK;
}

UNUSED static status has(struct cache *c, unsigned n)
{
    struct cache_key k = key_of(n);
    return cache_has(c, &k);
}

UNUSED static unsigned count_there(struct cache *c, unsigned from, unsigned to)
{
    unsigned n = 0;
    for (unsigned i = from; i < to; i++) {
        status st = get(c, i);
        if (st && st != STATUS_NOT_FOUND)
            fail_msg("object %u: %s", i, status_text(st));
        n += !st;
    }
    return n;
}

UNUSED static struct cache_stats stats_of(struct cache *c)
{
    struct cache_stats s;
    assert_ok(cache_stats(c, &s));
    return s;
}

/* ---- directories ---- */

/* In memory where that can be: the tests sync thousands of times, and look at what, not at where.
 */
UNUSED static char *temp_dir(void)
{
    const char *base = getenv("TMPDIR");
    if (!base)
        base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    AUTO(mem_free) char *path = mem_printf("%s/relearn-cache-XXXXXX", base);
    CHECK(path && mkdtemp(path));
    char *real = realpath(path, NULL); /* an index is not opened through links */
    CHECK(real);
    return real;
}

UNUSED static int remove_one(const char *path, const struct stat *sb, int type, struct FTW *at)
{
    (void)sb;
    (void)type;
    (void)at;
    return remove(path);
}

UNUSED static void remove_dir(char *path)
{
    CHECK(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
    mem_free(path);
}

UNUSED static struct cache *open_with(const char *dir, struct cache_options opt)
{
    struct cache *c = NULL;
    struct errmsg e = {""};
    if (opt.min_free_bytes == 0) /* however full the disk of the tests is */
        opt.min_free_bytes = CACHE_NO_LIMIT;
    if (opt.max_bytes == 0)
        opt.max_bytes = CACHE_NO_LIMIT;
    status st = cache_open(dir, &opt, &c, &e);
    if (st)
        fail_msg("cache_open: %s", errmsg_text(&e, st));
    return c;
}

UNUSED static struct cache *open_dir(const char *dir)
{
    return open_with(dir, (struct cache_options){0});
}

/* A directory with objects [0, n), closed. */
UNUSED static char *dir_with(unsigned n)
{
    char *dir = temp_dir();
    struct cache *c = open_dir(dir);
    for (unsigned i = 0; i < n; i++)
        assert_ok(put(c, i));
    assert_ok(cache_close(c));
    return dir;
}

UNUSED static char *in_dir(const char *dir, const char *name)
{
    char *path = mem_printf("%s/%s", dir, name);
    CHECK(path);
    return path;
}

UNUSED static void *load_file(const char *dir, const char *name, size_t *out_len)
{
    AUTO(mem_free) char *path = in_dir(dir, name);
    void *data;
    assert_ok(io_read_file(path, 1u << 30, &data, out_len, NULL));
    return data;
}

UNUSED static void save_file(const char *dir, const char *name, const void *data, size_t len)
{
    AUTO(mem_free) char *path = in_dir(dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_ok(io_write(fd, data, len));
    close(fd);
}

/* Regular files and folders only. */
UNUSED static void copy_dir(const char *from, const char *to)
{
    DIR *d = opendir(from);
    CHECK(d);
    for (struct dirent *entry; (entry = readdir(d));) {
        if (entry->d_name[0] == '.')
            continue;
        size_t len;
        AUTO(mem_free) char *source = in_dir(from, entry->d_name);
        AUTO(mem_free) char *target = in_dir(to, entry->d_name);
        struct stat sb;
        CHECK(stat(source, &sb) == 0);
        if (S_ISDIR(sb.st_mode)) {
            CHECK(mkdir(target, 0700) == 0);
            copy_dir(source, target);
        } else {
            AUTO(mem_free) void *data = load_file(from, entry->d_name, &len);
            save_file(to, entry->d_name, data, len);
        }
    }
    closedir(d);
}

UNUSED static bool exists(const char *dir, const char *name)
{
    AUTO(mem_free) char *path = in_dir(dir, name);
    return access(path, F_OK) == 0;
}

UNUSED static void delete_file(const char *dir, const char *name)
{
    AUTO(mem_free) char *path = in_dir(dir, name);
    unlink(path);
}

UNUSED static const char *const first_pack = "packs/00000001.pack";

/* Every object that is there is right (get compares), the file agrees with the index, and what was
   lost can be stored again. Returns how many were there. */
UNUSED static unsigned check_true(const char *dir, unsigned to)
{
    struct cache *c = open_dir(dir);
    unsigned there = count_there(c, 0, to);
    assert_ok(cache_flush(c)); /* damaged rows are gone now */
    struct cache_verify_result v;
    assert_ok(cache_verify(c, NULL, &v));
    assert_int_equal(0, v.bad);
    assert_int_equal(there, v.objects);
    assert_true(v.index_ok);
    for (unsigned i = 0; i < to; i++) /* and what was lost can be stored again */
        if (has(c, i))
            assert_ok(put(c, i));
    assert_ok(cache_flush(c));
    assert_int_equal(to, count_there(c, 0, to));
    assert_ok(cache_close(c));
    return there;
}

/* Runs fn in a child that ends with _exit(what fn returns). */
UNUSED static pid_t in_child(int (*fn)(void *arg), void *arg)
{
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        _exit(fn(arg));
    return pid;
}

UNUSED static int child_status(pid_t pid)
{
    int ws;
    CHECK(waitpid(pid, &ws, 0) == pid);
    return WIFEXITED(ws) ? WEXITSTATUS(ws) : 1000 + WTERMSIG(ws);
}

#endif
