#ifndef PURIFY_PERCEPT_H
#define PURIFY_PERCEPT_H
/*
 * percept: one row for each network that can be a perceptual distance (table in percept.c). Adding
 * one is a function that builds its features, a row, and an enum value in purify.h.
 */
#include "meta.h"

struct percept_net {
    const char *name;      /* the metadata "architecture" of its weights files */
    const char *published; /* (optional) the torchvision network whose tensors it has, which
                              purify_lpips_import then reads; by default there is none */
    bool relative;         /* lin.S.weight is divided by C_S */
    bool takes_grey;       /* images of one channel too, read as three equal ones */
    /* Smallest side of an image that it has features of. */
    int (*min_side)(const struct purify_percept_cfg *cfg);
    /* As purify_percept_features. */
    int (*features)(struct nn_graph *g, const struct purify_percept_cfg *cfg, struct nn_val x,
                    struct nn_val *out_feature);
    /* (optional) Writes and reads the configuration of the network beside its name; by default
       there is none. */
    void (*write)(const struct purify_percept_cfg *cfg, struct purify_meta *out);
    void (*read)(struct meta_reader *r, struct purify_percept_cfg *out);
};

extern const struct percept_net percept_vgg, lpips_alexnet, lpips_vgg16, lpips_squeezenet;

const struct percept_net *percept_net(const struct purify_percept_cfg *cfg);
/* Declares lin.S.weight for each of the n features and writes it to out_lin[n]. */
void percept_lin(struct nn_graph *g, const struct nn_val *feature, int n, struct nn_val *out_lin);

#endif
