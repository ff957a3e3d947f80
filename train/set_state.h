#ifndef TRAIN_SET_STATE_H
#define TRAIN_SET_STATE_H
/*
 * A set is a list of samples; each has a label, a path and, once decoded and while the memory cap
 * allows, its pixels. Pixels are published with a compare-and-swap, so two threads that decode one
 * sample at the same time agree and the loser frees its copy. Everything else is fixed at opening.
 */
#include "set.h"

#include <stdatomic.h>

struct kept {
    int width, height;
    uint8_t pixels[];
};

struct sample {
    char *path;
    int label;
    _Atomic(struct kept *) kept;
};

struct train_set {
    struct train_data_options opt; /* dir is our copy */
    char *dir;
    int dirfd;
    char **class_name;
    int classes;
    struct sample *sample;
    int n;
    int width, height, channels;
    _Atomic size_t kept_bytes;
    int bad;
    char first_bad[256];
};

/* ---- set_pixels.c ---- */
/* Sample i as the options want it. */
status set_decode(const struct train_set *s, int i, struct image *out, struct errmsg *e) MUST_USE;

/* ---- set_list.c ---- */
/* Fills in classes and samples: of class folders, or of images at any depth; then leaves out what
   is over the limit. */
status set_list_classes(struct train_set *s, struct errmsg *e) MUST_USE;
status set_list_flat(struct train_set *s, struct errmsg *e) MUST_USE;
status set_apply_limit(struct train_set *s) MUST_USE;

/* ---- set_scan.c ---- */
/* Only faults of the file itself are skipped; ours, and images of a wrong size, are errors. */
bool set_is_bad_file(status st);
/* Leaves out what does not decode. */
status set_drop_bad(struct train_set *s, struct errmsg *e) MUST_USE;

#endif
