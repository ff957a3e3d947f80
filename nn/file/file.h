#ifndef NN_FILE_H
#define NN_FILE_H
/* file: the inside of struct nn_file, for the parsers of the formats. */
#include "nn/nn.h"

#include <jansson.h>

struct file_tensor {
    struct nn_file_tensor t; /* first: its address is the tensor's */
    uint64_t begin, end;     /* safetensors only */
};

struct nn_file {
    void *map;
    size_t len;
    json_t *header; /* safetensors: owns every name and string below */
    void **owned;   /* other formats: memory that nn_file_close frees */
    int n_owned, cap_owned;
    struct file_tensor *tensors; /* sorted by name */
    int count;
    struct nn_meta *meta; /* sorted by key */
    int n_meta;
};

/* Fills f from its mapping (NULL for an empty file). */
typedef status file_parse(struct nn_file *f, struct errmsg *e);
/* Maps a regular file and has it parsed; an error names the path. */
status file_open(const char *path, file_parse *parse, struct nn_file **out,
                 struct errmsg *e) MUST_USE;
file_parse file_parse_safetensors;
/* Bytes of one element, "F32" and the like; 0 when unknown. */
int file_dtype_bytes(const char *name);
/* Whether nn_file_read_f32 takes the dtype, and whether every finite value is one of f32's range.
 */
bool file_holds_floats(const struct nn_file_tensor *t);
bool file_fits_f32(const struct nn_file_tensor *t);
/* For qsort and bsearch of tensors. */
int file_by_name(const void *a, const void *b);

#endif
