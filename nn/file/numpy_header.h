#ifndef NN_NUMPY_HEADER_H
#define NN_NUMPY_HEADER_H
/*
 * numpy_header: the header of a .npy file, a Python literal. Accepted is what numpy writes: the three
 * keys, once each, in any order, blanks between the parts.
 */
#include "nn/nn.h"

struct numpy_header {
    const char *dtype; /* NULL: of a kind that we do not have */
    struct nn_shape shape;
    bool fits, fortran;
};
/* False: damaged. */
bool numpy_header_read(const char *from, size_t len, struct numpy_header *out);

#endif
