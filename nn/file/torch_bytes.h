#ifndef NN_TORCH_BYTES_H
#define NN_TORCH_BYTES_H
/*
 * torch_bytes: where the bytes of the storages are that a pickle of torch.save names: in members of a
 * ZIP archive or, in the format before 1.6, behind the pickles.
 */
#include "file/file.h"
#include "file/torch_values.h"
#include "file/zip.h"

struct torch_bytes {
    const struct nn_zip *zip; /* NULL: the format before 1.6 */
    const char *top;          /* NAME/ */
    size_t top_len;
    struct torch_listed {
        const struct pickle_value *key;
        const unsigned char *data; /* NULL: not in the file's list */
        uint64_t elements;
        int size; /* bytes of an element */
    } * list;     /* before 1.6: one of each key, sorted by key */
    size_t n;
};

/* At least v's number of elements of `size` bytes; NULL: missing, too short or damaged. */
const unsigned char *torch_bytes_find(const struct torch_bytes *s, const struct torch_storage *v,
                                      int size);
/* Format before 1.6: lists the storages that the object names; then places them, given their keys in
   the file's order, from byte `at` of the file on. The caller frees s->list. */
status torch_bytes_list(struct torch_bytes *s, const struct pickle *object,
                        struct errmsg *e) MUST_USE;
status torch_bytes_place(struct torch_bytes *s, const struct nn_file *f, size_t at,
                         const struct pickle_value *keys, struct errmsg *e) MUST_USE;

#endif
