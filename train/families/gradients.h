#ifndef TRAIN_FAMILIES_GRADIENTS_H
#define TRAIN_FAMILIES_GRADIENTS_H
/*
 * gradients: the networks that the family of that name attacks, and how they come to be.
 *
 * A network belongs to a generation of GRADIENTS_GENERATION steps of the restorer's training and is a
 * function of (seed, generation, its row) alone, so a training that goes on in another process makes
 * it again. It is trained when it is first asked for in a generation, for a short while, by SGD at a
 * rate that falls to 0.
 *
 * The networks of a generation see one pool of images, squares cut out of the training's: so few that
 * a short training learns something of them, and that a set of large photographs need not be decoded
 * twice. The pool is of GRADIENTS_CLASSES folders drawn for the generation, or of all if there are
 * fewer. What a network takes for an image's class is
 *
 * - true: the folder that the image lies in; or
 *
 * - random: drawn for each image. Always so when there are less than two folders.
 *
 * Files: gradient_nets.c (what is built), gradient_pool.c (what it sees), gradient_training.c (how it
 * is trained), gradient_craft.c (what is made with it), gradients.c (the family).
 */
#include "family.h"

#include "attack.h"
#include "class_step.h"

enum { GRADIENTS_NETS = 6, GRADIENTS_CLASSES = 10, GRADIENTS_GENERATION = 2000 };

/* Small convolutional classifiers, as different as they can be: any size of images, one channel or
   three. */
extern const struct train_net gradients_nets[GRADIENTS_NETS];

/* The images of a generation. */
struct gradients_pool {
    int64_t generation; /* -1: none */
    int n, max;
    uint8_t *pixels; /* (max,H,W,C) */
    int *sample;     /* (max) */
    int *order;      /* (samples), while it is filled */
    int *folder,
        *class_of; /* (samples): train_set_folders; (folders): below GRADIENTS_CLASSES: a class */
    int folders;
};

struct gradients_network {
    struct train_model *model; /* NULL: not asked for yet */
    struct class_step learning;
    struct attack *attack;
    int64_t generation; /* that it was trained for; -1: none */
    struct nn_rng r;    /* of its row in that generation */
    bool random_labels;
};

struct gradients {
    struct family_source source;
    struct family_frame frame;
    struct gradients_pool pool;
    struct gradients_network net[GRADIENTS_NETS];
    /* Of one evaluation of gradients: */
    int rows;
    float *clean, *x; /* (rows,H,W,C): images in [0,1], and as the network sees them */
    int32_t *label;   /* (rows) */
};

/* ---- gradient_pool.c ---- */
/* Room for it. Call gradients_pool_done also after a failure. */
status gradients_pool_init(struct gradients *s) MUST_USE;
void gradients_pool_done(struct gradients_pool *p);
/* Fills it for a generation, unless it is of that one. CANCELLED when asked to stop. */
status gradients_pool_fill(struct gradients *s, int64_t generation, struct errmsg *e) MUST_USE;
/* The true class of a sample in the pool's generation; -1 when it has none of them. */
int gradients_true_class(const struct gradients_pool *p, int sample);

/* ---- gradient_training.c ---- */
/* The network that perturbations of a step are made with, trained. CANCELLED when asked to stop. */
status gradients_network_at(struct gradients *s, uint64_t step, struct gradients_network **out,
                            struct errmsg *e) MUST_USE;
void gradients_network_done(struct gradients_network *n);
/* The class that a sample has to a network of the pool's generation; -1 when it has none. */
int gradients_label(const struct gradients *s, const struct gradients_network *n, int sample);

/* ---- gradient_craft.c ---- */
/* One group's perturbation while it is made. */
struct gradients_craft {
    const struct family_group *group;
    int row, images;   /* it is made for `images` rows from `row` on */
    bool away;         /* from their labels; otherwise towards them */
    bool random_start; /* within the amplitude, if there are several steps */
};
/* How many images it is made for; at most as many as there are rows. */
int gradients_images(const struct gradients *s, const struct family_step *step,
                     const struct family_group *g);
/* Puts its images and labels in the rows from `row` on. */
struct gradients_craft gradients_place(struct gradients *s, const struct gradients_network *n,
                                       const struct family_step *step, const struct family_group *g,
                                       int row);
/* Makes n of them, whose images are in the rows, in `steps` steps. The other rows have label -1. */
status gradients_craft(struct gradients *s, const struct gradients_network *n,
                       const struct gradients_craft *c, int n_craft, int steps) MUST_USE;

#endif
