/*
 * Decoders in their jail: what they answer is what image_decode says, and what one of them does
 * that was taken over by its image. The decoder of these tests does what the image's width says.
 */
#include "jail.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

enum act {
    ACT_CRASH = 11,
    ACT_SOCKET,
    ACT_FORK,
    ACT_CODE, /* makes memory that can be run */
    ACT_KILL, /* its parent */
    ACT_MEMORY,
    ACT_LOOP,
    ACT_OTHER_IMAGE,
    ACT_LARGER_IMAGE,
    ACT_OPEN, /* tries to, and goes on */
    ACT_STATUS,
};

static int *volatile nowhere;

static void spend_memory(void)
{
    for (;;) {
        uint8_t *p = mem_alloc(1 << 20);
        if (!p)
            return;
        memset(p, 1, 1 << 20); /* never freed */
    }
}

/* What a program would do that has come in by a hole of the decoder. */
static status do_harm(int width, struct image *img, struct errmsg *e)
{
    switch (width) {
    case ACT_CRASH:
        *nowhere = 1;
        break;
    case ACT_SOCKET:
        if (socket(AF_UNIX, SOCK_STREAM, 0) >= 0)
            return STATUS_OK;
        break;
    case ACT_FORK:
        if (fork() >= 0)
            return STATUS_OK;
        break;
    case ACT_CODE:
        if (mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                 0) != MAP_FAILED)
            return STATUS_OK;
        break;
    case ACT_KILL:
        if (kill(1, 0) == 0)
            return STATUS_OK;
        break;
    case ACT_MEMORY:
        spend_memory();
        return STATUS_NOMEM;
    case ACT_LOOP:
        for (volatile int i = 0;; i++)
            ;
    case ACT_OTHER_IMAGE:
        image_done(img);
        return image_alloc(5, 5, 3, false, img);
    case ACT_LARGER_IMAGE:
        image_done(img);
        return image_alloc(5000, 5000, 3, true, img);
    case ACT_OPEN:
        return open("/etc/passwd", O_RDONLY) < 0 && open("/tmp/x", O_CREAT | O_RDWR, 0600) < 0
                   ? STATUS_OK
                   : STATUS_INTERNAL;
    case ACT_STATUS:
        return errmsg_set(e, (status)77, "no status of ours");
    default:
        return STATUS_OK;
    }
    return errmsg_set(e, STATUS_CORRUPT, "it was refused, and lives"); /* with a sanitizer */
}

static status decode(const void *data, size_t len, const struct image_limits *lim,
                     struct image *out_img, struct image_info *out_info, struct errmsg *e)
{
    struct image img = IMAGE_INIT;
    status st = image_decode(data, len, lim, &img, out_info, e);
    if (!st)
        st = do_harm(img.width, &img, e);
    if (!st)
        *out_img = img;
    else
        image_done(&img);
    return st;
}

/* ---- helpers ---- */

struct file {
    uint8_t *data;
    size_t len;
};

static void make_file(enum image_format format, int w, int h, int channels, bool alpha,
                      struct file *out)
{
    struct image img;
    struct image_info info;
    assert_int_equal(image_alloc(w, h, channels, alpha, &img), STATUS_OK);
    for (int k = 0; k < w * h * channels; k++)
        img.pixels[k] = (uint8_t)(k * 37 + k / 11);
    for (int k = 0; alpha && k < w * h; k++)
        img.alpha[k] = (uint8_t)(k * 5);
    assert_int_equal(image_info_new(format, &img, &info, NULL), STATUS_OK);
    out->len = info.encoded_size;
    out->data = mem_alloc(out->len);
    assert_non_null(out->data);
    assert_int_equal(image_encode(&img, &info, NULL, 0, out->data, out->len, NULL), STATUS_OK);
    image_done(&img);
}

static struct jail *start(const struct jail_options *opt)
{
    struct jail *j = NULL;
    struct errmsg e = {""};
    status st = jail_new(opt, &j, &e);
    if (st == STATUS_UNSUPPORTED)
        skip();
    if (st)
        fail_msg("no jail: %s", errmsg_text(&e, st));
    return j;
}

