#ifndef PURIFY_CHAIN_H
#define PURIFY_CHAIN_H
/*
 * What models, engines and runs are made of: engine.c (models, engines), run.c (one image through
 * the chain, turn by turn), group.c (several images), measure.c (what it costs).
 */
#include "engine.h"
#include "purifier.h"

/* At 64 Mi pixels (the decoders' limit too) an RGB image takes 192 MiB beside itself. */
#define CHAIN_MAX_PIXELS ((int64_t)1 << 26)

struct purify_model {
    struct purify_profile profile;
    struct purifier link[PURIFY_CHAIN_MAX]; /* profile.n; values are the profile's */
};

struct purify_engine {
    const struct purify_model *model;
    int batch; /* images evaluated together; 0: always one by one */
    void *worker[PURIFY_CHAIN_MAX];
};

struct engine_run {
    const struct purify_model *model;
    struct image *img;
    struct image made; /* what the links before made; its pixels are one of the buffers */
    uint8_t *buffer[2];
    int link;  /* at work */
    void *run; /* its */
};

/* The first purifier that cuts images into tiles, and their shape; NULL: none does. */
const struct purifier *chain_tiled(const struct purify_model *m, int *out_size, int *out_channels);
/* Turns of one purifier for such an image. */
int64_t chain_turns(const struct purifier *p, const struct image *img);
/* A turn by one engine or a team's, of the link at work and of those without a turn of their own;
   evaluations are added. */
status chain_step(struct purify_engine *const *en, const struct team *team, struct engine_run *r,
                  const struct engine_hooks *hooks, uint64_t *evaluations,
                  struct errmsg *e) MUST_USE;
/* A turn of the link at work alone. */
status chain_step_link(struct purify_engine *const *en, const struct team *team,
                       struct engine_run *r, const struct engine_hooks *hooks,
                       uint64_t *evaluations, struct errmsg *e) MUST_USE;
/* Ends the link at work and begins the next one. */
status chain_next_link(struct engine_run *r, struct errmsg *e) MUST_USE;

#endif
