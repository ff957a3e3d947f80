#ifndef FUSED_FUSED_H
#define FUSED_FUSED_H
/*
 * fused: the purified view of a directory. Three things are public:
 *
 * - the pipeline: one source file in, the bytes that are served for it out. It knows nothing of
 *   FUSE; the daemon relearnfsd and `relearn purify` are both thin users of it, which is why they
 *   give the same bytes;
 * - the copy of a whole tree through the pipeline (`relearn purify`);
 * - the client side of a mount: start it, ask it, warm it, end it.
 *
 * Promises kept here (design, section 1): a source is only ever opened for reading, with O_NOATIME
 * where that is allowed; the size told by fused_examine is the number of bytes fused_fetch gives;
 * what cannot be purified is served byte for byte; a failure of ours is an error, never pixels.
 *
 * Threads: every call may be made from any thread unless it says otherwise.
 */
#include "base/base.h"
#include "cache/cache.h"
#include "image/image.h"
#include "purify/purify.h"

#include <stdbool.h>

struct stat;

/* ==== which files ==== */
/*
 * The user's rules: what is purified and what is passed through, by name. They belong to a run or a
 * mount, not to a profile. Globs are those of fnmatch(3); one without a '/' matches any
 * component of a path, one with a '/' the path or a directory that leads to it ("train/masks" is
 * everything below it). An include wins over every exclude.
 *
 *     struct fused_rules r = {0};
 *     st = fused_rules_add(&r, false, "SegmentationClass:*.depth.png", &e);
 *     ... fused_rules_match(&r, "a/x.depth.png") == FUSED_RULE_EXCLUDE ...
 *     fused_rules_done(&r);
 *
 * Any number of threads may match at the same time.
 */
struct fused_rule_row;
struct fused_rules {
    struct fused_rule_row **row; /* [n], owned */
    size_t n;
};
enum fused_rule {
    FUSED_RULE_NONE,
    FUSED_RULE_EXCLUDE,
    FUSED_RULE_INCLUDE, /* by a folder that it is in: as if there were no exclude */
    FUSED_RULE_INSIST,  /* by its own name: purified although it looks like an image of labels */
};
/* globs: one or more, separated by ':' (a backslash before it takes it as it is). INVALID: an empty
   one. What was added before stays. */
status fused_rules_add(struct fused_rules *r, bool include, const char *globs,
                       struct errmsg *e) MUST_USE;
/* path: relative to the source, "a/b.png". r NULL: no rules. */
enum fused_rule fused_rules_match(const struct fused_rules *r, const char *path);
void fused_rules_done(struct fused_rules *r);

/* ==== a purifier, a cache and a pipeline ==== */

struct fused_pipeline;

struct fused_stack_options {
    const char *profile;             /* as purify_profile_load; NULL: "default" */
    const char *cache_dir;           /* NULL: path_cache_dir() */
    uint64_t cache_bytes;            /* as cache_options.max_bytes; 0: the default */
    uint64_t min_free_bytes;         /* the same */
    uint64_t encoded_bytes;          /* encoded images kept in memory; 0: 256 MiB */
    int threads;                     /* of the purifier; 0: one per CPU */
    uint64_t max_pixels;             /* larger images pass through; 0: what the purifier takes */
    bool immutable;                  /* as struct pipeline_options */
    const struct fused_rules *rules; /* NULL: none; outlives the stack */
    bool idle_sweep;                 /* sweep jobs give way to other processes */
    bool unconfined;                 /* images are decoded in this process, not in a jail */
};

/* Everything that serving needs, opened in order. cache_dir is owned. */
struct fused_stack {
    struct purify_profile profile;
    struct purify_model *model;
    struct purify_service *service;
    struct cache *cache;    /* NULL: it could not be opened, and nothing is kept */
    struct errmsg no_cache; /* why; "" when all is well */
    struct fused_pipeline *pipeline;
    struct jail *jail; /* NULL: none */
    char *cache_dir;
};
/* Starts the decoders' processes, loads profile and model, opens the cache, starts the threads. The
   caller must not fork afterwards, and its thread must live until the stack is closed. Where the
   system does not let decoders be confined, that is logged, and they are not. */
