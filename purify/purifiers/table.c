#include "purifier.h"

#include <string.h>

/* A row each, in the order in which they are listed. */
#define PURIFIERS(X)                                                                               \
    X(jcdp)                                                                                        \
    X(avatar)                                                                                      \
    X(restore)                                                                                     \
    X(denoise)                                                                                     \
    X(deconvolve)                                                                                  \
    X(grey)                                                                                        \
    X(depth)                                                                                       \
    X(jpeg)                                                                                        \
    X(median)                                                                                      \
    X(outlier)                                                                                     \
    X(gaussian)                                                                                    \
    X(bilateral)                                                                                   \
    X(guided)                                                                                      \
    X(equalise)

#define DECLARE(name) extern const struct purifier_ops purifier_##name;
#define ROW(name) &purifier_##name,
PURIFIERS(DECLARE)
const struct purifier_ops *const purifier_table[] = {PURIFIERS(ROW) NULL};

const struct purifier_ops *purifier_find(const char *name)
{
    for (int i = 0; purifier_table[i]; i++)
        if (strcmp(purifier_table[i]->name, name) == 0)
            return purifier_table[i];
    return NULL;
}

bool purify_about(int i, struct purify_about *out)
{
    int n = 0;
    while (purifier_table[n])
        n++;
    if (i < 0 || i >= n)
        return false;
    const struct purifier_ops *o = purifier_table[i];
    *out = (struct purify_about){o->name, o->summary, &o->params};
    return true;
}
