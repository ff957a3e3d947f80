#ifndef TRAIN_BENCH_TREE_H
#define TRAIN_BENCH_TREE_H
/*
 * tree: the images that cells share. One is made in trees/ID.part, renamed to trees/ID, and is whole
 * when its stamp trees/ID.json is there, with its description, how far it is from the clean images,
 * and how long it took. Removing begins with the stamp.
 */
#include "bench/bench.h"

/* Called now and then in long work, by one thread at a time. */
struct tree_tick {
    void (*fn)(void *arg);
    void *arg;
};

/* Over up to a thousand images. */
struct tree_distance {
    double psnr_db;  /* INFINITY: they are the clean ones */
    double coherent; /* bench/coherent.h */
};

bool tree_ready(const struct train_bench *b, int i);
/* Writes the images of a set, as PNG, below the folder `to`: those that are chosen, or with NULL
   all. CANCELLED on a signal. */
status tree_copy(struct train_set *set, const bool *chosen /* (samples) or NULL */, const char *to,
                 struct tree_tick tick, struct errmsg *e) MUST_USE;
/* The trees that no command makes, written to their place aside: the clean one, given ones and
   diluted ones. */
status tree_write_images(const struct train_bench *b, int i, struct tree_tick tick,
                         struct errmsg *e) MUST_USE;
status tree_write_diluted(const struct train_bench *b, int i, struct tree_tick tick,
                          struct errmsg *e) MUST_USE;
/* What stands aside is whole: it gets its name and its stamp. */
status tree_finish(const struct train_bench *b, int i, double seconds, struct tree_tick tick,
                   struct errmsg *e) MUST_USE;
/* The images of a folder, as the matrix wants them; limit 0: all. */
status tree_open(const struct train_bench *b, const char *dir, int limit, struct train_set **out,
                 struct errmsg *e) MUST_USE;
/* How far tree i, which stands in dir, is from the clean one; a diluted one: its images that were
   diluted. CORRUPT: the images are not those of the clean tree. */
status tree_measure(const struct train_bench *b, int i, const char *dir, struct tree_tick tick,
                    struct tree_distance *out, struct errmsg *e) MUST_USE;
/* Of a stamp. */
void tree_distance_read(const json_t *stamp, struct tree_distance *out);
/* Removes trees that no cell without a result needs, and nobody else's work reads. */
void tree_remove_unneeded(const struct train_bench *b);
/* Removes a folder and what is in it. */
void tree_remove_folder(const char *path);

#endif
