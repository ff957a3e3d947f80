#ifndef TRAIN_KV_H
#define TRAIN_KV_H
/* kv: metadata of a weights file: pairs of key and value. Private to train. */
#include "nn/nn.h"

/* They own their text; keys are literals. */
enum { KV_MAX = 48 };
struct kv_list {
    struct nn_meta pair[KV_MAX];
    char *text[KV_MAX];
    int n;
    status st; /* the first failure; adding after it does nothing */
};
void train_kv_add(struct kv_list *m, const char *key, const char *fmt, ...) PRINTF_LIKE(3, 4);
void train_kv_done(struct kv_list *m);
__attribute__((unused)) static inline void train_kv_donep(struct kv_list *m)
{
    train_kv_done(m);
}
/* Numbers kept as text that gives the same bits back. */
double train_kv_double(const struct nn_file *f, const char *key, double absent);
long long train_kv_int(const struct nn_file *f, const char *key, long long absent);

#endif
