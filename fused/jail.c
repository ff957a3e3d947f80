/*
 * The side that has an image to decode.
 *
 * Invariants
 *  1. A decoder is at any time idle (in the list), in the hands of one caller, or absent; `started`
 *     counts the first two, and is at most opt.decoders.
 *  2. Calls to the warden are made with `orders` held, and a pid stays what it was until it has
 * been buried, so no signal goes to a stranger.
 *  3. What a decoder may use is set before each image: address space by prlimit, the time by
 * looking at its clock while its answer is waited for.
 */
#include "jail.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "base/banned.h"

enum { LOOK_MS = 100 };                        /* between two looks at a decoder's clock */
static const size_t kept_bytes = 16u << 20;    /* shared memory that a decoder keeps: 2048x2048 */
static const uint64_t slack_bytes = 64u << 20; /* of address space: heaps have holes */
static const uint64_t base_ms = 10000, ms_per_megapixel = 2000;

struct decoder {
    pid_t pid;
    int socket, memory;
    uint8_t *at; /* the memory, as mapped here */
    size_t bytes;
    struct decoder *next;
};
struct jail {
    struct jail_options opt;
    pid_t warden;
    int socket;
    uint64_t vm_bytes;
    pthread_mutex_t orders; /* one call to the warden at a time */
    pthread_mutex_t lock;
    pthread_cond_t freed;
    struct decoder *idle; /* guarded by lock, as `started` */
    int started;
};

/* ---- the warden ---- */

static bool order(struct jail *j, const struct jail_call *call, const int *fds, int n,
                  struct jail_reply *out)
{
    pthread_mutex_lock(&j->orders);
    bool ok = jail_send(j->socket, call, sizeof *call, fds, n) &&
              jail_receive(j->socket, out, sizeof *out, NULL, 0);
    pthread_mutex_unlock(&j->orders);
    return ok;
}

static void close_all(const int *fd, int n)
{
    for (int i = 0; i < n; i++)
        if (fd[i] >= 0)
            close(fd[i]);
}

static status start_warden(struct jail *j, struct errmsg *e)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return errmsg_set(e, status_from_errno(errno), "no socket for the decoders: %s",
                          strerror(errno));
    pid_t parent = getpid();
    j->warden = fork();
    if (j->warden == 0) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent ||
            (pair[1] != JAIL_SOCKET && dup2(pair[1], JAIL_SOCKET) < 0))
            _exit(1);
        jail_warden(j->opt.decode);
    }
    int err = errno;
    close(pair[1]);
    j->socket = pair[0];
    if (j->warden < 0)
        return errmsg_set(e, status_from_errno(err), "no process for the decoders: %s",
                          strerror(err));
    struct jail_reply r;
    if (!jail_receive(j->socket, &r, sizeof r, NULL, 0))
        return errmsg_set(e, STATUS_INTERNAL, "the process for the decoders did not start");
    if (!r.can_filter)
        return errmsg_set(e, STATUS_UNSUPPORTED, "this kernel has no seccomp");
    j->vm_bytes = r.vm_bytes;
    return STATUS_OK;
}

/* ---- a decoder's life ---- */

static void decoder_free(struct decoder *d)
{
    if (!d)
        return;
    if (d->at)
        munmap(d->at, d->bytes);
    close_all((const int[]){d->socket, d->memory}, 2);
    mem_free(d);
}

/* Ends it, and tells how it ended: a wait status, or -1. */
static int decoder_end(struct jail *j, struct decoder *d)
{
    struct jail_call call = {JAIL_BURY, d->pid};
    struct jail_reply r;
    kill(d->pid, SIGKILL); /* nothing, when it is dead already */
    int how = order(j, &call, NULL, 0, &r) ? r.wait_status : -1;
    decoder_free(d);
    return how;
}

static status not_started(struct errmsg *e, int err)
{
    return errmsg_set(e, STATUS_INTERNAL, "no decoder could be started: %s", strerror(err));
}

static status decoder_start(struct jail *j, struct decoder **out, struct errmsg *e)
{
    int pair[2] = {-1, -1};
    struct decoder *d = mem_zalloc(1, sizeof *d);
    if (!d)
        return STATUS_NOMEM;
    d->socket = -1;
    d->memory = memfd_create("image", MFD_CLOEXEC);
    if (d->memory < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        status st = not_started(e, errno);
        decoder_free(d);
        return st;
    }
    d->socket = pair[0];
    struct jail_call call = {JAIL_START, 0};
    struct jail_reply r = {.pid = -EPIPE};
    bool asked = order(j, &call, (const int[]){pair[1], d->memory}, 2, &r);
    close(pair[1]);
    if (!asked || r.pid < 0) {
        decoder_free(d);
        return not_started(e, asked ? -r.pid : EPIPE);
    }
    d->pid = r.pid;
    struct jail_answer hello;
    if (!jail_receive(d->socket, &hello, sizeof hello, NULL, 0)) {
        decoder_end(j, d);
        return errmsg_set(e, STATUS_INTERNAL, "a decoder could not be confined");
    }
    *out = d;
    return STATUS_OK;
}

