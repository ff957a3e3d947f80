#ifndef TRAIN_PROTECT_H
#define TRAIN_PROTECT_H
/*
 * One row per generator of unlearnable examples, one file each. The driver (protect.c) opens the
 * source, reads the method's parameters by its table, lets it prepare, writes every image (write.c)
 * where place.c says, and records what was done.
 *
 * A method either adds something (shape and row: what it adds is kept beside the images, and is
 * never whole in memory on account of the driver) or makes new pixels of old ones (pixels).
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
    void *param;  /* the struct of the method's table */
    void *state;  /* the method's own */
    bool *chosen; /* (n) the images to protect; NULL: all */
    int n_chosen;
    struct train_protect_result result;
};

/* What a method adds: (count, height, width, C), each value covering patch x patch pixels. */
struct protect_shape {
    struct nn_shape shape;
    bool class_wise; /* first dimension: class, else sample */
    int patch;
};

struct protect_method {
    const char *name, *summary;
    double eps;                   /* default; 0: there is no strength to choose */
    enum train_quantise quantise; /* what the method's own code does */
    bool any_size;                /* images may differ in size */
    struct param_table params;
    status (*prepare)(struct protect_job *j, struct errmsg *e);
    /* (optional, with row) After prepare. */
    struct protect_shape (*shape)(const struct protect_job *j);
    /* Row i of the shape, for images in [0,1]. Any thread; after prepare. Class-wise it is called
       once for each class and once more for each image; sample-wise once for each sample. */
    status (*row)(const struct protect_job *j, int i, float *out, struct errmsg *e);
    /* (optional, instead of these) Image i, (H,W,C), made of what it was; in grey levels of 0 to
       255. Any thread; after prepare. */
    status (*pixels)(const struct protect_job *j, int i, const uint8_t *in, float *out,
                     struct errmsg *e);
    /* (optional) Adds to protection.json; a key of the parameters' table is replaced. */
    void (*describe)(const struct protect_job *j, json_t *out);
    void (*done)(struct protect_job *j); /* (optional) state may be half-built */
};

/* Every protection, in the order of --list: one row here, one file that defines protect_NAME. */
#define PROTECT_METHODS(X)                                                                         \
    X(lsp)                                                                                         \
    X(emn_class)                                                                                   \
    X(emn) X(sem) X(remn) X(ops) X(ar) X(cuda) X(pil) X(tap) X(hypo) X(aap) X(aue) X(ntga) X(apply)
#define PROTECT_DECLARE(name) extern const struct protect_method protect_##name;
PROTECT_METHODS(PROTECT_DECLARE)
#undef PROTECT_DECLARE

/* A shape: one for each sample, a value for each of its pixels' channels. */
struct protect_shape protect_sample_shape(const struct protect_job *j);
/* Says which protections there are. */
status protect_unknown(const char *name, struct errmsg *e);

/* ---- place.c ---- */
/* "class/x.jpg" -> "DST/class/x.png"; NULL when memory is short. */
char *protect_target(const struct protect_job *j, int i);
/* DST.perturbation.safetensors */
char *protect_beside(const struct protect_job *j);
/* The folder nearest to DST that is there. */
char *protect_folder(const struct protect_job *j);
/* Nothing is created. check_target: DST is empty or may be overwritten, and is outside SRC.
   check_collisions: no two images become one file. */
status protect_check_target(const struct protect_job *j, struct errmsg *e) MUST_USE;
status protect_check_collisions(const struct protect_job *j, struct errmsg *e) MUST_USE;

/* ---- part.c ---- */
/* Which images are protected, by the options: fills chosen and n_chosen. */
status protect_choose(struct protect_job *j, struct errmsg *e) MUST_USE;
bool protect_is_chosen(const struct protect_job *j, int i);
/* Adds to protection.json which they are, unless they are all. */
status protect_record_part(const struct protect_job *j, json_t *out) MUST_USE;

/* ---- write.c ---- */
/* Everything that DST and the file beside it are; nothing is left of it on failure. */
status protect_write(struct protect_job *j, struct errmsg *e) MUST_USE;
/* record.c: DST/protection.json */
status protect_write_record(const struct protect_job *j, struct errmsg *e) MUST_USE;
/* write_image.c: one 8-bit value with its perturbation in [0,1] units. */
uint8_t protect_quantise(uint8_t pixel, float delta, enum train_quantise rule);

#endif
