#ifndef IMAGE_WALK_NAMES_H
#define IMAGE_WALK_NAMES_H
#include "image.h"

enum { WALK_NAMES_BYTES_MAX = 1 << 30 };

/* The names of one directory: text holds type byte, name, NUL for each. */
struct walk_names {
    struct buf text;
    size_t n;
    const char **sorted; /* [n], each at its type byte */
};

/* Reads the names of the directory that fd has open, and sorts them. out is empty before; it is to
   be freed by walk_names_done also after a failure. */
status walk_names_read(int fd, struct walk_names *out) MUST_USE;
void walk_names_done(struct walk_names *l);

#endif