static bool has_ended(const struct decoder *d)
{
    struct pollfd p = {.fd = d->socket, .events = 0};
    return poll(&p, 1, 0) > 0 && p.revents & POLLHUP;
}

/* An idle one, or a new one; waits while all are at work. */
static status decoder_take(struct jail *j, struct decoder **out, struct errmsg *e)
{
    pthread_mutex_lock(&j->lock);
    while (!j->idle && j->started >= j->opt.decoders)
        pthread_cond_wait(&j->freed, &j->lock);
    struct decoder *d = j->idle;
    if (d)
        j->idle = d->next;
    else
        j->started++;
    pthread_mutex_unlock(&j->lock);
    if (d && has_ended(d)) { /* between two images: not by this one */
        decoder_end(j, d);
        d = NULL;
    }
    status st = d ? STATUS_OK : decoder_start(j, &d, e);
    if (st) {
        pthread_mutex_lock(&j->lock);
        j->started--;
        pthread_cond_signal(&j->freed);
        pthread_mutex_unlock(&j->lock);
        return st;
    }
    *out = d;
    return STATUS_OK;
}

/* d NULL: it has ended. */
static void decoder_give_back(struct jail *j, struct decoder *d)
{
    pthread_mutex_lock(&j->lock);
    if (d) {
        d->next = j->idle;
        j->idle = d;
    } else {
        j->started--;
    }
    pthread_cond_signal(&j->freed);
    pthread_mutex_unlock(&j->lock);
}

/* ---- one image ---- */

/* The shared memory gets this size; what a large image took is given back with the next. */
static status decoder_resize(struct decoder *d, size_t bytes)
{
    bytes = bytes < kept_bytes ? kept_bytes : bytes;
    if (bytes == d->bytes)
        return STATUS_OK;
    if (d->at)
        munmap(d->at, d->bytes);
    d->at = NULL;
    d->bytes = 0;
    if (ftruncate(d->memory, (off_t)bytes) < 0)
        return STATUS_NOMEM;
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, d->memory, 0);
    if (at == MAP_FAILED)
        return STATUS_NOMEM;
    d->at = at;
    d->bytes = bytes;
    return STATUS_OK;
}

static uint64_t cpu_ms(pid_t pid)
{
    clockid_t clock;
    struct timespec t = {0, 0};
    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t) < 0)
        return 0; /* it has just ended */
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct budget {
    uint64_t memory_bytes, cpu_ms;
};

static struct budget budget_of(const struct jail *j, const struct image_info *info)
{
    uint64_t pixels = (uint64_t)info->width * (uint64_t)info->height;
    struct budget b = {j->opt.memory_bytes, j->opt.cpu_ms};
    if (!b.memory_bytes)
        b.memory_bytes = slack_bytes + 16 * pixels * (uint64_t)(info->channels + info->has_alpha);
    if (!b.cpu_ms)
        b.cpu_ms = base_ms + ms_per_megapixel * (pixels >> 20);
    return b;
}

/* Waits for the answer. LIMIT: out of time; IO: the decoder is gone, or talks nonsense. */
static status wait_for(struct decoder *d, uint64_t end_ms, struct jail_answer *out)
{
    struct pollfd p = {.fd = d->socket, .events = POLLIN};
    for (;;) {
        int n = poll(&p, 1, LOOK_MS);
        if (n > 0)
            return jail_receive(d->socket, out, sizeof *out, NULL, 0) ? STATUS_OK : STATUS_IO;
        if (n < 0 && errno != EINTR)
            return STATUS_IO;
        if (cpu_ms(d->pid) > end_ms)
            return STATUS_LIMIT;
    }
}

static status ask(struct jail *j, struct decoder *d, const struct jail_request *q,
                  const struct budget *b, struct jail_answer *out)
{
#ifndef JAIL_SANITIZED
    rlim_t most = j->vm_bytes + b->memory_bytes + q->mapped;
    if (prlimit(d->pid, RLIMIT_AS, &(struct rlimit){most, RLIM_INFINITY}, NULL) < 0)
        return STATUS_IO;
#else
    (void)j;
#endif
    uint64_t end_ms = cpu_ms(d->pid) + b->cpu_ms;
    if (!jail_send(d->socket, q, sizeof *q, NULL, 0))
        return STATUS_IO;
    return wait_for(d, end_ms, out);
}

static status how_it_ended(int how, struct errmsg *e)
{
    if (how >= 0 && WIFSIGNALED(how) && WTERMSIG(how) != SIGKILL)
        return errmsg_set(e, STATUS_CORRUPT, "the decoder ended on it (signal %d)", WTERMSIG(how));
    if (how >= 0 && WIFSIGNALED(how)) /* by the kernel, which had no memory for it, or by us */
        return errmsg_set(e, STATUS_CORRUPT, "the decoder was killed on it");
    return errmsg_set(e, STATUS_CORRUPT, "the decoder ended on it");
}

