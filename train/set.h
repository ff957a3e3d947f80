#ifndef TRAIN_SET_H
#define TRAIN_SET_H
/* set: what the loader and other code of train/ need of an image set, from several threads. */
#include "augment.h"

#include <string.h>

/* Length of a path up to the extension of its last part. */
static inline size_t train_path_stem(const char *path)
{
    const char *name = strrchr(path, '/'), *dot = strrchr(name ? name : path, '.');
    return dot ? (size_t)(dot - path) : strlen(path);
}

/* Pixels of one sample. A kept sample's are borrowed until the set is freed; others are `owned`. */
struct set_view {
    const uint8_t *pixels; /* (height,width,C) */
    int width, height;
    uint8_t *owned; /* NULL when borrowed */
};
__attribute__((unused)) static inline void train_set_view_done(struct set_view *v)
{
    mem_free(v->owned);
    *v = (struct set_view){0};
}
/* Where a square of `size` pixels is cut out at random: by the three words from `at` on. */
struct augment_placing set_view_place(const struct set_view *v, int size, bool flip,
                                      struct nn_rng r, uint64_t at);
/* The square of `size` pixels at (at.x,at.y), mirrored if it says so, which lies in the view. */
void set_view_cut(const struct set_view *v, struct augment_placing at, int size, int channels,
                  uint8_t *out);
/* Decodes sample i unless its pixels are kept. Any thread. */
status train_set_view(struct train_set *s, int i, struct set_view *out, struct errmsg *e) MUST_USE;
/* Whether train_set_view(i) would only look up. Any thread. */
bool train_set_is_kept(const struct train_set *s, int i);
/* How large sample i will be, by its header. Any thread. */
status train_set_size(const struct train_set *s, int i, int *out_w, int *out_h,
                      struct errmsg *e) MUST_USE;
/* Calls fn(arg, i) for each sample, on up to `threads` threads. Returns the failure of the lowest i
   that failed. */
status train_set_for_each(struct train_set *s, status (*fn)(void *arg, int i, struct errmsg *e),
                          void *arg, struct errmsg *e) MUST_USE;

/* Images that were made, not read, as a set: sample i has label[i] of 0..classes-1 and lies in a folder
   of that number. What is given is copied. */
struct set_made {
    int n, classes, width, height, channels;
    const uint8_t *pixels; /* (n,H,W,C) */
    const int *label;      /* (n) */
};
status train_set_make(const struct set_made *m, struct train_set **out) MUST_USE;

/* The folder that each sample lies in, numbered in bytewise order; -1 for those in the directory
   itself. out (samples); *out_n: how many folders there are. */
status train_set_folders(const struct train_set *s, int *out, int *out_n) MUST_USE;

#endif
