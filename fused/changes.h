#ifndef FUSED_CHANGES_H
#define FUSED_CHANGES_H
/* Makes the kernel forget what a change in the source has made wrong. Called by the watch's thread;
   waits while the notifier has much to do. */
#include <stdbool.h>

struct fs;

struct change {
    bool names;       /* an entry came, went, or is another file now */
    bool content;     /* the file was written */
    bool directory;   /* the entry is one */
    const char *path; /* relative to the source root, without "./" */
};
void changes_apply(struct fs *fs, const struct change *c);
/* Events were lost: the kernel is to forget all names, attributes and content. */
void changes_lost(struct fs *fs);

#endif
