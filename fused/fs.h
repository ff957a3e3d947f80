#ifndef FUSED_FS_H
#define FUSED_FS_H
/*
 * The mounted view: what all FUSE callbacks share.
 *
 * Every request is answered exactly once. Callbacks that answer at once do it in their last
 * statement (fuse_reply_*). The two that may have to wait hand the request to a struct with one
 * answering function: OPEN to opening_answer (ops_open.c), READ to reading_answer (ops_read.c) and
 * list_answer (read_list.c); all first ask the park whether the reaper was faster (park.h).
 *
 * Errors become errno values here and nowhere else.
 */
#include "fuse_compat.h"

#include "devices.h"
#include "fused.h"
#include "inode.h"
#include "links.h"
#include "name_list.h"
#include "notify.h"
#include "park.h"
#include "pipeline.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

struct handle;
struct sweep;
struct watch;

/* What the kernel calls the virtual directory and its files; other nodes are addresses. */
enum {
    VIRTUAL_DIR = 2,
    VIRTUAL_STATUS,
    VIRTUAL_METRICS,
    VIRTUAL_PROFILE,
    VIRTUAL_END,
};
#define VIRTUAL_NAME ".relearn"

/* Encoded images from this size on are kept by the open file itself: encoding 100 MiB again for each
   128 KiB that are read would be absurd, and the memory that all share (bytes.h) does not keep what
   is so large. A mount that has them is not frozen. */
enum { HELD_BYTES_MIN = 16 << 20 };

/* A virtual file as it was last told, for READs without an OPEN. */
struct virtual_snapshot {
    struct buf text;
    uint64_t made_ns; /* wall clock; 0: never */
};
/* Used by a mount that freezes. */
struct virtual_files {
    pthread_mutex_t lock;
    struct virtual_snapshot snapshot[VIRTUAL_END]; /* guarded by lock */
};

/* What became of -o frozen, in this order. */
enum freeze {
    FREEZE_OFF,   /* not asked for */
    FREEZE_INIT,  /* wanted; the kernel has not said yet whether it can */
    FREEZE_SWEEP, /* until everything is purified and stored */
    FREEZE_DONE,  /* OPEN is not asked any more: READ comes without a handle (fh 0) */
    FREEZE_NOT,   /* nor will it be */
};
struct freezing {
    /* OFF or INIT before any thread is started. From INIT only the callback of INIT takes it on,
       from SWEEP only the sweep's thread, which thus decides nothing before the kernel has. */
    _Atomic(enum freeze) state;
    struct errmsg why_not; /* written before state becomes NOT, and not after */
};

/* What was asked for; set before any thread is started. */
struct view_options {
    double timeout; /* seconds the kernel may believe us where changes are watched */
    bool no_watch, sweeping;
    bool allow_other; /* others than the mounting user may be let in */
    bool strict;      /* what should have been purified and cannot be is an error */
    bool follow;      /* links that leave the source are shown as what they lead to */
};

struct view_paths {
    char *source, *mountpoint; /* absolute */
    char *log;                 /* NULL: stderr */
    char *socket;
};

/* Files by name, for the status. */
struct view_lists {
    struct name_list *group[FUSED_GROUP_COUNT]; /* judged files; NULL for images */
    struct name_list *failures;                 /* of ours, until the file is served after all */
};

struct open_files {
    pthread_mutex_t lock;
    struct handle *first; /* guarded by lock */
};

struct watching {
    struct watch *watch; /* NULL without */
    atomic_bool all;     /* every change reaches us */
    atomic_bool deep;    /* but for those in the deepest directories: watch_is_blind */
};

struct fs_counters {
    atomic_ullong lookups, opens, opens_waited, reads, read_bytes;
};

struct fs {
    struct fused_stack stack;
    struct fused_pipeline *pipeline; /* stack.pipeline */
    struct view_options opt;
    struct view_paths path;
    int root_fd;
    uint64_t root_device;
    struct devices devices;
    struct table *table;
    struct open_files files;
    struct park *park;
    struct fuse_session *session;
    struct notifier *notifier; /* once libfuse is set up */
    struct watching watching;
    struct sweep *sweep; /* NULL before it is started */
    struct freezing freezing;
    struct virtual_files virtual_files;
    struct view_lists lists;
    struct log_gate strict_gate;
    struct purify_service_stats before; /* of the self-test: not the user's */
    uint64_t started_ns;                /* wall clock */
    atomic_bool ending;                 /* long walks give up */
    struct fs_counters n;
};

/* The callbacks. */
extern const struct fuse_lowlevel_ops fs_ops;

static inline struct fs *fs_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}
/* Whether the mount is frozen, or going to be if nothing comes between. */
static inline bool fs_freezes(const struct fs *fs)
{
    enum freeze f = atomic_load(&fs->freezing.state);
    return f == FREEZE_SWEEP || f == FREEZE_DONE;
}
static inline bool is_virtual(fuse_ino_t ino)
{
    return ino >= VIRTUAL_DIR && ino < VIRTUAL_END;
}
static inline struct node *fs_node(struct fs *fs, fuse_ino_t ino)
{
    return ino == FUSE_ROOT_ID ? table_root(fs->table) : (struct node *)(uintptr_t)ino;
}
static inline fuse_ino_t fs_ino(const struct fs *fs, const struct node *n)
{
    return n == table_root(fs->table) ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)n;
}

/* ---- fs_open.c: all return 0 or an errno value ---- */
/* Opens what has this path; with O_PATH a link itself, unless it is one that is followed. ELOOP: it
   lies in a mount of relearnfs, which no thread of ours asks anything: its daemon may be waiting
   for us. */
