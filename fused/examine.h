#ifndef FUSED_EXAMINE_H
#define FUSED_EXAMINE_H
/* What a file is, by its header, its name and the user's rules. Only here are files put into groups,
   both to serve them and to count them. */
#include "pipeline.h"

/* max_pixels 0: the decoder's limit. */
struct image_limits examine_limits(uint64_t max_pixels);
/* As fused_examine, but that nothing is remembered. */
status examine_file(const struct image_limits *lim, const struct fused_rules *rules,
                    const struct fused_file *file, struct fused_verdict *out,
                    struct errmsg *e) MUST_USE;

#endif
