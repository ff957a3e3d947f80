#ifndef PURIFY_IMPORT_H
#define PURIFY_IMPORT_H
/* import: fills one of our networks from the tensors of a published weights file. */
#include "meta.h"

enum { IMPORT_PREFIX_MAX = 128 };

struct import_source {
    const struct nn_file *file;
    char prefix[IMPORT_PREFIX_MAX]; /* of the names of the network's tensors */
};

/* The network under `prefix`; NULL: the only one in the file, recognised by its tensor `first`.
   Without one, e says that the file is no `what`. */
status import_open(const struct nn_file *f, const char *prefix, const char *first, const char *what,
                   struct import_source *out, struct errmsg *e) MUST_USE;
/* Looks for a tensor named prefix + `first` (any prefix when that is NULL), keeps the prefix in out
   and sets *found to `first`. Called again with another `first`, it is an error when both are
   found: the file holds two networks. */
status import_look(const struct nn_file *f, const char *prefix, const char *first,
                   struct import_source *out, const char **found, struct errmsg *e) MUST_USE;
/* The tensor prefix + name; NULL: there is none, or the name is too long. */
const struct nn_file_tensor *import_find(const struct import_source *s, const char *fmt, ...)
    PRINTF_LIKE(2, 3);
/* Size of such a tensor's dimension; 0: there is no such tensor or dimension. */
int import_dim(const struct import_source *s, int dim, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* STATUS_UNSUPPORTED: the tensor `name` does not fit, and why. */
status import_no_place(struct errmsg *e, const char *name, const char *why);
/* Fills p from the network. Every tensor of the network must be in p, except those whose names
   begin with `unused` (NULL: no exception). */
status import_load(const struct import_source *s, const char *unused, struct nn_params *p,
                   struct errmsg *e) MUST_USE;
/* Saves p with the metadata, and a note of the file it came from. */
status import_save(const struct import_source *s, const struct nn_params *p,
                   struct purify_meta *meta, const char *path, struct errmsg *e) MUST_USE;

#endif
