#ifndef TRAIN_ASCENDING_H
#define TRAIN_ASCENDING_H

/* For qsort of doubles, none of which is NAN. */
static inline int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

#endif
