#ifndef PURIFY_MODEL_H
#define PURIFY_MODEL_H
#include "purify/purify.h"

struct purify_model {
    struct purify_profile profile;
    struct purify_unet unet;
    struct nn_params *unet_params;
    bool guided_by_percept;
    struct purify_percept_cfg percept; /* these two only then */
    struct nn_params *percept_params;
};

/* Declares the network's parameters: the graph that does so is not kept. */
status unet_declare(struct nn_params *p, const struct purify_unet *u, struct errmsg *e) MUST_USE;

#endif