status fused_stack_open(const struct fused_stack_options *opt, struct fused_stack *out,
                        struct errmsg *e) MUST_USE;
/* Ends what runs (waiting fetches are answered CANCELLED), writes what the cache has queued. The
   struct is empty afterwards; an empty or half-opened one is allowed. */
status fused_stack_close(struct fused_stack *s);

/* ==== the pipeline ==== */
/*
 *     file -> fused_examine: header, rules -> group, size
 *                  | image
 *             fused_fetch_start -> read, SHA-256 of the bytes -> memo: pixel digest -> cache -> encode
 *                                                                 | unknown           | not there
 *                                                          decode, digest -> single flight -> purifier
 *
 * Which pixels are served is decided by the file's bytes alone: its name, number and times only say
 * whether they have to be read again. Single flight: files of the same pixels that are wanted at
 * the same time are purified once.
 */

/* What a file is counted as. All groups but the first are served byte for byte. */
enum fused_group {
    FUSED_GROUP_IMAGE,      /* purified and encoded again */
    FUSED_GROUP_LABEL,      /* an image of labels: palette, fewer than 8 bits, 16 bits a sample */
    FUSED_GROUP_EXCLUDED,   /* by a rule */
    FUSED_GROUP_OTHER,      /* no image */
    FUSED_GROUP_UNPURIFIED, /* an image, or a file of images, that could not be purified */
    FUSED_GROUP_COUNT
};
/* "images", "label images", ... for tables and JSON keys: "image", "label", "excluded", "other",
   "not_purified". */
const char *fused_group_name(enum fused_group g);

enum { FUSED_REASON_MAX = 56 };

struct fused_verdict {
    enum fused_group group;
    /* Bytes that reading it will give. For one version of a file it never changes: an image that
       turns out damaged when it is decoded is served as it is, followed by FUSED_PAD bytes. */
    uint64_t size;
    struct image_info info;        /* FUSED_GROUP_IMAGE; of each image of a list */
    struct image_list list;        /* of a file that holds many images; else its count is 0 */
    bool has_source;               /* `source` is known; never of a list */
    bool has_pixels;               /* `pixels` is known */
    struct digest source;          /* of the file's bytes */
    struct digest pixels;          /* of its decoded pixels */
    char reason[FUSED_REASON_MAX]; /* FUSED_GROUP_UNPURIFIED: why; else "" */
};

/* What follows the bytes of a damaged image: for JPEG readers, fill bytes before a marker that does
   not come, so that a file which was cut short stays so. */
enum { FUSED_PAD = 0xff };

/* The identity of an open file as its fstat says it. */
struct cache_file_id fused_file_id(const struct stat *sb);
bool fused_same_file(const struct cache_file_id *a, const struct cache_file_id *b);
/* When it last changed: the later of its times, since mtime can be set. */
int64_t fused_changed_ns(const struct cache_file_id *id);

/* An open source file and what is known of it. fd and name are the caller's. */
struct fused_file {
    int fd;
    const char *name; /* relative to the source: for the rules, the log and the status */
    struct cache_file_id id;
    struct fused_verdict verdict;
};
/* sb: what fstat says of fd. The verdict is empty. */
struct fused_file fused_file_of(int fd, const char *name, const struct stat *sb);

/*
 * The verdict of a regular file, told by its header and its name (for the rules and the kinds that
 * only a name tells). A few small reads. NOMEM, IO: could not be decided.
 */
status fused_examine(struct fused_pipeline *p, struct fused_file *io, struct errmsg *e) MUST_USE;
/* Completes an image's verdict by `source`, for which the whole file is read in small pieces, and
   by what the memo knows of it (`pixels`, or that it is damaged). AGAIN: it changed meanwhile. Does
   nothing for a file of many images. */
status fused_identify(struct fused_pipeline *p, struct fused_file *io, struct errmsg *e) MUST_USE;
/* Whether an image's purified pixels are stored (nothing is read). False for other groups and while
   its pixels are not known. */
