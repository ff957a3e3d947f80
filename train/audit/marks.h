#ifndef TRAIN_AUDIT_MARKS_H
#define TRAIN_AUDIT_MARKS_H
/*
 * marks: what the residues of a group of images, say of a class, say of what was added to them. Twice
 * the marks of a field (field.h): their mean over the images' residues, and those of the mean residue,
 * in which what the images depict is averaged out and what all carry is left. And of all together: how
 * large a residue is, how much of it the images share, how much of it follows from what comes before it
 * by one filter, and how much is a 3x3 filter of the image. Private to train; pure, any thread.
 */
#include "audit/field.h"

enum { MARKS_OF_ALL = 6, MARKS = 2 * FIELD_MARKS + MARKS_OF_ALL };
/* seen, left (n,side,side,C): images, and what a restorer leaves of them. NOMEM. */
status marks_make(struct squares s, const uint8_t *seen, const uint8_t *left, int n,
                  float out[MARKS]) MUST_USE;

#endif
