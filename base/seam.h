#ifndef BASE_SEAM_H
#define BASE_SEAM_H
/*
 * seam: memory, durable I/O and time pass through here, so that tests can make each of them fail.
 *
 * Every module allocates with mem_* (or buf), does the I/O whose failure matters with io_*, and
 * reads clocks with time_*. A test calls fault_set() to make the n-th call of one kind fail; the
 * environment variable RELEARN_FAULT="kind:n[:every]" does the same for a whole program (kind: mem,
 * read, write, sync, open, rename, crash; `crash` calls _exit(99) at the n-th sync).
 *
 * Threads: all calls are safe from any thread; counters are atomic.
 * Third-party libraries allocate for themselves and are not covered.
 */
#include "cleanup.h"
#include "status.h"

#include <stdint.h>
#include <sys/types.h>

/* ---- memory ---- */
/* Uninitialised / zeroed; NULL on failure (also for n*size overflow). size 0 gives a real pointer.
 */
void *mem_alloc(size_t size) MUST_USE __attribute__((malloc));
void *mem_zalloc(size_t n, size_t size) MUST_USE __attribute__((malloc));
/* 64-byte aligned, uninitialised. Released with mem_free like the rest. From 2 MiB on in whole
   pages of that size where the kernel gives them: tables and weights are read all over at once. */
void *mem_alloc_aligned(size_t size) MUST_USE __attribute__((malloc));
void *mem_realloc(void *p, size_t size) MUST_USE;
char *mem_strdup(const char *s) MUST_USE;
/* printf into a new string; NULL on failure. */
char *mem_printf(const char *fmt, ...) MUST_USE PRINTF_LIKE(1, 2);
void mem_free(void *p);
__attribute__((unused)) static inline void mem_freep(void *p)
{
    mem_free(*(void **)p);
}

/* ---- durable I/O: short transfers and EINTR are handled; *out_n < len only at end of file ---- */
status io_open(int dirfd, const char *path, int flags, mode_t mode, int *out_fd) MUST_USE;
status io_read(int fd, void *buf, size_t len, size_t *out_n) MUST_USE;
status io_pread(int fd, void *buf, size_t len, off_t off, size_t *out_n) MUST_USE;
status io_write(int fd, const void *buf, size_t len) MUST_USE;
status io_pwrite(int fd, const void *buf, size_t len, off_t off) MUST_USE;
status io_sync(int fd) MUST_USE;
status io_rename(int dirfd, const char *from, const char *to) MUST_USE;
/* fsync of the directory that holds path's entries. */
status io_sync_dir(const char *dir) MUST_USE;
/* The whole regular file, NUL-terminated one byte past *out_len; STATUS_LIMIT when over max bytes.
   The caller frees with mem_free. */
status io_read_file(const char *path, size_t max, void **out_data, size_t *out_len,
                    struct errmsg *e) MUST_USE;
status io_read_file_at(int dirfd, const char *path, size_t max, void **out_data, size_t *out_len,
                       struct errmsg *e) MUST_USE;
/* Writes aside (path.tmp.PID), syncs, renames over path, syncs the directory: all or nothing. */
status io_write_file(const char *path, const void *data, size_t len, struct errmsg *e) MUST_USE;
/* mkdir -p with mode 0777 & ~umask (0700 for the last one when `is_private`). */
status io_mkdirs(const char *path, int is_private, struct errmsg *e) MUST_USE;

/* ---- time ---- */
uint64_t time_mono_ns(void);
uint64_t time_real_ns(void);

/* ---- fault injection ---- */
enum fault_kind {
    FAULT_MEM,
    FAULT_OPEN,
    FAULT_READ,
    FAULT_WRITE,
    FAULT_SYNC,
    FAULT_RENAME,
    FAULT_CRASH,
    FAULT_COUNT
};
/* The n-th call (1 = the next) of this kind fails; every > 0 repeats each `every` calls after that.
   n = 0 switches the fault off. Failing writes and syncs report `err` (0: EIO, ENOMEM for memory).
 */
void fault_set(enum fault_kind kind, unsigned long n, unsigned long every, int err);
void fault_clear(void);
/* Calls of this kind made so far, so that a test can iterate over all of them. */
unsigned long fault_calls(enum fault_kind kind);
/* Bytes asked of mem_* so far (what is freed counts on), so that a test can bound what an input
   costs. */
uint64_t fault_mem_bytes(void);

#endif