/* What the decoder wrote; only what was promised is believed. */
static status take_pixels(const struct decoder *d, const struct jail_request *q,
                          const struct jail_answer *a, const struct image_info *info,
                          struct image *out, struct errmsg *e)
{
    if (a->width != info->width || a->height != info->height || a->channels != info->channels ||
        (a->has_alpha && !info->has_alpha))
        return errmsg_set(e, STATUS_CORRUPT, "the decoder found another image than its header");
    status st = image_alloc(info->width, info->height, info->channels, a->has_alpha, out);
    if (st)
        return st;
    size_t pixels = image_pixel_bytes(out);
    memcpy(out->pixels, d->at + q->out, pixels);
    if (out->alpha)
        memcpy(out->alpha, d->at + q->out + pixels, (size_t)info->width * (size_t)info->height);
    return STATUS_OK;
}

/* *d becomes NULL when it has ended. */
static status decode_in(struct jail *j, struct decoder **d, const void *data, size_t len,
                        const struct image_limits *lim, const struct image_info *info,
                        struct image *out, struct errmsg *e)
{
    struct budget b = budget_of(j, info);
    size_t pixels = (size_t)info->width * (size_t)info->height;
    struct jail_request q = {.limits = *lim, .len = len, .out = (len + 63) / 64 * 64};
    struct jail_answer a;
    q.out_bytes = pixels * (size_t)(info->channels + info->has_alpha);
    status st = decoder_resize(*d, q.out + q.out_bytes);
    if (st)
        return st;
    q.mapped = (*d)->bytes;
    memcpy((*d)->at, data, len);
    st = ask(j, *d, &q, &b, &a);
    if (st) {
        int how = decoder_end(j, *d);
        *d = NULL;
        return st == STATUS_LIMIT ? errmsg_set(e, st, "decoding it takes more than %llu s",
                                               (unsigned long long)(b.cpu_ms + 999) / 1000)
                                  : how_it_ended(how, e);
    }
    a.err.text[sizeof a.err.text - 1] = 0;
    if (a.st == STATUS_NOMEM)
        return errmsg_set(e, STATUS_LIMIT, "decoding it takes more than %llu MiB of memory",
                          (unsigned long long)b.memory_bytes >> 20);
    if (a.st == STATUS_CORRUPT || a.st == STATUS_UNSUPPORTED || a.st == STATUS_LIMIT)
        return errmsg_set(e, a.st, "%s", a.err.text);
    if (a.st)
        return errmsg_set(e, STATUS_INTERNAL, "%s", a.err.text);
    return take_pixels(*d, &q, &a, info, out, e);
}

status jail_decode(struct jail *j, const void *data, size_t len, const struct image_limits *lim,
                   struct image *out_img, struct image_info *out_info, struct errmsg *e)
{
    struct image_info info;
    struct decoder *d;
    status st = image_probe(data, len, len, lim, &info, e);
    if (!st)
        st = decoder_take(j, &d, e);
    if (st)
        return st;
    struct image img = IMAGE_INIT;
    st = decode_in(j, &d, data, len, lim, &info, &img, e);
    decoder_give_back(j, d);
    if (st)
        return st;
    *out_img = img;
    if (out_info)
        *out_info = info;
    return STATUS_OK;
}

/* ---- life ---- */

status jail_new(const struct jail_options *opt, struct jail **out, struct errmsg *e)
{
    struct jail *j = mem_zalloc(1, sizeof *j);
    if (!j)
        return STATUS_NOMEM;
    j->opt = *opt;
    j->socket = -1;
    if (!j->opt.decoders)
        j->opt.decoders = cpu_count();
    if (!j->opt.decode)
        j->opt.decode = image_decode;
    pthread_mutex_init(&j->orders, NULL);
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->freed, NULL);
    struct decoder *first = NULL;
    status st = start_warden(j, e);
    if (!st) { /* what cannot be done is told now */
        j->started = 1;
        st = decoder_start(j, &first, e);
    }
    if (st) {
        jail_free(j);
        return st;
    }
    j->idle = first;
    *out = j;
    return STATUS_OK;
}

void jail_free(struct jail *j)
{
    if (!j)
        return;
    for (struct decoder *next, *d = j->idle; d; d = next) {
        next = d->next;
        decoder_end(j, d);
    }
    if (j->socket >= 0)
        close(j->socket);
    if (j->warden > 0)
        while (waitpid(j->warden, NULL, 0) < 0 && errno == EINTR)
            ;
    pthread_cond_destroy(&j->freed);
    pthread_mutex_destroy(&j->lock);
    pthread_mutex_destroy(&j->orders);
    mem_free(j);
}
