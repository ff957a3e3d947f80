#ifndef FUSED_JAIL_H
#define FUSED_JAIL_H
/*
 * jail: images are decoded by processes of their own that can do nothing else.
 *
 * The bytes of an image are somebody else's, and what reads them is large. A decoder has one socket
 * and a piece of shared memory, no other descriptor, no capability, no new privileges, and a filter
 * of system calls (seccomp) that leaves it memory and that socket. It dies with its parent. What it
 * answers is not trusted: sizes are those that image_probe finds here, pixels are only pixels.
 *
 *     jail_new, on a thread that lives as long as the jail
 *     jail_decode, from any thread
 *     jail_free
 *
 * A process is started that starts decoders when they are wanted ("the warden"; it has no threads
 * and reads nothing of images); they stay for the next images. One that crashes, breaks a rule or
 * is over its budget is replaced, and costs nobody else anything.
 *
 * Built with a sanitizer, whose runtime wants much memory and more system calls, a decoder has no
 * limit of memory, and what the filter does not know is refused instead of deadly.
 */
#include "image/image.h"

struct jail;
/* As image_decode. */
typedef status jail_decode_fn(const void *data, size_t len, const struct image_limits *lim,
                              struct image *out_img, struct image_info *out_info, struct errmsg *e);
struct jail_options {
    int decoders;           /* at the same time; 0: one per CPU. Further callers wait */
    uint64_t memory_bytes;  /* that decoding an image may take beside file and pixels; 0: 64 MiB and
                               sixteen times the pixels' bytes */
    uint64_t cpu_ms;        /* that it may compute; 0: 10 s, and 2 s for each million pixels */
    jail_decode_fn *decode; /* tests only; NULL: image_decode */
};
/* UNSUPPORTED: this kernel has no seccomp, or does not let us use it. */
status jail_new(const struct jail_options *opt, struct jail **out, struct errmsg *e) MUST_USE;
/* What image_decode says. CORRUPT: also when the decoder ended on it; LIMIT: also when it wanted
   more memory or time than it may have. INTERNAL: no decoder could be started. */
status jail_decode(struct jail *j, const void *data, size_t len, const struct image_limits *lim,
                   struct image *out_img, struct image_info *out_info, struct errmsg *e) MUST_USE;
/* Nobody is in jail_decode. NULL allowed. */
void jail_free(struct jail *j);
DEFINE_FREEP(struct jail *, jail_free)

/* ---- jail_warden.c, jail_decoder.c, jail_message.c: the other side ---- */

/* Built with a sanitizer (see above). */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define JAIL_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define JAIL_SANITIZED 1
#endif
#endif

enum { JAIL_SOCKET = 3, JAIL_MEMORY = 4 }; /* a decoder's descriptors; the warden has the first */

/* To a decoder: the file is at 0 of the memory, of which `mapped` bytes exist; pixels and alpha go
   to `out`, where there is room for out_bytes. */
struct jail_request {
    struct image_limits limits;
    uint64_t len, out, out_bytes, mapped;
};
/* From it. st is NOMEM also when there was too little room. */
struct jail_answer {
    status st;
    int width, height, channels;
    bool has_alpha;
    struct errmsg err;
};
/* To the warden; to start a decoder comes with its two descriptors. */
enum jail_order { JAIL_START, JAIL_REAP };
struct jail_call {
    enum jail_order order;
    pid_t pid; /* to reap: its end is waited for */
};
struct jail_reply {
    pid_t pid;         /* started; < 0: not, -errno */
    int wait_status;   /* reaped */
    uint64_t vm_bytes; /* of address space that any decoder has to begin with */
    bool can_filter;
};
/* Confines the process and serves JAIL_SOCKET; for the warden's children. */
_Noreturn void jail_decoder(jail_decode_fn *decode);
/* Serves JAIL_SOCKET; for jail_new's child. Forks decoders. */
_Noreturn void jail_warden(jail_decode_fn *decode);
/* For both: nothing that asks to end is heard; all descriptors but the first n from JAIL_SOCKET on
   are closed. */
void jail_ignore_signals(void);
bool jail_close_others(int n);
enum { JAIL_FDS_MAX = 2 }; /* of one message */
/* Sends and receives whole messages of one size; descriptors go along (-1: none, taken NULL: none
   is wanted). False: the other side is gone. */
bool jail_send(int fd, const void *msg, size_t len, const int *fds, int n);
bool jail_receive(int fd, void *msg, size_t len, int *fds, int n);

#endif