bool fused_is_cached(struct fused_pipeline *p, const struct fused_verdict *v);
/* Up to n bytes at off of a file that is served as it is: its own, then FUSED_PAD up to told_size.
 *out_n < n only at that end. */
status fused_read_original(int fd, uint64_t file_size, uint64_t told_size, void *buf, size_t n,
                           uint64_t off, size_t *out_n) MUST_USE;

/* Served bytes, shared by reference count. Read-only. */
struct fused_bytes {
    size_t len;
    const uint8_t *data;
};
void fused_bytes_unref(struct fused_bytes *b);

/*
 * One request: for the image that a file is, or for one of many that it holds. The caller keeps fd,
 * name and the struct alive until done(). done() is called exactly once for every
 * fused_fetch_start, perhaps before it returns, otherwise on a thread of the pipeline or the
 * purifier, with no lock held; it may start other fetches. Its status:
 *
 *     OK, FUSED_GROUP_IMAGE       bytes (a reference for the caller) when want_bytes, else NULL;
 *                                 the verdict's digests are known. Of one image of many: the bytes
 *                                 that stand in its place, list.bytes of them, and `pixels`
 *     OK, FUSED_GROUP_UNPURIFIED  the body turned out damaged: fused_read_original, verdict.reason
 *     AGAIN                       the file changed while it was read
 *     others                      our failure, already logged; `err` says why
 */
struct flight;
struct fused_fetch;
typedef void fused_done_fn(struct fused_fetch *f, status st);
struct fused_fetch {
    struct fused_file file; /* examined, FUSED_GROUP_IMAGE; its verdict is completed by done() */
    uint64_t index;         /* which of file.verdict.list; 0 */
    bool want_bytes;        /* false: only make sure that it is stored */
    bool same_bytes;        /* verdict.source is known and has to be right, else AGAIN */
    fused_done_fn *done;
    void *arg;
    /* results */
    struct fused_bytes *bytes;
    struct errmsg err;
    /* private to the pipeline */
    enum purify_priority priority;
    struct image img;
    uint8_t *metadata;
    uint64_t admitted;
    bool large; /* its size class, which decoding does not change */
    bool finished;
    bool abandoned; /* since fused_fetch_init */
    struct flight *flight;
    struct fused_fetch *next;
};
/* A request for bytes; the caller may change want_bytes and same_bytes before it is started. */
void fused_fetch_init(struct fused_fetch *f, const struct fused_file *file, uint64_t index,
                      fused_done_fn *done, void *arg);
/* Always takes a thread of the pipeline, also for what is stored: fused_fetch_now and
   fused_is_cached come first where the verdict knows enough for them. May be started again when it
   is done. */
void fused_fetch_start(struct fused_pipeline *p, struct fused_fetch *f, enum purify_priority prio);
/* Nobody waits for it any more: it goes on, or begins, behind all that somebody waits for. From any
   thread that keeps f alive meanwhile. */
void fused_fetch_abandon(struct fused_pipeline *p, struct fused_fetch *f);
/* Answers at once from memory, or from the cache where that is little work, or NOT_FOUND: then
   fused_fetch_start is needed. Never waits for the purifier or decodes. */
status fused_fetch_now(struct fused_pipeline *p, const struct fused_file *file,
                       struct fused_bytes **out, struct errmsg *e) MUST_USE;

/* ==== a tree without a mount ==== */

/* What an image of this size costs the purifier, in tiles; in pixels without a model. */
uint64_t fused_work(const struct purify_model *model, int width, int height);

/* Called for each file that is not in FUSED_GROUP_IMAGE or FUSED_GROUP_OTHER, with the reason for
   those that are not purified, else "". path is relative to the source: bytes, not text. */
typedef void fused_named_fn(void *arg, enum fused_group group, const char *path, const char *why);
/* Called for each file that could not be read or written. */
typedef void fused_failed_fn(void *arg, const char *path, const char *why);