/* A PNG of this width. */
static status decode_width(struct jail *j, int width, struct errmsg *e)
{
    struct image_limits lim = image_limits_default();
    struct file f;
    struct image img = IMAGE_INIT;
    make_file(IMAGE_PNG, width, 9, 3, false, &f);
    e->text[0] = 0;
    status st = jail_decode(j, f.data, f.len, &lim, &img, NULL, e);
    mem_free(f.data);
    image_done(&img);
    return st;
}

/* ---- tests ---- */

static void check_same(struct jail *j, const uint8_t *data, size_t len)
{
    struct image_limits lim = image_limits_default();
    struct image a = IMAGE_INIT, b = IMAGE_INIT;
    struct image_info ai, bi;
    struct errmsg ae = {""}, be = {""};
    memset(&ai, 0, sizeof ai);
    memset(&bi, 0, sizeof bi);
    status as = image_decode(data, len, &lim, &a, &ai, &ae);
    status bs = jail_decode(j, data, len, &lim, &b, &bi, &be);
    assert_int_equal(as, bs);
    assert_string_equal(ae.text, be.text);
    if (!as) {
        assert_memory_equal(&ai, &bi, sizeof ai);
        assert_int_equal(a.width, b.width);
        assert_int_equal(a.height, b.height);
        assert_int_equal(a.channels, b.channels);
        assert_memory_equal(a.pixels, b.pixels, image_pixel_bytes(&a));
        assert_int_equal(a.alpha != NULL, b.alpha != NULL);
        if (a.alpha)
            assert_memory_equal(a.alpha, b.alpha, (size_t)a.width * (size_t)a.height);
    }
    image_done(&a);
    image_done(&b);
}

/* Sound files, cut ones, and ones with a wrong byte. */
static void test_same(void **state)
{
    (void)state;
    static const struct {
        enum image_format format;
        int w, h, channels;
        bool alpha;
    } kind[] = {
        {IMAGE_PNG, 32, 32, 3, false},    {IMAGE_PNG, 33, 7, 1, true},
        {IMAGE_PNG, 40, 40, 3, true},     {IMAGE_PNG, 1, 1, 1, false},
        {IMAGE_JPEG, 50, 41, 3, false},   {IMAGE_JPEG, 64, 64, 1, false},
        {IMAGE_PNG, 2000, 1500, 3, true}, /* over what is kept */
        {IMAGE_PNG, 32, 31, 3, false},
    };
    struct jail *j = start(&(struct jail_options){.decoders = 1});
    for (size_t k = 0; k < ARRAY_LEN(kind); k++) {
        struct file f;
        make_file(kind[k].format, kind[k].w, kind[k].h, kind[k].channels, kind[k].alpha, &f);
        check_same(j, f.data, f.len);
        for (size_t i = 0; i < 60 && f.len < 100000; i++) {
            check_same(j, f.data, f.len * i / 60);
            size_t at = f.len * (2 * i + 1) / 120;
            f.data[at] ^= 0x55;
            check_same(j, f.data, f.len);
            f.data[at] ^= 0x55;
        }
        mem_free(f.data);
    }
    check_same(j, (const uint8_t *)"", 0);
    jail_free(j);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
}

/* After each of these the next image is decoded as if nothing had been. */
static void test_harm(void **state)
{
    (void)state;
    static const struct {
        int width;
        status st;
        const char *text;
    } harm[] = {
        {ACT_CRASH, STATUS_CORRUPT, "ended on it (signal 11)"},
        {ACT_SOCKET, STATUS_CORRUPT, "(signal 31)"}, /* SIGSYS */
        {ACT_FORK, STATUS_CORRUPT, "(signal 31)"},
        {ACT_CODE, STATUS_CORRUPT, "(signal 31)"},
        {ACT_KILL, STATUS_CORRUPT, "(signal 31)"},
        {ACT_OTHER_IMAGE, STATUS_CORRUPT, "another image"},
        {ACT_LARGER_IMAGE, STATUS_LIMIT, "memory"},
        {ACT_STATUS, STATUS_INTERNAL, "no status of ours"},
        {ACT_OPEN, STATUS_OK, ""},
    };
    struct errmsg e = {""};
    struct jail *j = start(&(struct jail_options){.decoders = 1, .decode = decode});
    for (size_t k = 0; k < ARRAY_LEN(harm); k++) {
        status st = decode_width(j, harm[k].width, &e);
        if (st != harm[k].st)
            fail_msg("%d: %s", harm[k].width, errmsg_text(&e, st));
        if (!SANITIZED && !strstr(e.text, harm[k].text))
            fail_msg("%d says: %s", harm[k].width, e.text);
        assert_int_equal(decode_width(j, 8, &e), STATUS_OK);
    }
    jail_free(j);
}

