/*
 * A decoder: a process that has confined itself.
 *
 * It may receive and send on its socket, map memory (never as code), ask the time, end. What
 * libraries are known to try without need is refused with EPERM; anything else kills it.
 *
 * Terminals and service managers signal all processes of a group: decoders and the warden ignore
 * what asks to end, and end when their socket does, or by PR_SET_PDEATHSIG.
 */
#include "jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/banned.h"

/* ---- what it may do ---- */

static const int allowed[] = {
    SCMP_SYS(recvmsg),        SCMP_SYS(sendmsg),         SCMP_SYS(brk),
    SCMP_SYS(munmap),         SCMP_SYS(madvise),         SCMP_SYS(futex),
    SCMP_SYS(exit),           SCMP_SYS(exit_group),      SCMP_SYS(rt_sigreturn),
    SCMP_SYS(clock_gettime),  SCMP_SYS(getrandom),       SCMP_SYS(mremap),
    SCMP_SYS(sched_yield),    SCMP_SYS(restart_syscall),
#ifdef JAIL_SANITIZED
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction),    SCMP_SYS(sigaltstack),
    SCMP_SYS(gettid),         SCMP_SYS(getpid),          SCMP_SYS(write),
    SCMP_SYS(prctl),
#endif
};
/* What is asked for the number of CPUs, for a message on stderr, on the way to abort(). */
static const int refused[] = {
    SCMP_SYS(openat),
    SCMP_SYS(open),
    SCMP_SYS(newfstatat),
    SCMP_SYS(fstat),
    SCMP_SYS(stat),
    SCMP_SYS(access),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(read),
    SCMP_SYS(close),
    SCMP_SYS(ioctl),
    SCMP_SYS(lseek),
    SCMP_SYS(uname),
    SCMP_SYS(sysinfo),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getrusage),
    SCMP_SYS(getcpu),
};

static int add_rules(scmp_filter_ctx filter)
{
    int rc = 0;
    for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
        rc |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    static const int maps[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};
    for (size_t i = 0; i < ARRAY_LEN(maps); i++)
        rc |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, maps[i], 1,
                               SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
#ifndef JAIL_SANITIZED
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        rc |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
#endif
    return rc;
}

static bool load_filter(void)
{
#ifdef JAIL_SANITIZED
    (void)refused;
    uint32_t otherwise = SCMP_ACT_ERRNO(EPERM);
#else
    uint32_t otherwise = SCMP_ACT_KILL_PROCESS;
#endif
    scmp_filter_ctx filter = seccomp_init(otherwise);
    bool loaded = filter && add_rules(filter) == 0 && seccomp_load(filter) == 0;
    if (filter)
        seccomp_release(filter);
    return loaded;
}

static bool drop_capabilities(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2];
    memset(none, 0, sizeof none);
    return syscall(SYS_capset, &head, none) == 0;
}

static bool set_limit(int which, rlim_t most)
{
    return setrlimit(which, &(struct rlimit){most, most}) == 0;
}

/* All descriptors but the first n from JAIL_SOCKET on. A sanitizer's report is written to stderr,
 * which stays for it, but for a pipe: who reads that may wait for its end. */
bool jail_close_others(int n)
{
    unsigned standard = JAIL_SOCKET;
#ifdef JAIL_SANITIZED
    struct stat sb;
    if (fstat(STDERR_FILENO, &sb) == 0 && !S_ISFIFO(sb.st_mode))
        standard = STDERR_FILENO;
#endif
    return close_range(0, standard - 1, 0) == 0 &&
           close_range((unsigned)(JAIL_SOCKET + n), ~0u, 0) == 0;
}

void jail_ignore_signals(void)
{
    static const int asking[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT,
                                 SIGPIPE, SIGTSTP, SIGUSR1, SIGUSR2};
    sigset_t none;
    sigemptyset(&none);
#ifndef JAIL_SANITIZED
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL); /* nobody's handler; fails for those that have no other */
#endif
    for (size_t i = 0; i < ARRAY_LEN(asking); i++)
        signal(asking[i], SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* ends of decoders are waited for */
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool confine(void)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && set_limit(RLIMIT_CORE, 0) &&
           set_limit(RLIMIT_FSIZE, 0) && set_limit(RLIMIT_NOFILE, JAIL_MEMORY + 1) &&
           drop_capabilities() && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 && load_filter();
}

/* ---- what it does ---- */

static status give_pixels(const struct image *img, const struct jail_request *q, uint8_t *memory)
{
    size_t pixels = image_pixel_bytes(img), alpha = (size_t)img->width * (size_t)img->height;
    size_t need = pixels + (img->alpha ? alpha : 0);
    if (need > q->out_bytes)
        return STATUS_NOMEM;
    memcpy(memory + q->out, img->pixels, pixels);
    if (img->alpha)
        memcpy(memory + q->out + pixels, img->alpha, alpha);
    return STATUS_OK;
}

struct memory {
    void *at;
    size_t bytes;
};

/* It stays mapped while it stays as large. */
static bool map_memory(struct memory *m, size_t bytes)
{
    if (m->bytes == bytes)
        return true;
    if (m->bytes)
        munmap(m->at, m->bytes);
    m->at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, JAIL_MEMORY, 0);
    m->bytes = m->at == MAP_FAILED ? 0 : bytes;
    return m->bytes != 0;
}

static void serve(jail_decode_fn *decode, const struct jail_request *q, struct memory *m,
                  struct jail_answer *a)
{
    struct image img = IMAGE_INIT;
    memset(a, 0, sizeof *a);
    a->st = map_memory(m, q->mapped) ? STATUS_OK : STATUS_NOMEM;
    if (!a->st)
        a->st = decode(m->at, q->len, &q->limits, &img, NULL, &a->err);
    if (!a->st)
        a->st = give_pixels(&img, q, m->at);
    if (!a->st) {
        a->width = img.width;
        a->height = img.height;
        a->channels = img.channels;
        a->has_alpha = img.alpha != NULL;
    }
    image_done(&img);
}

_Noreturn void jail_decoder(jail_decode_fn *decode)
{
    struct jail_request q;
    struct jail_answer a;
    struct memory m = {NULL, 0};
    if (!confine())
        _exit(1);
    memset(&a, 0, sizeof a);
    if (!jail_send(JAIL_SOCKET, &a, sizeof a, NULL, 0)) /* it is at home */
        _exit(0);
    while (jail_receive(JAIL_SOCKET, &q, sizeof q, NULL, 0)) {
        serve(decode, &q, &m, &a);
        if (!jail_send(JAIL_SOCKET, &a, sizeof a, NULL, 0))
            break;
    }
    _exit(0);
}
