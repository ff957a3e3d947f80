#ifndef IMAGE_LIST_H
#define IMAGE_LIST_H
/*
 * list: what each kind of file of many images provides; list.c holds the table and is the only
 * caller.
 */
#include "image.h"

enum { LIST_HEAD_BYTES = 4096 };

struct image_container {
    const char *name;
    /* head: the file's first bytes, LIST_HEAD_BYTES or as many as it has. As image_list_probe_fd;
       out is zeroed. Limits on the size of an image are list.c's to check. */
    status (*probe)(const uint8_t *head, size_t len, uint64_t file_size, struct image_list *out,
                    struct errmsg *e);
};

extern const struct image_container image_npy_container;

#endif