static void test_budgets(void **state)
{
    (void)state;
    struct errmsg e = {""};
    struct jail *j = start(&(struct jail_options){.decoders = 1, .decode = decode, .cpu_ms = 100});
    assert_int_equal(decode_width(j, ACT_LOOP, &e), STATUS_LIMIT);
    assert_non_null(strstr(e.text, "more than 1 s"));
    assert_int_equal(decode_width(j, 8, &e), STATUS_OK);
    jail_free(j);
    /* Where memory comes slowly, 100 MiB take more than a second of it. */
    j = start(&(struct jail_options){
        .decoders = 1, .decode = decode, .memory_bytes = 100 << 20, .cpu_ms = 60000});
    if (!SANITIZED) {
        assert_int_equal(decode_width(j, ACT_MEMORY, &e), STATUS_LIMIT);
        assert_non_null(strstr(e.text, "100 MiB"));
    }
    assert_int_equal(decode_width(j, 8, &e), STATUS_OK);
    jail_free(j);
}

/* ---- processes, as /proc shows them ---- */

static bool status_line(pid_t pid, const char *key, char *out, size_t size)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    AUTO(file_close) FILE *f = fopen(path, "re");
    size_t n = strlen(key);
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, n) == 0 && line[n] == ':') {
            size_t skip_blanks = n + 1 + strspn(line + n + 1, " \t");
            line[strcspn(line, "\n")] = 0;
            snprintf(out, size, "%s", line + skip_blanks);
            return true;
        }
    return false;
}

static int children(pid_t parent, pid_t *out, int max)
{
    char want[32], ppid[32];
    int n = 0;
    snprintf(want, sizeof want, "%d", parent);
    DIR *d = opendir("/proc");
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) && n < max;) {
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
        if (pid > 0 && status_line(pid, "PPid", ppid, sizeof ppid) && strcmp(ppid, want) == 0)
            out[n++] = pid;
    }
    closedir(d);
    return n;
}

static bool is_gone(pid_t pid)
{
    char state[32];
    return !status_line(pid, "State", state, sizeof state) || state[0] == 'Z';
}

static void assert_line(pid_t pid, const char *key, const char *value)
{
    char text[64];
    assert_true(status_line(pid, key, text, sizeof text));
    assert_string_equal(text, value);
}

