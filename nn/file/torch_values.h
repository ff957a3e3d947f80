#ifndef NN_TORCH_VALUES_H
#define NN_TORCH_VALUES_H
/* torch_values: what PyTorch's pickles say of storages and tensors. */
#include "base/base.h"
#include "base/pickle.h"

/* The functions that tensors, parameters and storages need. */
extern const struct pickle_rules torch_rules;

struct torch_storage {
    const char *dtype;              /* "F32" and the like */
    const struct pickle_value *key; /* a text */
    int64_t elements;
};
struct torch_tensor {
    struct torch_storage storage;
    int64_t offset; /* in elements, as sizes and strides are */
    const struct pickle_list *size, *stride;
};
/* v: a PICKLE_PERSISTENT. */
status torch_storage_read(const struct pickle_value *v, struct torch_storage *out,
                          struct errmsg *e) MUST_USE;
/* A tensor or a parameter, whether or not it is sound. */
bool torch_is_tensor(const struct pickle_value *v);
status torch_tensor_read(const struct pickle_value *v, struct torch_tensor *out,
                         struct errmsg *e) MUST_USE;

#endif
