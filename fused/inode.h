#ifndef FUSED_INODE_H
#define FUSED_INODE_H
/*
 * The inode table: what the kernel holds on to, keyed by (device, inode) of the source.
 *
 * A node lives while the kernel remembers it (lookups), something of ours points at it (refs), or
 * it has children. It knows its parent and the name it was last found under, so that it can be
 * opened by a path from the source root; no descriptor is kept. Whoever opens a node by its path
 * compares device and inode: another file may have taken the name meanwhile (ESTALE makes the
 * kernel look it up again).
 *
 * One number found under two names is one node where numbers can be trusted (a hard link, a
 * rename); where they cannot (some file systems give two files one number), each place has its own.
 *
 * Three things are remembered of a file, each on its own:
 * - what it was last judged to be, and the version (size, mtime, ctime) that was judged;
 * - whether the kernel may still believe the size of an older version: from the moment somebody
 *   sees another version until a notice that was sent after that moment is through. Every opener in
 *   between waits for a notice, so that whoever reads after open() sees the size of what was opened;
 * - whose content the page cache holds:
 *
 *     opening content C:  no pages, or pages of C         -> keep them
 *                         other pages, nobody reads       -> drop them, then keep
 *                         they are being dropped for C    -> drop them, too
 *                         other pages, somebody reads     -> direct I/O for the new opener
 *                         it is being written to          -> direct I/O (ops_open.c)
 *
 *   Content is the digest of an image's bytes, which a chmod or a new name leaves as it was; of
 *   what is served byte for byte, and of a file of many images, it is the version, and there an open
 *   file sees its changes, as on any file system: pages are dropped even while somebody reads.
 *
 * Threads: any. All state is guarded by the table's one lock.
 */
#include "fused.h"

#include <limits.h>

struct node; /* its address is the inode number the kernel knows, but for the root */
struct table;

struct node_version {
    uint64_t size;
    int64_t mtime_ns, ctime_ns;
};
struct node_version node_version(const struct cache_file_id *id);

struct node_known {
    enum fused_group group;
    bool many;            /* it holds many images */
    bool unsettled;       /* judged so soon after a change that another could look the same */
    bool stored;          /* purified pixels were in the cache when last looked at */
    bool has_source;      /* `source` is that of the judged version */
    uint64_t size;        /* served */
    struct digest source; /* of an image's bytes */
};

/* What pages hold. */
struct node_content {
    bool by_version; /* digest is that of a version, in place of bytes */
    struct digest digest;
};
struct node_content node_content(const struct node_known *known, const struct node_version *v);

status table_new(uint64_t root_device, uint64_t root_inode, struct table **out) MUST_USE;
void table_free(struct table *t);
struct node *table_root(struct table *t);
uint64_t table_count(struct table *t);

/* The node of (device, inode), found or made, as `name` in `parent`; one lookup more. With `unsure`
   a node that was found elsewhere is not the same. INVALID: it is an ancestor of parent (a mount
   loop in the source). NOMEM. */
status table_lookup(struct table *t, struct node *parent, const char *name, uint64_t device,
                    uint64_t inode, bool unsure, struct node **out) MUST_USE;
/* True: a node of (device, inode) is known, at another place than `name` in `parent`; out_path is
   that place. */
bool table_elsewhere(struct table *t, struct node *parent, const char *name, uint64_t device,
                     uint64_t inode, char out_path[PATH_MAX]);
void table_forget(struct table *t, struct node *n, uint64_t lookups);
/* A reference to the node at this path, or, when there is none, to any with this number; NULL when
   the kernel does not know it. */
struct node *table_find(struct table *t, uint64_t device, uint64_t inode, const char *path);
void table_ref(struct table *t, struct node *n);
void table_unref(struct table *t, struct node *n);
/* Every node, each with a reference; *out is for mem_free after the unrefs. */
status table_all(struct table *t, struct node ***out, size_t *out_n) MUST_USE;

/* The parent, with a reference, and a copy of the name (NULL without memory); NULL for the root. */
struct node *table_place(struct table *t, struct node *n, char **out_name);

uint64_t node_device(const struct node *n);
uint64_t node_inode(const struct node *n);
/* "a/b.png"; "." for the root. LIMIT when longer than PATH_MAX. With a name: of that entry in n. */
status table_path(struct table *t, const struct node *n, const char *name,
                  char out[PATH_MAX]) MUST_USE;

/* ---- versions.c: what a file is served as ---- */
void table_remember(struct table *t, struct node *n, const struct node_version *v,
                    const struct node_known *known);
/* NOT_FOUND: never judged, or unsettled. EXISTS: another version was. */
status table_recall(struct table *t, struct node *n, const struct node_version *v,
                    struct node_known *out) MUST_USE;
/* Whether more than one version of it was judged. */
bool table_has_changed(struct table *t, struct node *n);
/* Whether the last version that was judged is an image: the kernel may believe its size. */
bool table_is_image(struct table *t, struct node *n);
/* Says that this is the file's version now: 0, or a number for table_told when the kernel may
   believe an older one. */
uint32_t table_stale(struct table *t, struct node *n, const struct node_version *v);
/* A notice that was sent after table_stale gave this number is through. */
void table_told(struct table *t, struct node *n, uint32_t number);
/* For directories: when its entries last changed, as far as we saw; 0 if never looked at. */
void table_set_changed(struct table *t, struct node *n, int64_t ns);
int64_t table_changed(struct table *t, struct node *n);

/* ---- page_cache.c: open files and the page cache ---- */
enum open_mode { OPEN_KEEP, OPEN_DROP, OPEN_DIRECT };
/* Counts a reader unless the answer is OPEN_DIRECT. OPEN_DROP: invalidate, then call
   table_dropped. */
enum open_mode table_open(struct table *t, struct node *n, const struct node_content *c);
void table_dropped(struct table *t, struct node *n, const struct node_content *c);
void table_close(struct table *t, struct node *n); /* not after OPEN_DIRECT */
bool table_has_readers(struct table *t, struct node *n);

#endif
