#ifndef PURIFY_MODEL_H
#define PURIFY_MODEL_H
#include "purify/purify.h"

/* The loaded networks of a purifier by diffusion; read-only once made. */
struct diffusion {
    struct purify_jcdp values;
    struct digest profile; /* its id: noise is keyed by it */
    struct purify_unet unet;
    struct nn_params *unet_params;
    bool guided_by_percept;
    struct purify_percept_cfg percept; /* these two only then */
    struct nn_params *percept_params;
};

/* Declares the network's parameters: the graph that does so is not kept. */
status unet_declare(struct nn_params *p, const struct purify_unet *u, struct errmsg *e) MUST_USE;

#endif
