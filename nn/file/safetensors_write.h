#ifndef NN_SAFETENSORS_WRITE_H
#define NN_SAFETENSORS_WRITE_H
/* safetensors_write: what writing a file at once and writing a tensor in parts share. */
#include "nn/nn.h"

#include <jansson.h>

struct safetensors_item {
    const struct nn_save_tensor *t;
    uint64_t begin, end;
};

struct safetensors_out {
    json_t *header;
    char *text; /* from Jansson's malloc */
    struct safetensors_item *items;
};
void safetensors_out_donep(struct safetensors_out *f); /* for __attribute__((cleanup)) */

/* Places the tensors and makes the header's text. */
status safetensors_lay_out(struct safetensors_out *f, const struct nn_save_tensor *tensors, int n,
                           const struct nn_meta *meta, int n_meta, struct errmsg *e) MUST_USE;
status safetensors_write_header(int fd, const char *text) MUST_USE;
/* The temporary file that becomes path by rename, and the folder of path; NULL: out of memory. */
char *safetensors_temporary(const char *path);
char *safetensors_folder(const char *path);

#endif
