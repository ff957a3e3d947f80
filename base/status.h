#ifndef BASE_STATUS_H
#define BASE_STATUS_H
/*
 * status: the one result type of every fallible call in relearnfs.
 *
 * - STATUS_OK is 0, so `if (st) return st;` reads naturally.
 * - Foreign codes (errno, SQLite, oneDNN, libpng) are turned into a status on the line after the
 *   call. errno appears again only in the FUSE callbacks, the exit code only in cli/.
 * - Outputs are last, named out_x, and untouched on failure.
 * - struct errmsg carries the sentence a user reads: what failed, why, what to do. It is optional
 *   everywhere (NULL allowed) and is written only on failure.
 *
 * Threads: everything here may be called from any thread.
 */
#include <stdarg.h>
#include <stddef.h>

/* code, text, errno for FUSE replies, exit code for the command line (130: stopped by a signal) */
#define STATUS_TABLE(X)                                                                            \
    X(OK, "ok", 0, 0)                                                                              \
    X(NOMEM, "out of memory", ENOMEM, 1)                                                           \
    X(IO, "input/output error", EIO, 1)                                                            \
    X(NOT_FOUND, "not found", ENOENT, 1)                                                           \
    X(EXISTS, "already exists", EEXIST, 1)                                                         \
    X(BUSY, "busy", EBUSY, 1)                                                                      \
    X(AGAIN, "try again", EAGAIN, 1)                                                               \
    X(CORRUPT, "damaged data", EIO, 1)                                                             \
    X(BAD_VERSION, "unknown format version", EIO, 1)                                               \
    X(UNSUPPORTED, "not supported", EOPNOTSUPP, 1)                                                 \
    X(INVALID, "invalid argument", EINVAL, 2)                                                      \
    X(LIMIT, "over a limit", EFBIG, 1)                                                             \
    X(NO_SPACE, "no space left", ENOSPC, 1)                                                        \
    X(DENIED, "permission denied", EACCES, 1)                                                      \
    X(CANCELLED, "cancelled", EINTR, 130)                                                          \
    X(TIMEOUT, "timed out", ETIMEDOUT, 1)                                                          \
    X(INTERNAL, "internal error", EIO, 1)

enum status_code {
#define X(code, text, err, exit_code) STATUS_##code,
    STATUS_TABLE(X)
#undef X
        STATUS_COUNT
};

typedef enum status_code status;

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt_index, first) __attribute__((format(printf, fmt_index, first)))

/* One short lower-case phrase; never NULL, also for values outside the enum. */
const char *status_text(status st);
/* The errno a FUSE reply carries for st (0 for STATUS_OK). */
int status_errno(status st);
/* The exit code of a command that ends with st. */
int status_exit(status st);
/* The status for an errno value; 0 gives STATUS_INTERNAL (a failed call must say why). */
status status_from_errno(int err);

/* States that a failure is deliberately not acted on, and why (the text is for the reader only). */
static inline void status_ignore(status st, const char *why)
{
    (void)st;
    (void)why;
}

enum { ERRMSG_MAX = 512 };

struct errmsg {
    char text[ERRMSG_MAX]; /* "" when nothing was said */
};

/* Writes the sentence (when e is not NULL) and returns st, so that one can `return
 * errmsg_set(...)`. */
status errmsg_set(struct errmsg *e, status st, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Puts "prefix: " before what e already says; leaves e alone when NULL. Returns st. */
status errmsg_prefix(struct errmsg *e, status st, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* STATUS_INVALID, with "no WHAT is called "NAME"; there are A, B, C". at(i) is the ith name, NULL
 * after the last. */
status errmsg_unknown(struct errmsg *e, const char *what, const char *name,
                      const char *(*at)(int i));
/* What e says, or the text of st when it says nothing. */
const char *errmsg_text(const struct errmsg *e, status st);

#endif
