#ifndef TRAIN_BENCH_TABLE_H
#define TRAIN_BENCH_TABLE_H
/* table: what was measured: rows are protections, columns countermeasures, a value the mean over
   seeds. */
#include "bench/bench.h"

/* The cells of one protection, countermeasure and victim. */
struct group {
    int protection, countermeasure, victim;
    int n, done; /* cells, those with a result */
    double mean[TRAIN_BENCH_FIGURE_COUNT], deviation[TRAIN_BENCH_FIGURE_COUNT]; /* NAN: unknown */
};
struct table {
    const struct train_bench *b;
    struct group *group; /* [protection][countermeasure][victim] */
    struct buf *out;
    status st; /* the first failure; writing after it does nothing */
};
struct group *table_group(const struct table *t, int p, int c, int v);
void table_put(struct table *t, const char *fmt, ...) PRINTF_LIKE(2, 3);

void table_markdown(struct table *t, enum train_bench_figure f);
void table_csv(struct table *t);
status table_json(struct table *t, struct errmsg *e) MUST_USE;

#endif