struct fused_copy_result {
    uint64_t files;                    /* regular files, and links that leave src, seen so far */
    uint64_t group[FUSED_GROUP_COUNT]; /* what was written, or, when strict, left out */
    uint64_t skipped;                  /* sockets, FIFOs, devices */
    uint64_t failed;                   /* files and directories; named */
    uint64_t done;                     /* files, whatever became of them */
    uint64_t work;                     /* of them, fused_work */
    uint64_t files_total, work_total;  /* 0 while they are not known */
};
struct fused_copy {
    const char *src; /* a file, or a directory whose contents are copied */
    const char *dst; /* of a file: the new file, or an existing directory to put it in; of a tree:
                        its new root */
    const char *cache_dir;            /* NULL: path_cache_dir(); may not lie in either */
    const struct fused_rules *rules;  /* those of the pipeline; NULL: none */
    const struct purify_model *model; /* what work is told by; NULL: pixels */
    uint64_t max_pixels;              /* those of the pipeline; 0: all that can be purified */
    bool follow; /* links that leave src: what they lead to is copied, purified */
    bool strict; /* what is an image and cannot be purified is not copied */
    /* Called from the calling thread, now and then; may be NULL. */
    void (*progress)(void *arg, const struct fused_copy_result *now);
    /* From any thread, one at a time; may be NULL. */
    fused_named_fn *named;
    fused_failed_fn *failed;
    int (*stop)(void *arg); /* nonzero: ends early with CANCELLED; may be NULL */
    void *arg;
};
/*
 * Whether src can be copied to dst, before anything is made: neither lies in the other, nor the
 * cache in one of them, by whatever way (links, bind mounts). *out_to, for mem_free, is what will
 * be written: for a file that goes into a directory, its path there. INVALID, NOT_FOUND, DENIED.
 */
status fused_copy_check(const char *src, const char *dst, const char *cache_dir, char **out_to,
                        bool *out_tree, struct errmsg *e) MUST_USE;
/*
 * Writes what a mount of src would show: the same bytes, times, links and modes (but no
 * set-user-id, set-group-id or sticky bit). Symbolic links that lead into src are links in dst,
 * relative ones where they have to be; those that leave it are copied as they are, counted and
 * named, or followed. Hard links become files of their own; holes stay holes.
 *
 * Every file is one version of its source, or named as one that changed while it was read. It is
 * written under a temporary name and renamed; no link that is in dst is followed (dest.h). A run that is
 * repeated writes every file again but purifies nothing twice: what the first run purified is in
 * the cache.
 *
 * OK even when single files failed: see the result. CANCELLED, NO_SPACE, or DENIED for a read-only
 * file system: it ended early, at once, and the pipeline is stopped. Otherwise as fused_copy_check.
 */
status fused_copy_tree(struct fused_pipeline *p, const struct fused_copy *copy,
                       struct fused_copy_result *out, struct errmsg *e) MUST_USE;

/*
 * DST.purification.json, beside the tree dst that a copy wrote, says what was done to it, for those who
 * train on it (train/origin.h): {"version", "source", "profile" (as in status.json), "profile_text",
 * "images", "not_purified", "failed"}. What is of no Unicode is left out.
 */
status fused_purification_write(const struct fused_copy *copy, const struct purify_profile *profile,
                                const struct fused_copy_result *r, struct errmsg *e) MUST_USE;
/* Before a copy of a tree: what was said of dst is no longer so. */
status fused_purification_remove(const struct fused_copy *copy, struct errmsg *e) MUST_USE;

/* ==== what would be purified of a tree ==== */

