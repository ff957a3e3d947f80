/* What the making of a tree reads. */
#include "bench/bench.h"

int bench_images_of(const struct train_bench *b, int tree)
{
    int source = b->tree[tree].source;
    bool tuned = source >= 0 && b->tree[source].kind == BENCH_TUNED;
    return tuned ? b->tree[source].source : source;
}

int bench_needs(const struct train_bench *b, int tree, int out[BENCH_NEEDS_MAX])
{
    /* What is made is compared with the clean images, or learns from them; but clean images that
       are added come from the data. */
    enum bench_tree_kind kind = b->tree[tree].kind;
    const int wanted[BENCH_NEEDS_MAX] = {bench_images_of(b, tree), b->tree[tree].source,
                                         kind == BENCH_CLEAN || kind == BENCH_DILUTED ? -1 : 0};
    int n = 0;
    for (int i = 0; i < BENCH_NEEDS_MAX; i++) {
        bool new = wanted[i] >= 0;
        for (int k = 0; k < n; k++)
            new &= out[k] != wanted[i];
        if (new)
            out[n++] = wanted[i];
    }
    return n;
}
