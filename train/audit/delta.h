#ifndef TRAIN_AUDIT_DELTA_H
#define TRAIN_AUDIT_DELTA_H
/* delta: what was added to images that are also there from before, measured; what the figures are says
   train.h. Private to train. */
#include "audit/ridge.h"
#include "audit/views.h"
#include "pairs.h"
#include "train.h"

/* data: the protected images, with its limit. f: the middle that is read. */
status delta_measure(const struct train_data_options *data, const char *clean_dir,
                     struct view_frame f, uint64_t seed, struct train_audit_delta *out,
                     struct errmsg *e) MUST_USE;
/* The better of both readings; less than any where there is none. */
double delta_agreement(const struct train_audit_delta *d);

/* ---- delta_images.c ---- */
struct delta_image {
    double square; /* sum over values */
    long long values, pixels, changed;
    int most;
};
struct delta_pairs {
    const struct pairs *pairs;
    const int *pair_of; /* of a sample of the protected set */
    struct view_frame frame;
};
/* The delta of sample i in the middle: (H,W,C); spare: as large. d: its sizes, too; or NULL. */
status delta_of(const struct delta_pairs *m, int i, float *out, float *spare, struct delta_image *d,
                struct errmsg *e) MUST_USE;
/* Sets the counts of images, and what sizes there are. */
void delta_sum_up(const struct delta_image *each, int n, struct train_audit_delta *out);

/* ---- delta_shared.c ---- */
/* delta (n,values), label (n) 0..classes-1: sets mean_norm, both shares, and kind. */
status delta_share(const float *delta, int n, size_t values, const int *label, int classes,
                   struct train_audit_delta *out) MUST_USE;

/* ---- audit.c ---- */
struct train_audit_reading audit_reading(const struct ridge_result *r, int classes);

#endif
