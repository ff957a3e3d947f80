#ifndef TRAIN_REPORT_LPIPS_H
#define TRAIN_REPORT_LPIPS_H
/* lpips: a perceptual distance (purify.h) of whole images, from a weights file of `relearn model
   import --lpips`. For one thread at a time. */
#include "base/base.h"
#include "image/image.h"

struct lpips;
status lpips_open(const char *file, struct lpips **out, struct errmsg *e) MUST_USE;
void lpips_close(struct lpips *l);
/* "lpips-alexnet", ... */
const char *lpips_name(const struct lpips *l);
/* Of two RGB images of one size; *out NAN where the network has no features of ones that small. */
status lpips_distance(struct lpips *l, const struct image *a, const struct image *b, double *out,
                      struct errmsg *e) MUST_USE;

#endif
