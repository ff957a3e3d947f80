#ifndef TRAIN_AUDIT_KIN_H
#define TRAIN_AUDIT_KIN_H
/*
 * kin: of which family the protection of a set of images is; what is told says train.h.
 *
 * 1. Images of the set are taken in groups of one class (the middle square of each), and the shipped
 *    restorer says what is left of them (residue.h).
 *
 * 2. Groups are imitated: what is left of the same images, with something of each family put on in
 *    each of a few ways (imitate.h), which goes through the restorer as well.
 *
 * 3. A linear discriminant learns from the marks (marks.h) of these which family and way they are of
 *    (centres.h), and each of the set's groups votes by its own. One that is odd where it is nearest
 *    votes for nothing known, and so does one that is nearest to images that carry nothing.
 *
 * Groups, not images: what one image's residue says is mostly what it depicts. Imitations lie on the
 * set's own images, since a residue depends on these as well.
 *
 * Private to train.
 */
#include "audit/residue.h"
#include "audit/views.h"
#include "set.h"

struct kin_options {
    struct view_frame frame; /* of the middle that is looked at */
    uint64_t seed;
    int threads; /* 0: cpu_count() */
    bool quiet;
};
/* A pure function of images and seed. NOT_FOUND: the restorer is not there. CANCELLED when asked to
   stop. */
status kin_tell(struct train_set *set, const struct kin_options *o, struct train_audit_family *out,
                struct errmsg *e) MUST_USE;

/* ---- kin_groups.c ---- */
/* Squares of a set's images in groups of one class, those of all classes in turn. */
struct kin_groups {
    struct squares squares;
    int n, each;   /* groups; images of one */
    uint8_t *seen; /* (n,each,side,side,C) */
    uint8_t *left; /* the same, what is left of them; the caller's to fill */
    int *label;    /* (n,each) */
};
status kin_groups_take(struct train_set *set, const struct kin_options *o, struct kin_groups *out,
                       struct errmsg *e) MUST_USE;
void kin_groups_done(struct kin_groups *g);

/* ---- kin_vote.c ---- */
/* A vote of a group that is nearest to an imitation of a family, and how odd it is there. */
void kin_vote(struct train_audit_family *f, const struct train_family *nearest, double odd);
/* Shares, their order, and what they come to. */
void kin_count(struct train_audit_family *f);

#endif
