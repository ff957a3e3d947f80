/* One image through a decoder, and the jail's life. */
#include "jail_parts.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "base/banned.h"

enum { LOOK_MS = 100 };                        /* between two looks at a decoder's clock */
static const size_t kept_bytes = 16u << 20;    /* shared memory that a decoder keeps: 2048x2048 */
static const uint64_t slack_bytes = 64u << 20; /* of address space: heaps have holes */
static const uint64_t base_ms = 10000, ms_per_megapixel = 2000;

/* ---- what it may use ---- */

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

/* ---- one image ---- */

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
    status st = jail_start_warden(j, e);
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
