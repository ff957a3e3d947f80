#ifndef NN_TORCH_TENSORS_H
#define NN_TORCH_TENSORS_H
/* torch_tensors: the tensors of nested dictionaries and lists, called by their keys joined with dots. */
#include "file/torch_bytes.h"

/* Adds those of the object to f. */
status torch_tensors_read(struct nn_file *f, const struct torch_bytes *s,
                          const struct pickle_value *root, struct errmsg *e) MUST_USE;

#endif
