#ifndef FUSED_VERBATIM_H
#define FUSED_VERBATIM_H
/*
 * A file copied byte for byte as one version of it: what was written to it while it was read is
 * either all in the copy or not at all (as far as the file's times show that it was written to,
 * which they do not while a single write lasts for seconds). Holes stay holes.
 */
#include "base/base.h"

#include <stdint.h>
#include <sys/stat.h>

struct verbatim {
    int from, to; /* to: open for reading and writing, empty */
    /* The copy is made this long with bytes of 0xff, which no reader takes for image data (a JPEG
       that is cut short stays so). Nothing is added to a file that is as long already. */
    uint64_t padded_size;
    int (*stop)(void *arg); /* nonzero: CANCELLED; may be NULL */
    void *arg;
};
/* *out_sb: of the version that was copied. AGAIN: it changed each time. Other failures are to be
   told apart by *out_reading: of `from`, else of `to`. */
status verbatim_copy(const struct verbatim *v, struct stat *out_sb, int *out_reading) MUST_USE;

/* Waits, a tenth of a second, until a change of fd from now on will show in its times. *out_sb is
   what it is then. AGAIN: it changes all the time. */
status file_settle(int fd, struct stat *out_sb) MUST_USE;

#endif
