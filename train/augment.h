#ifndef TRAIN_AUGMENT_H
#define TRAIN_AUGMENT_H
/*
 * augment: what may happen to a training image before a network sees it, as rows. A row is a pure
 * function of (its parameters, seed, epoch, sample, pixels): no thread and no order changes it. A
 * new one is a row in a file of augments/ (a new file there is named in augment.c).
 *
 * Rows of two kinds: one that only moves (crop, flip) says where pixels come from and costs nothing
 * by itself; any other works on the pixels of the crop, floats in [0,1]. All moving comes first,
 * then the others in the order in which they are listed.
 *
 * A list is written NAME[:KEY=VALUE...][,NAME...]: "grey,rotation:degrees=15,noise".
 */
#include "train.h"

/* Offsets of the crop in the image; negative: in the padding. */
struct augment_placing {
    int x, y;
    bool mirror;
};
struct augment_frame {
    int width, height;  /* of the image */
    int crop_w, crop_h; /* of the crop */
};
struct augment_pixels {
    int width, height, channels; /* channels 1 or 3 */
    float *x;                    /* (H,W,C) in [0,1] */
    float *spare;                /* as large; holds nothing between rows */
};

struct augment_ops {
    struct train_augment is; /* name, summary, parameters */
    int number;              /* of its random stream, 0..255: never changed, never used again */
    /* One of the two. r: of this row, epoch and sample; its words count from 0. Moving rows share
       the four words from `at` on. */
    void (*place)(const void *params, struct nn_rng r, uint64_t at, struct augment_frame f,
                  struct augment_placing *p);
    status (*apply)(const void *params, struct nn_rng r, struct augment_pixels *p);
};

/* Rows with their parameters. */
enum { AUGMENT_LIST_MAX = 16 };
struct augment_list {
    struct augment_entry {
        const struct augment_ops *ops;
        void *params;
    } entry[AUGMENT_LIST_MAX];
    int n;
    bool pixels; /* one of them works on pixels */
};
/* INVALID names what is wrong, with the augmentations that there are. NULL and "" are no rows. */
status augment_list_parse(const char *text, struct augment_list *out, struct errmsg *e) MUST_USE;
/* With n parameters, or the first. */
status augment_list_add(struct augment_list *l, const char *name, const struct param_arg *arg,
                        int n, struct errmsg *e) MUST_USE;
void augment_list_done(struct augment_list *l);

/* Which sample, and when. */
struct augment_of {
    uint64_t seed, epoch;
    int sample;
};
/* From the centre of the image. */
struct augment_placing augment_place(const struct augment_list *l, struct augment_of of,
                                     struct augment_frame f);
status augment_apply(const struct augment_list *l, struct augment_of of,
                     struct augment_pixels *p) MUST_USE;

/* ---- for the rows ---- */

/* Uniform in lo..hi. */
float augment_uniform(struct nn_rng r, uint64_t at, float lo, float hi);
/* Whether the row is to act, with probability p: the stream's word 0. */
bool augment_acts(struct nn_rng r, float p);

/* Ended by a row without a name. */
extern const struct augment_ops augment_moves[], augment_colours[], augment_shapes[],
    augment_plasma[], augment_trivial[], augment_filters[];

#endif
