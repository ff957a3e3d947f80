#ifndef TRAIN_PROTECT_H
#define TRAIN_PROTECT_H
/*
 * One row per generator of unlearnable examples. The driver (protect.c) opens the source, lets the
 * method prepare, writes every image with its perturbation, and records what was done.
 */
#include "train.h"

#include <jansson.h>

struct protect_job {
    const struct train_protect_options *opt;
    const struct protect_method *method;
    struct train_set *set;
    struct train_set_info info; /* width, height: the largest of all images */
    int *width, *height;        /* (n) of each image */
    int least_width, least_height;
    uint64_t pixels; /* of all images */
    double eps;      /* grey levels, as used */
    enum train_quantise quantise;
    int threads;
    void *state; /* the method's own */
    struct train_protect_result result;
};

/* The perturbation as it is stored: (count, height, width, C), each value covering patch x patch
   pixels of the image. */
struct protect_stored {
    struct nn_shape shape;
    const float *data; /* the job's */
    bool class_wise;   /* first dimension: class, else sample */
    int patch;
};

struct protect_method {
    const char *name, *summary;
    double eps;                   /* default */
    enum train_quantise quantise; /* what the method's own code does */
    bool any_size;                /* images may differ in size */
    status (*prepare)(struct protect_job *j, struct errmsg *e);
    /* Perturbation of sample i, (H,W,C) of its own size, for images in [0,1]. Any thread; after
     * prepare. */
    void (*delta)(const struct protect_job *j, int i, float *out);
    struct protect_stored (*stored)(const struct protect_job *j);
    /* (optional) Adds the method's parameters to protection.json. */
    void (*describe)(const struct protect_job *j, json_t *out);
    void (*done)(struct protect_job *j); /* state may be half-built */
};

extern const struct protect_method protect_lsp, protect_emn_class;

/* One 8-bit value with its perturbation in [0,1] units. */
uint8_t protect_quantise(uint8_t pixel, float delta, enum train_quantise rule);

#endif
