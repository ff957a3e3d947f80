#ifndef FUSED_HANDLE_H
#define FUSED_HANDLE_H
/*
 * Open files: the version that was opened, whatever becomes of its name. Its descriptor and its
 * digest are kept, and attributes of a file without a name come from there.
 *
 * A handle lives while the kernel has it open and while a READ of it is under way. Text is that of
 * a virtual file, as it was when it was opened.
 */
#include "fs.h"

enum handle_kind {
    HANDLE_ORIGINAL, /* served byte for byte */
    HANDLE_IMAGE,
    HANDLE_LIST, /* many images, at byte ranges */
    HANDLE_TEXT,
};

struct handle {
    enum handle_kind kind;
    atomic_uint refs; /* the kernel's, and one for each READ */
    struct fs *fs;
    struct node *node;      /* referenced; NULL for text */
    struct fused_file file; /* fd -1 for text; an image's verdict has `source` once it was read */
    bool counted;           /* as a reader of the page cache */
    atomic_bool judged;     /* told_size is known */
    uint64_t told_size;
    _Atomic(struct fused_bytes *) held; /* of an image from HELD_BYTES_MIN on */
    pthread_mutex_t last_lock;
    struct fused_bytes *last; /* of a list: its image that was read last; guarded by last_lock */
    uint64_t last_index;      /* as these */
    struct cache_file_id last_id;
    struct buf text;
    struct handle *prev, *next; /* guarded by fs->files.lock */
};

static inline struct handle *handle_of(const struct fuse_file_info *fi)
{
    return (struct handle *)(uintptr_t)fi->fh;
}

/* n NULL: for text. NULL without memory. */
struct handle *handle_new(struct fs *fs, struct node *n);
void handle_ref(struct handle *h);
void handle_unref(struct handle *h);
/* Opens and judges h's node (fs_open_judged). out_path: PATH_MAX bytes. 0 or an errno value. */
int handle_open(struct handle *h, char *out_path, bool *out_ready);
/* What should have been purified and cannot be is refused where that was asked for: 0, or EIO, of
   which the log says why. */
int handle_refused(const struct handle *h, const struct fused_verdict *v, const char *path);
/* Keeps an image's bytes with the open file, if they are large. */
void handle_hold(struct handle *h, struct fused_bytes *b);
/* The fetch of an image failed or not: as the status lists it. */
void handle_note_fetch(struct handle *h, const struct fused_fetch *f, status st);
/* The path for rules by name and for the log; "" when there is none any more. */
void handle_path(const struct handle *h, char out[PATH_MAX]);

/* ---- read_original.c: the READ of a HANDLE_ORIGINAL ---- */
void read_original(fuse_req_t req, struct handle *h, size_t size, off_t off);
/* Bytes that were there while the file was what it was opened as, or nothing that is purified: it may
   become an image between a look at it and the reading. A file that never rests, as a log, is believed
   after the last look. 0 or an errno value; *out is for mem_free. */
int read_original_bytes(const struct handle *h, size_t size, off_t off, uint8_t **out,
                        size_t *out_n);

/* ---- read_list.c: the READ of a HANDLE_LIST ---- */
void read_list(fuse_req_t req, struct handle *h, size_t size, off_t off);

#endif