int fs_open_path(struct fs *fs, const char *path, int flags, int *out_fd);
/* Where the link at this path leads, and the text that the view shows for it. */
int fs_link(struct fs *fs, const char *path, enum link_fate *out, char out_text[PATH_MAX]);
/* Takes *fd, a link, and *sb to what it leads to when that is outside the source: only for who
   asked for it. */
int fs_follow(struct fs *fs, const char *path, int *fd, struct stat *sb);
/* Opens a node's current name and checks that it still is that node (else ESTALE). out_path,
   PATH_MAX bytes, and sb are filled as well. fs_open_node: O_PATH; fs_open_node_data: for reading,
   must be regular. */
int fs_open_node(struct fs *fs, struct node *n, char *out_path, struct stat *sb, int *out_fd);
int fs_open_node_data(struct fs *fs, struct node *n, char *out_path, struct stat *sb, int *out_fd);
/* Opens a path for reading, with O_NOATIME where that is allowed. */
int fs_open_data(struct fs *fs, const char *path, int *out_fd);

/* ---- fs_judge.c: what a file is served as ---- */
/* What a regular file is served as: remembered, or found out by opening name under base_fd. Writes
   the served size to *sb. EIO and the like leave *sb as it is. */
int fs_judge(struct fs *fs, struct node *n, int base_fd, const char *name, struct stat *sb);
/* Writes a served size and the blocks that go with it. */
void fs_show_size(struct stat *sb, uint64_t size);
/* Finds out by its header what an open file is served as, now, and remembers it as n's. *out_stored:
   that is in the cache. */
int fs_judge_file(struct fs *fs, struct node *n, struct fused_file *io, bool *out_stored);
/* Opens a node's data, as fs_open_node_data, and finds out what it is served as: by what is
   remembered of this version, or by its header. *out_ready: nothing has to be read or purified
   before it can be told to be open. out->name is out_path. */
int fs_open_judged(struct fs *fs, struct node *n, char *out_path, struct fused_file *out,
                   bool *out_ready);
/* Remembers what a fetch (status OK) found out about node n; NULL: about a file that the kernel may
   not know. */
void fs_fetched(struct fs *fs, struct node *n, const struct fused_file *file);
/* The same when every image of a list has been stored. */
void fs_list_stored(struct fs *fs, const struct fused_file *file);
/* Enters a judged file into the lists of the status. */
void fs_note(struct fs *fs, const struct fused_file *file);
/* The same for a link that leaves the source and is not followed; fd is -1. */
struct fused_file fs_note_link(struct fs *fs, const char *path, const struct stat *sb);

/* ---- fs.c: what the kernel is told, and for how long it may believe it ---- */
/* Tells the kernel to forget, from any thread but a callback's; pages: content too. Drops the
   caller's reference to n; may be refused for want of memory. */
void fs_forget_cached(struct fs *fs, struct node *n, bool pages);
/* The inode number users see. */
uint64_t fs_shown_inode(const struct fs *fs, uint64_t device, uint64_t inode);
/* The node of what was found as name in parent; fd: anything on its file system. */
status fs_lookup_node(struct fs *fs, struct node *parent, const char *name, const struct stat *sb,
                      int fd, struct node **out) MUST_USE;
/* Completes an entry for node n with *sb as stat gave it: served attributes, number, timeouts.
   base_fd and name: where it can be opened. */
void fs_fill_entry(struct fs *fs, struct node *n, struct node *parent, int base_fd,
                   const char *name, const struct stat *sb, struct fuse_entry_param *e);
/* Ends at FREEZE_NOT, and says so in the log and the status. */
void fs_not_frozen(struct fs *fs, const char *why);
/* Seconds that something which last changed at these times may be believed. */
double fs_timeout(const struct fs *fs, const struct stat *sb);
bool fs_is_recent(int64_t ns);
int64_t fs_changed_ns(const struct stat *sb);
int fs_errno(status st);

/* ---- the callbacks, by file ---- */
void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup);
void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readlink(fuse_req_t req, fuse_ino_t ino);
void op_statfs(fuse_req_t req, fuse_ino_t ino);
void op_access(fuse_req_t req, fuse_ino_t ino, int mask);
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                    struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
/* size bytes from off of what there is. */
void reply_slice(fuse_req_t req, const void *data, size_t len, size_t size, off_t off);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
/* The attributes of a node that has no name any more, from a file that is open; false: there is
   none. */
bool files_stat(struct fs *fs, struct node *n, struct stat *out);
/* Frees the files that the kernel had open when the connection ended: it says no RELEASE for
   them. */
void files_end(struct fs *fs);

/* ---- virtual.c ---- */
/* name: in VIRTUAL_DIR; NULL: VIRTUAL_DIR itself. */
void virtual_lookup(fuse_req_t req, const char *name);
void virtual_getattr(fuse_req_t req, fuse_ino_t ino);
void virtual_readdir(fuse_req_t req, size_t size, off_t off, bool plus);
/* Answers a READ from the text as it was when its size was last told. */
void virtual_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off);
void virtual_end(struct fs *fs);
/* The text of a virtual file. */
status virtual_text(struct fs *fs, fuse_ino_t ino, struct buf *out) MUST_USE;

/* ---- report.c ---- */
status report_json(struct fs *fs, struct buf *out) MUST_USE;
status report_metrics(struct fs *fs, struct buf *out) MUST_USE;

#endif
