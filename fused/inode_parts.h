#ifndef FUSED_INODE_PARTS_H
#define FUSED_INODE_PARTS_H
/*
 * What the parts of the inode table share:
 *
 *     inode.c        which nodes there are: numbers, names, references
 *     versions.c     what a file was judged to be, and which version the kernel knows
 *     page_cache.c   whose content the kernel's page cache holds
 */
#include "inode.h"

#include "locks.h"
#include <pthread.h>

struct node {
    uint64_t device, inode; /* never change */
    struct node *chain;     /* all below guarded by table->lock */
    struct node *parent;    /* NULL for the root */
    char *name;
    uint64_t lookups;
    uint32_t refs;
    uint32_t versions, told;    /* changes of `judged`; of them known to the kernel */
    struct node_version judged; /* of a directory: mtime_ns is its last seen change */
    uint64_t served_size;
    struct opened *opened; /* NULL until its bytes were read: most of a million never are */
    uint8_t group;
    bool is_known, unsettled, many, stored, has_source;
};

/* Of files that somebody read. */
struct opened {
    struct digest source;
    struct node_content pages, drop_to;
    uint32_t readers;
    uint32_t dropping; /* notices under way that drop all pages for `drop_to` */
    bool has_pages;
};

struct table {
    pthread_mutex_t lock;
    struct node **chain; /* guarded by lock, as all below */
    size_t chains;       /* a power of two */
    size_t count;
    struct node *root;
};

/* Called with the table's lock held. NULL without memory. */
struct opened *node_opened(struct node *n);

#endif
