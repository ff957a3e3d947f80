#ifndef CACHE_PACK_SCAN_H
#define CACHE_PACK_SCAN_H
/*
 * pack_scan walks the records of [at, to) in order, steps over what is damaged, and finds the next
 * record behind it. Whatever the bytes are, it reads no more than a few times those that the file
 * has on the disk: holes are stepped over, and pixels that are not what their header says count
 * towards a limit.
 */
#include "pack.h"

struct pack_scan {
    int fd;
    uint64_t at;    /* next offset to look at */
    uint64_t to;    /* end of the file, or of what may be looked at */
    uint64_t good;  /* end of the last record found; `at` at the start */
    uint64_t salt;  /* of the pack */
    bool know_salt; /* else that of the first record found is taken */
    bool unread;    /* some part could not be read: do not take the rest for garbage */
    uint64_t vain;  /* bytes of pixels that were read and were not what their header says */
    uint64_t limit; /* of these; records that do not overlap stay below it */
    uint8_t *window;
    uint64_t window_at;
    size_t window_len;
};
status pack_scan_init(struct pack_scan *s, const struct pack *p, uint64_t from) MUST_USE;
/* NOT_FOUND at the end; NOMEM. */
status pack_scan_next(struct pack_scan *s, struct record *out, uint64_t *out_offset) MUST_USE;
void pack_scan_done(struct pack_scan *s);
__attribute__((unused)) static inline void pack_scan_donep(struct pack_scan *s)
{
    pack_scan_done(s);
}

#endif
