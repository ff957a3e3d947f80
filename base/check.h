#ifndef BASE_CHECK_H
#define BASE_CHECK_H
/* CHECK stays on in release builds; it guards what would otherwise write wrong bytes to disk. */
#include <stdio.h>
#include <stdlib.h>

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "relearnfs: bug: %s:%d: %s\n", __FILE__, __LINE__, #cond);             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
