#ifndef PURIFY_META_H
#define PURIFY_META_H
/* Reading and writing a network's configuration as the metadata strings of its weights file. */
#include "purify/purify.h"

/* Adds key = formatted text; CHECKs that it fits. */
void meta_add(struct purify_meta *m, const char *key, const char *fmt, ...) PRINTF_LIKE(3, 4);
void meta_add_list(struct purify_meta *m, const char *key, const int *v, int n);

/* The readers keep the first failure, so that a sequence of them is checked once at its end. */
struct meta_reader {
    const struct nn_file *file;
    status st;
    struct errmsg *e;
};
/* Which of these architectures the file says it holds; fails unless it is one of them. */
int meta_architecture(struct meta_reader *r, const char *const *names, int n);
void meta_int(struct meta_reader *r, const char *key, int lo, int hi, int *out);
void meta_float(struct meta_reader *r, const char *key, double lo, double hi, float *out);
/* A list of 0..max numbers joined by commas. */
void meta_list(struct meta_reader *r, const char *key, int max, int *out, int *out_n);
void meta_enum(struct meta_reader *r, const char *key, const char *const *names, int n, int *out);

#endif
