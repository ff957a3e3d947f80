#ifndef PURIFY_UNET_IMPORT_H
#define PURIFY_UNET_IMPORT_H
/*
 * Families of published UNets. A family knows which tensors make its architecture, and where each
 * of our parameters comes from. Adding one is a file, a row in unet_import.c and a test.
 */
#include "import.h"

#include <jansson.h>

struct unet_source {
    struct import_source src;
    const struct purify_import *how;
    const json_t *config, *scheduler; /* the configuration file found beside the weights, or NULL */
};

/* One of our parameters. The blocks of the middle are index 0 and 1 of PART_MID. */
enum unet_part { PART_TEMB, PART_IN, PART_DOWN, PART_MID, PART_UP, PART_NORM, PART_OUT };
enum unet_unit { UNIT_NONE, UNIT_BLOCK, UNIT_ATTN, UNIT_DOWNSAMPLE, UNIT_UPSAMPLE };
struct unet_place {
    enum unet_part part;
    enum unet_unit unit;
    int level, index; /* index: of the block or attention in its level; of temb.dense */
    char layer[24];   /* "norm1", "q", "conv"; "" where the part is one layer */
    const char *leaf; /* "weight" or "bias" */
    const char *name; /* the full name */
};

/* Row r of the parameter is row (r / group) * stride + offset + r % group of the tensor; group 0:
   all rows, as they are. */
struct unet_piece {
    char tensor[IMPORT_PREFIX_MAX];
    int group, stride, offset;
    bool swap_halves; /* of each row */
    float add;        /* to every element */
};

struct unet_family {
    const char *name;
    const char *mark; /* a tensor that every network of this family has, and none of another */
    /* Fills out, which already holds the caller's sizes and the common defaults; it is checked
       afterwards. */
    status (*architecture)(const struct unet_source *s, struct purify_unet *out, struct errmsg *e);
    void (*piece)(const struct unet_source *s, const struct purify_unet *u,
                  const struct unet_place *at, struct unet_piece *out);
};
extern const struct unet_family unet_ddpm, unet_diffusers, unet_adm;

/* Fills p, which u declared; every tensor under the prefix must be used. */
status unet_import_values(const struct unet_source *s, const struct unet_family *f,
                          const struct purify_unet *u, struct nn_params *p, struct errmsg *e);

/* ---- for families ---- */
/* The two halves of a layer that computes scale and shift together: we have a layer for each, and
   ours for scale includes the 1 of "1 + scale". */
void unet_time_rows(const struct unet_source *s, const struct unet_place *at,
                    struct unet_piece *out);
/* The predicted noise, where a learned variance follows it. */
void unet_noise_rows(const struct unet_source *s, const struct purify_unet *u,
                     struct unet_piece *out);
/* Adds a level of so many channels; an error when it does not fit conv_in's. */
status unet_add_level(struct purify_unet *u, int channels, bool attends, struct errmsg *e);

#endif
