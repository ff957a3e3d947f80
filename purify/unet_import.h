#ifndef PURIFY_UNET_IMPORT_H
#define PURIFY_UNET_IMPORT_H
/*
 * Families of published UNets. A family knows which tensors make its architecture, and where each
 * of our parameters comes from. Adding one is a file, a row in unet_import.c and a test.
 */
#include "purify/purify.h"

#include <jansson.h>

enum { IMPORT_PREFIX_MAX = 128 };

struct import_source {
    const struct nn_file *file;
    char prefix[IMPORT_PREFIX_MAX]; /* of the network's tensors */
    const struct purify_import *how;
    const json_t *config, *scheduler; /* what lay beside the weights, or NULL */
};

/* One of our parameters. The blocks of the middle are index 0 and 1 of PART_MID. */
enum import_part { PART_TEMB, PART_IN, PART_DOWN, PART_MID, PART_UP, PART_NORM, PART_OUT };
enum import_unit { UNIT_NONE, UNIT_BLOCK, UNIT_ATTN, UNIT_DOWNSAMPLE, UNIT_UPSAMPLE };
struct import_place {
    enum import_part part;
    enum import_unit unit;
    int level, index; /* index: of the block or attention in its level; of temb.dense */
    char layer[24];   /* "norm1", "q", "conv"; "" where the part is one layer */
    const char *leaf; /* "weight" or "bias" */
    const char *name; /* all of it, as we call it */
};

/* Row r of the parameter is row (r / group) * stride + offset + r % group of the tensor; group 0:
   all rows, as they are. */
struct import_piece {
    char tensor[IMPORT_PREFIX_MAX];
    int group, stride, offset;
    bool swap_halves; /* of each row */
    float add;        /* to every element */
};

struct import_family {
    const char *name;
    const char *mark; /* a tensor that every network of it has, and no other's */
    /* Fills out, which holds the caller's sizes and what all have in common, and is checked after.
     */
    status (*architecture)(const struct import_source *s, struct purify_unet *out,
                           struct errmsg *e);
    void (*piece)(const struct import_source *s, const struct purify_unet *u,
                  const struct import_place *at, struct import_piece *out);
};
extern const struct import_family import_ddpm, import_diffusers, import_adm;

/* Fills p, which u declared; every tensor under the prefix has to be of use. */
status import_values(const struct import_source *s, const struct import_family *f,
                     const struct purify_unet *u, struct nn_params *p, struct errmsg *e);

/* ---- for families ---- */
/* The tensor prefix + name; NULL: there is none, or no room for its name. */
const struct nn_file_tensor *import_find(const struct import_source *s, const char *fmt, ...)
    PRINTF_LIKE(2, 3);
/* Size of a tensor's dimension; 0: there is no such tensor or dimension. */
int import_dim(const struct import_source *s, int dim, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The halves of a layer that makes scale and shift at once: ours are two, and scale holds the 1. */
void import_time_rows(const struct import_source *s, const struct import_place *at,
                      struct import_piece *out);
/* The predicted noise, where a learned variance follows it. */
void import_noise_rows(const struct import_source *s, const struct purify_unet *u,
                       struct import_piece *out);
/* Adds a level of so many channels; an error when it does not fit conv_in's. */
status import_add_level(struct purify_unet *u, int channels, bool attends, struct errmsg *e);

#endif
