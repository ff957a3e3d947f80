#ifndef CLI_STUDY_H
#define CLI_STUDY_H
/*
 * study: what was measured of profiles: profiles/study.json among the shipped files, where there is
 * one. It is what `relearn bench --table --json` prints, of a matrix with the protection `clean` and
 * the countermeasure `none`.
 *
 * Figures are of a profile's id, not of its name: one that was changed since has none.
 */
#include "base/base.h"

enum { STUDY_PROTECTIONS_MAX = 64 };
struct study;
/* NOT_FOUND: there is none. CORRUPT: it is no such table. */
status study_open(struct study **out, struct errmsg *e) MUST_USE;
void study_free(struct study *s);
DEFINE_FREEP(struct study *, study_free)

int study_protections(const struct study *s);
const char *study_protection(const struct study *s, int i); /* in the order of the table */

/* Means over the victims that were measured; NAN: none was. */
struct study_figure {
    double of_clean; /* accuracy behind the profile, as a part of that on clean images */
    double psnr_db;  /* of the purified images to the clean ones */
};
struct study_figure study_figure(const struct study *s, const char *profile_id, int protection);

#endif
