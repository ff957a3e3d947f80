#ifndef TRAIN_AUDIT_IMITATE_H
#define TRAIN_AUDIT_IMITATE_H
/*
 * imitate: groups of images that carry something of a family (family.h), as a protection may put it on
 * the images of a class:
 *
 * - the same on all;
 *
 * - something of its own on each;
 *
 * - pieces of one large thing, which have its texture but nothing at its place;
 *
 * - or, of families of which `strides` says so, a tile of 2, 4 or 8 pixels, repeated, the same on all.
 *
 * What a group carries is a pure function of the seed, its number and the images. Private to train; one
 * thread.
 */
#include "audit/residue.h"
#include "family.h"

enum imitate_way { IMITATE_SAME, IMITATE_OWN, IMITATE_PIECES, IMITATE_TILES, IMITATE_WAYS };

struct imitate {
    struct squares squares;
    int group; /* images of one */
    uint64_t seed;
    int threads;
    struct family_mix mix;       /* all families, of the squares' frame */
    struct family_mix wide;      /* those that can be cut to pieces, of a larger one */
    int wide_of[FAMILY_MIX_MAX]; /* where in it a family of the mix is; -1: it is not */
    float *delta, *x;            /* (group,side,side,C) */
    float *large;                /* one of the larger frame */
};
/* set: of images of the squares' size, which outlives it. Call imitate_done also after a failure. */
status imitate_begin(struct imitate *m, struct train_set *set, struct errmsg *e) MUST_USE;
void imitate_done(struct imitate *m);
/* Whether a family of the mix is put on that way: not those of which it would be what another is. */
bool imitate_has(const struct imitate *m, int family, enum imitate_way way);
/* index (group): samples of the set; clean (group,side,side,C): their pixels. out: with what they carry
   of the mix's family. CANCELLED when asked to stop. */
struct imitate_group {
    int family;
    enum imitate_way way;
    uint64_t number;
    const int *index;
    const uint8_t *clean;
};
status imitate_make(struct imitate *m, const struct imitate_group *g, uint8_t *out,
                    struct errmsg *e) MUST_USE;

#endif
