#ifndef TRAIN_RESTORE_H
#define TRAIN_RESTORE_H
/* A training of a restorer: its state, shared by restore.c, restore_setup.c, restore_inputs.c (what
   is put on the images) and restore_sums.c (what was taken away of it). */
#include "family.h"
#include "fit.h"
#include "pairs.h"

/* Sums over images, of squares in the network's unit; families in the order of the mix, behind them
   the pairs, and last whatever is shown with noise. */
struct restore_sum {
    long long images;
    double delta, rest;         /* of all images */
    double shared, shared_rest; /* of groups with one delta: of delta, of what is left alike */
};

/* What a group of the step at hand carries. */
struct restore_group {
    int kind;                /* which sum it belongs to */
    bool shared;             /* all of its images carry one delta */
    float noise;             /* standard deviation of its images' noise, grey levels; 0: none */
    struct family_draw draw; /* not of pairs */
};

struct restore {
    struct fit fit;
    const struct train_restore_options *opt;
    struct purify_restorer cfg;
    struct family_frame frame;
    struct family_mix mix;
    struct pairs pairs; /* n 0: none */
    size_t row;         /* values of one image */
    float *x, *target;  /* inputs: (batch,size/2,size/2,4C) */
    float *weight;      /* input: (batch,4C), one number for an image: of what is left of it */
    const float *predicted;
    struct restore_group *group;     /* (groups) of the step at hand */
    struct family_group *crafted_of; /* (groups): those of one family, which makes them at once */
    float *crafted;                  /* (groups,size,size,C): what it made */
    uint8_t *clean, *carrying;       /* (size,size,C) */
    float *delta, *noise, *unfolded; /* the same */
    int kinds;                       /* of sums in use */
    struct restore_sum sum[TRAIN_FAMILIES_MAX],
        last[TRAIN_FAMILIES_MAX]; /* this window, the last */
};

static inline int restore_noise_kind(const struct restore *r)
{
    return r->mix.n + (r->pairs.n ? 1 : 0);
}

static inline int restore_groups(const struct restore *r)
{
    return r->fit.batch / r->opt->group;
}

/* ---- restore_setup.c ---- */
/* Call train_restore_done also on failure. */
status train_restore_setup(struct restore *r, struct errmsg *e) MUST_USE;
void train_restore_done(struct restore *r);

/* ---- restore_inputs.c ---- */
/* Of fit_ops. Every draw is named by (seed, step, group). */
status train_restore_load(void *arg, const struct train_batch *b, struct errmsg *e) MUST_USE;

/* ---- restore_sums.c ---- */
/* Of fit_ops. */
void train_restore_observe(void *arg);
void train_restore_close(void *arg);
status train_restore_log(const void *arg, struct buf *line) MUST_USE;
void train_restore_save(const void *arg, struct kv_list *m);
void train_restore_resume(void *arg, const struct nn_file *f);
/* Of the last window; how many they are. */
int train_restore_families(const struct restore *r, struct train_restore_family *out);

#endif
