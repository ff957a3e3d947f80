#ifndef NN_ZIP_H
#define NN_ZIP_H
/*
 * zip: the members of a ZIP archive in memory, as PyTorch writes them: stored, not compressed
 * (PKWARE APPNOTE 6.3, with the ZIP64 records of 4.3.14).
 */
#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>

struct nn_zip_member {
    const char *name; /* not terminated */
    size_t name_len;
    const unsigned char *data;
    size_t bytes;
    uint32_t crc32;
    enum { ZIP_UNCHECKED, ZIP_INTACT, ZIP_DAMAGED } checked;
};
struct nn_zip {
    struct nn_zip_member *member;
    size_t count;
};
/* The members point into data, and no two of them to the same: the work of checking all is bounded
   by len. STATUS_CORRUPT, or STATUS_UNSUPPORTED for what is compressed or
   encrypted. Nothing is read from the members yet. */
status nn_zip_open(const unsigned char *data, size_t len, struct nn_zip *out,
                   struct errmsg *e) MUST_USE;
void nn_zip_done(struct nn_zip *z);
/* NULL: none of that name. */
struct nn_zip_member *nn_zip_find(const struct nn_zip *z, const char *name, size_t len);
/* Whether the member's bytes have its checksum: computed once, remembered in m. */
bool nn_zip_intact(struct nn_zip_member *m);

#endif
