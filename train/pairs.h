#ifndef TRAIN_PAIRS_H
#define TRAIN_PAIRS_H
/*
 * pairs: the same images clean and protected, in two trees: what leaks of a protection, or what its
 * owner can make. An image is paired with the one of the same relative path up to the extension, and
 * both have one size. Private to train.
 */
#include "augment.h"
#include "set.h"

/* Pairs first to end - 1. */
struct pairs_folder {
    int first, end;
};
struct pairs {
    struct train_set *clean, *protected;
    int n;
    int *clean_at, *protected_at; /* (n) samples of a pair */
    struct pairs_folder *folder;  /* (n) that a pair lies in */
};
struct pairs_options {
    const char *clean_dir, *protected_dir;
    int size, channels; /* no side is smaller; channels as of train_data_options */
    int limit;          /* 0: all */
    bool labelled;      /* trees of DIR/<class>/<image>, and the limit is balanced over classes */
    int threads;
};
/* INVALID names the first path, in bytewise order, that the other tree does not have, or has in
   another size. */
status pairs_open(const struct pairs_options *o, struct pairs *out, struct errmsg *e) MUST_USE;
void pairs_done(struct pairs *p);
/* A square of `size` pixels of pair i, at the same place of both images; (size,size,C) each. */
status pairs_cut(const struct pairs *p, int i, struct nn_rng place, uint64_t at, bool flip,
                 int size, uint8_t *clean, uint8_t *protected, struct errmsg *e) MUST_USE;
/* A pair of the folder that pair i lies in, i among them: of one class, where folders are classes. */
int pairs_beside(const struct pairs *p, int i, uint32_t draw);
/* SHA-256 over what both trees hold (train_set_digest). */
status pairs_digest(const struct pairs *p, struct digest *out, struct errmsg *e) MUST_USE;

#endif
