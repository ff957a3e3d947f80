#ifndef BASE_NPY_H
#define BASE_NPY_H
/*
 * npy: the header of a file that numpy.save wrote (NumPy Enhancement Proposal 1).
 *
 *   byte 0   6   93 'NUMPY'
 *   byte 6   2   version, 1.0 to 3.0
 *   byte 8   2   length of the header, little endian; 4 bytes from version 2 on
 *            -   header: {'descr': '<f4', 'fortran_order': False, 'shape': (10, 3, 32, 32), }
 *            -   the array, to the end
 *
 * The header is a Python literal. Read is what numpy writes: these three keys, once each, in any
 * order, blanks between the parts.
 */
#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NPY_RANK_MAX = 8, NPY_TYPE_MAX = 16 };

struct npy_header {
    char type[NPY_TYPE_MAX];    /* "<f4", "|u1"; "" when it is a record, or a longer name */
    bool fortran;               /* the first axis runs fastest */
    int rank;                   /* 0: a single number. More than NPY_RANK_MAX: dim is not all */
    uint64_t dim[NPY_RANK_MAX]; /* saturated at INT64_MAX */
    uint64_t data_at;           /* where the array begins, in bytes from the file's beginning */
};

/* Whether these first bytes of a file say that it is one. */
bool npy_is(const void *head, size_t len);
/*
 * head: the file's first len bytes, with all of the header in them. CORRUPT: it is not such a
 * header, or ends before its end. UNSUPPORTED: a version that is not known.
 */
status npy_parse(const void *head, size_t len, struct npy_header *out, struct errmsg *e) MUST_USE;
/* Numbers in the array; saturated at INT64_MAX. INT64_MAX, too, when rank is over NPY_RANK_MAX. */
uint64_t npy_count(const struct npy_header *h);

#endif