static int descriptors(pid_t pid)
{
    char path[64];
    int n = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *d = opendir(path);
    if (!d)
        return -1; /* not root: it is not even shown */
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void test_confined(void **state)
{
    (void)state;
    pid_t warden, decoder;
    struct errmsg e = {""};
    struct jail *j = start(&(struct jail_options){.decoders = 1});
    assert_int_equal(decode_width(j, 8, &e), STATUS_OK);
    assert_int_equal(children(getpid(), &warden, 1), 1);
    assert_int_equal(children(warden, &decoder, 1), 1);
    assert_line(decoder, "Seccomp", "2");
    assert_line(decoder, "NoNewPrivs", "1");
    assert_line(decoder, "CapEff", "0000000000000000");
    assert_line(decoder, "CapPrm", "0000000000000000");
    int n = descriptors(decoder);
    if (!SANITIZED && n >= 0)
        assert_int_equal(n, 2);
    jail_free(j);
    assert_true(is_gone(warden) && is_gone(decoder));
}

static void wait_gone(pid_t pid)
{
    for (int i = 0; i < 1000 && !is_gone(pid); i++)
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    assert_true(is_gone(pid));
}

/* What a terminal sends to a whole group does not end them; their owner's end does. */
static void test_end_of_owner(void **state)
{
    (void)state;
    int ready[2];
    char c = 0;
    jail_free(start(&(struct jail_options){.decoders = 1}));
    assert_int_equal(pipe(ready), 0);
    pid_t owner = fork(), warden, decoder;
    if (owner == 0) {
        struct jail *j;
        struct errmsg e = {""};
        c = jail_new(&(struct jail_options){.decoders = 1}, &j, &e) ? 'x' : 'o';
        if (write(ready[1], &c, 1) == 1)
            pause();
        _exit(0);
    }
    assert_int_equal(read(ready[0], &c, 1), 1);
    assert_int_equal(c, 'o');
    assert_int_equal(children(owner, &warden, 1), 1);
    assert_int_equal(children(warden, &decoder, 1), 1);
    static const int group[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    for (size_t i = 0; i < ARRAY_LEN(group); i++) {
        assert_int_equal(kill(warden, group[i]), 0);
        assert_int_equal(kill(decoder, group[i]), 0);
    }
    nanosleep(&(struct timespec){0, 20000000}, NULL);
    assert_false(is_gone(warden) || is_gone(decoder));
    kill(owner, SIGKILL);
    waitpid(owner, NULL, 0);
    wait_gone(warden);
    wait_gone(decoder);
    close(ready[0]);
    close(ready[1]);
}

/* A decoder that dies between two images, by whomever, is a new one for the next. */
static void test_killed_idle(void **state)
{
    (void)state;
    pid_t warden, decoder;
    struct errmsg e = {""};
    struct jail *j = start(&(struct jail_options){.decoders = 1});
    assert_int_equal(children(getpid(), &warden, 1), 1);
    assert_int_equal(children(warden, &decoder, 1), 1);
    kill(decoder, SIGKILL);
    wait_gone(decoder);
    assert_int_equal(decode_width(j, 8, &e), STATUS_OK);
    jail_free(j);
}

enum { THREADS = 6, ROUNDS = 25 };
struct crowd {
    struct jail *jail;
    int number;
    atomic_int wrong;
};

static void *crowd_main(void *arg)
{
    struct crowd *c = arg;
    struct image_limits lim = image_limits_default();
    for (int i = 0; i < ROUNDS; i++) {
        bool crashes = (i + c->number) % 7 == 0;
        struct file f;
        struct image img = IMAGE_INIT, same = IMAGE_INIT;
        make_file(IMAGE_PNG, crashes ? ACT_SOCKET : 30 + c->number, 20 + i, 3, false, &f);
        status st = jail_decode(c->jail, f.data, f.len, &lim, &img, NULL, NULL);
        if (crashes) {
            c->wrong += st != STATUS_CORRUPT;
        } else {
            c->wrong += st || image_decode(f.data, f.len, &lim, &same, NULL, NULL) ||
                        memcmp(img.pixels, same.pixels, image_pixel_bytes(&same)) != 0;
        }
        image_done(&img);
        image_done(&same);
        mem_free(f.data);
    }
    return NULL;
}

/* More threads than decoders, some of which end all the time. */
static void test_crowd(void **state)
{
    (void)state;
    struct jail *j = start(&(struct jail_options){.decoders = 2, .decode = decode});
    struct crowd c[THREADS];
    pthread_t t[THREADS];
    for (int i = 0; i < THREADS; i++) {
        c[i].jail = j;
        c[i].number = i;
        c[i].wrong = 0;
        assert_int_equal(pthread_create(&t[i], NULL, crowd_main, &c[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
        assert_int_equal(c[i].wrong, 0);
    }
    pid_t warden, decoder[4];
    assert_int_equal(children(getpid(), &warden, 1), 1);
    assert_in_range(children(warden, decoder, 4), 1, 2);
    jail_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same),         cmocka_unit_test(test_harm),
        cmocka_unit_test(test_budgets),      cmocka_unit_test(test_confined),
        cmocka_unit_test(test_end_of_owner), cmocka_unit_test(test_killed_idle),
        cmocka_unit_test(test_crowd),
    };
    return cmocka_run_group_tests_name("fused/jail", tests, NULL, NULL);
}
