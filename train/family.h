#ifndef TRAIN_FAMILY_H
#define TRAIN_FAMILY_H
/*
 * family: perturbations that a restorer learns to remove, as rows: each a family of what published
 * protections add, drawn anew from its random stream. No row knows any protection's key: what one
 * who protects has drawn is never what is drawn here, only of its kind.
 *
 * What a row makes is a pure function of (its stream, the frame, the amplitude) and, where it is
 * `of_image`, of the image; never of what was made before. A row with `make_step` makes what all its
 * groups of one training step carry in one call: a pure function of the source, the step's number,
 * its batch, and the groups.
 *
 * A choice of them with weights is written NAME:SHARE[,NAME:SHARE...]: "blocks:22,waves:8". Shares
 * are relative to their sum.
 */
#include "train.h"

struct family_frame {
    int width, height, channels;
};
struct family_draw {
    struct nn_rng r; /* its words count from 0, and no one else reads them */
    float amplitude; /* grey levels of 255, over 0 */
};

/* The training that a mix is used in, for rows that work with its images. */
struct family_source {
    struct train_set
        *set; /* of images at least as large as the frame, which is square; outlives the mix */
    uint64_t seed;
    int group; /* images that carry one perturbation */
    bool flip; /* images are shown mirrored as well */
    int threads;
    enum nn_precision precision;
};
/* Of one step: its batch, and those of its groups that are to carry something of the row. */
struct family_group {
    int first; /* row of its first image in the batch; the others follow */
    struct family_draw draw;
    float *out; /* (H,W,C): as `make` does it */
};
struct family_step {
    uint64_t number;
    const struct train_batch *batch; /* images in [0,1], of the frame's size */
    const struct family_group *group;
    int groups;
};

struct family_ops {
    struct train_family is;
    /* What is made depends on the image: `make` is called for each image of a group. With one draw it
       does the same to all of them. */
    bool of_image;
    /* It imitates what convolutional networks are attacked with, which their strides make repeat itself
       every few pixels the longer the attack goes on (EMN): audit/imitate.h draws it so, too. */
    bool strides;
    /* (optional) What a row works with, of one frame: buffers, say. One thread at a time uses it.
       After a failure `end` is given what *out_state was set to. */
    status (*begin)(struct family_frame f, void **out_state, struct errmsg *e);
    void (*end)(void *state);
    /* (optional) In place of `begin`: for a row that works with the training's images. */
    status (*begin_on)(const struct family_source *s, struct family_frame f, void **out_state,
                       struct errmsg *e);
    /* (optional) In place of `make`: for a row that makes a step's perturbations at once. CANCELLED
       when asked to stop. */
    status (*make_step)(void *state, const struct family_step *s, struct errmsg *e);
    /* out (H,W,C): what is added, in grey levels, none beyond the amplitude unless the summary says
       so. image (H,W,C): what it is added to; NULL unless of_image. */
    status (*make)(void *state, struct family_frame f, struct family_draw d, const uint8_t *image,
                   float *out);
};

/* Rows whose perturbations cannot be told from each other in an image are told as one. */
#define FAMILY_TOLD_NOISE                                                                          \
    .told = "noise, as steps along a network's gradient leave it", .like = "EMN, TAP, HYPO, PIL"

/* Every family, in the order of --list: one row here, one file that defines family_NAME. */
#define FAMILIES(X)                                                                                \
    X(blocks)                                                                                      \
    X(filtered)                                                                                    \
    X(autoregressive)                                                                              \
    X(waves)                                                                                       \
    X(pixels)                                                                                      \
    X(white)                                                                                       \
    X(colour)                                                                                      \
    X(blur)                                                                                        \
    X(gradients)                                                                                   \
    X(none)
#define FAMILY_DECLARE(name) extern const struct family_ops family_##name;
FAMILIES(FAMILY_DECLARE)
#undef FAMILY_DECLARE

/* Families with their shares; of one frame, once it has begun. */
enum { FAMILY_MIX_MAX = 16 };
struct family_mix {
    int n;
    struct family_entry {
        const struct family_ops *ops;
        double share; /* of 1 */
        void *state;
    } entry[FAMILY_MIX_MAX];
};
/* NULL: all, with the shares of their rows. INVALID names what is wrong, with the families that
   there are. */
status family_mix_parse(const char *text, struct family_mix *out, struct errmsg *e) MUST_USE;
status family_mix_begin(struct family_mix *m, const struct family_source *s, struct family_frame f,
                        struct errmsg *e) MUST_USE;
void family_mix_done(struct family_mix *m); /* begun or not, or half */
/* Which entry a random number of 0..1 falls to. */
int family_mix_pick(const struct family_mix *m, double number);
/* As it is written, with shares of 100. */
status family_mix_text(const struct family_mix *m, struct buf *out) MUST_USE;

/* ---- for the rows ---- */

static inline size_t family_count(struct family_frame f)
{
    return (size_t)f.width * (size_t)f.height * (size_t)f.channels;
}
/* Normal numbers as a bounded perturbation: half the amplitude is one deviation, and what is beyond
   two of them is cut off. */
static inline float family_bounded(float normal)
{
    return normal > 2 ? 1 : normal < -2 ? -1 : normal / 2;
}
/* The ends of rows that need one buffer of floats: their state is the buffer. */
status family_buffer(size_t floats, void **out_state) MUST_USE;
void family_buffer_end(void *state);

#endif
