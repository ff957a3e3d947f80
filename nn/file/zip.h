#ifndef NN_ZIP_H
#define NN_ZIP_H
/*
 * zip: the members of a ZIP archive in memory, stored (as PyTorch writes them) or deflated (PKWARE
 * APPNOTE 6.3, with the ZIP64 records of 4.3.14).
 */
#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>

struct nn_zip_member {
    const char *name; /* not terminated */
    size_t name_len;
    const unsigned char *data; /* as it lies in the file */
    size_t stored;             /* bytes there */
    size_t bytes;              /* of the member; the same unless it is deflated */
    bool deflated;
    uint32_t crc32;
    enum { ZIP_UNCHECKED, ZIP_INTACT, ZIP_DAMAGED } checked;
};
struct nn_zip {
    struct nn_zip_member *member;
    size_t count;
};
/* The members point into data, and no two of them to the same: the work of checking all is bounded
   by len. STATUS_CORRUPT, also for a size that deflate cannot reach; STATUS_UNSUPPORTED for other
   compressions and for what is encrypted. Nothing is read from the members yet. */
status nn_zip_open(const unsigned char *data, size_t len, struct nn_zip *out,
                   struct errmsg *e) MUST_USE;
void nn_zip_done(struct nn_zip *z);
/* NULL: none of that name. */
struct nn_zip_member *nn_zip_find(const struct nn_zip *z, const char *name, size_t len);
/* UNSUPPORTED names a member that is deflated. */
status nn_zip_all_stored(const struct nn_zip *z, struct errmsg *e) MUST_USE;
/* Whether a stored member's bytes have its checksum: computed once, remembered in m. */
bool nn_zip_intact(struct nn_zip_member *m);
/* A deflated member's m->bytes bytes, for mem_free. CORRUPT: it does not give just these. */
status nn_zip_inflate(const struct nn_zip_member *m, void **out, struct errmsg *e) MUST_USE;

#endif