struct fused_scan_result {
    uint64_t files; /* regular files, and links that leave the source */
    uint64_t group[FUSED_GROUP_COUNT];
    uint64_t skipped, failed; /* as of fused_copy_result */
    uint64_t bytes;           /* of all files */
    uint64_t pixels, work;    /* of FUSED_GROUP_IMAGE; fused_work */
    uint64_t largest_work;    /* of a single one */
    uint64_t cache_bytes;     /* what their purified pixels take in a cache, if no two are alike */
    bool whole;               /* nothing was left out */
};
struct fused_scan {
    const char *src; /* a directory or a file */
    const struct fused_rules *rules;
    const struct purify_model *model; /* what work is told by; NULL: pixels */
    uint64_t max_pixels;              /* larger images are not purified; 0: the purifier's limit */
    uint64_t entries_max;             /* of the walk; 0: all */
    bool follow;                      /* as of fused_copy */
    void (*progress)(void *arg, const struct fused_scan_result *now); /* may be NULL, as all */
    fused_named_fn *named;
    fused_failed_fn *failed;
    int (*stop)(void *arg); /* nonzero: CANCELLED */
    void *arg;
};
/* What would be purified of src, told by headers and names; no purifier is needed. Callbacks come
   from the calling thread. The result counts as a copy or a mount does, but for images whose damage
   only decoding finds. */
status fused_scan(const struct fused_scan *scan, struct fused_scan_result *out,
                  struct errmsg *e) MUST_USE;

/* ==== mounts ==== */

struct fused_mount_options {
    const char *source, *mountpoint;
    const char *profile;        /* NULL: default */
    const char *cache_dir;      /* NULL: default */
    const char *const *options; /* each "a,b=c" as after -o */
    int n_options;
    bool foreground; /* does not return: the calling process becomes the daemon */
};
/* Runs relearnfsd, which stands beside the running program. Returns when the mount answers and has
   purified a first image, or with the daemon's exit status in *out_exit (it has said why on
   stderr). */
status fused_mount(const struct fused_mount_options *opt, int *out_exit, struct errmsg *e) MUST_USE;
/* Unmounts and waits until the daemon has written its cache and is gone. BUSY: files are open.
   NOT_FOUND: no mount of ours there. */
status fused_umount(const char *mountpoint, struct errmsg *e) MUST_USE;

/* Mounts of relearnfs on this machine, dead ones too. mountpoint lives during the call. */
typedef void fused_mounts_fn(void *arg, const char *mountpoint, const char *source);
status fused_mounts(fused_mounts_fn *fn, void *arg) MUST_USE;

/* The files of a group by name, all that the mount knows of, oldest first. group: a name of
   fused_group_name but "image", or "failures". name (bytes, relative to the source) and why live
   during the call. */
typedef void fused_names_fn(void *arg, const char *name, const char *why);
status fused_names(const char *mountpoint, const char *group, fused_names_fn *fn, void *arg,
                   struct errmsg *e) MUST_USE;

/* The status of a mount as one JSON object, appended to out (text). DENIED: another user's. */
status fused_status(const char *mountpoint, struct buf *out, struct errmsg *e) MUST_USE;

struct fused_warm_state {
    /* Of the files announced through warm since the mount was made. */
    uint64_t total, done;
    uint64_t failed;                   /* could not be opened, or purified for our reasons */
    uint64_t not_stored;               /* images, purified or not, that are not in the cache now */
    uint64_t group[FUSED_GROUP_COUNT]; /* of those done and not failed */
};
/* Queues paths (relative to the mount's root, in the order a job will read them), in one or more
   requests; n 0: the whole tree. */
status fused_warm(const char *mountpoint, const char *const *paths, size_t n,
                  struct errmsg *e) MUST_USE;
status fused_warm_state(const char *mountpoint, struct fused_warm_state *out,
                        struct errmsg *e) MUST_USE;
struct fused_warm_check {
    uint64_t files;
    uint64_t cached, absent;           /* images: stored, still to be purified */
    uint64_t missing;                  /* no such file */
    uint64_t group[FUSED_GROUP_COUNT]; /* of those that are there */
};
/* How many of the paths (n 0: of the whole tree) need no purifying; adds to *io. */
status fused_warm_check(const char *mountpoint, const char *const *paths, size_t n,
                        struct fused_warm_check *io, struct errmsg *e) MUST_USE;
/* Paths of one request to fused_warm and fused_warm_check that is sent at once. */
enum { FUSED_WARM_BATCH = 4096 };

#endif
