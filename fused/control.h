#ifndef FUSED_CONTROL_H
#define FUSED_CONTROL_H
/*
 * The control socket: a UNIX stream socket (mode 0600, and only the daemon's user and root are
 * answered), one JSON object per line in, one per line out.
 *
 *     {"cmd":"status"}                        the object of status.json
 *     {"cmd":"warm","paths":["a/b.png",...]}  {"ok":true,"total":N,"done":N,"failed":N,
 *                                              "not_stored":N,"group":{"image":N,"label":N,...}}
 *     {"cmd":"warm-state"}                    the same
 *     {"cmd":"warm-check","paths":[...]}      {"ok":true,"files":N,"cached":N,"absent":N,
 *                                              "missing":N,"group":{...}}
 *     {"cmd":"names","group":"not_purified","after":N}
 *                                             {"ok":true,"names":[{"path":..,"why":..},..],"last":N}
 *                                             a page of names; none: that was all
 *     {"cmd":"stop"}                          {"ok":true}, then the mount ends
 *     anything else                           {"ok":false,"error":"..."}
 *
 * Without "paths" the whole tree is meant. A path that is not UTF-8 is {"hex":"61ff"} (json_name.h);
 * one that cannot be opened, being too long for instance, counts as failed or missing.
 *
 * Input is not trusted: a line has at most CONTROL_LINE_MAX bytes, a connection that says nothing
 * for half a minute is closed, and there are at most CONTROL_CONNECTIONS of them.
 */
#include "fused.h"

struct fs;
struct control;

/* A request line, taken apart: what does not look at the mount, for the fuzzer too. */
enum control_command {
    CONTROL_STATUS,
    CONTROL_WARM,
    CONTROL_WARM_STATE,
    CONTROL_WARM_CHECK,
    CONTROL_NAMES,
    CONTROL_STOP,
    CONTROL_COMMAND_COUNT
};
struct control_request {
    enum control_command command;
    bool all;    /* no list: the whole tree */
    char **path; /* [n], owned; never empty */
    size_t n;
    int group;      /* NAMES: an enum fused_group, or FUSED_GROUP_COUNT for failures */
    uint64_t after; /* the same */
};
/* INVALID, with what is wrong. */
status control_parse(const char *line, size_t len, struct control_request *out,
                     struct errmsg *e) MUST_USE;
void control_request_done(struct control_request *r);
enum { CONTROL_LINE_MAX = 4 << 20, CONTROL_CONNECTIONS = 8 };

/* $XDG_RUNTIME_DIR/relearnfs/HASH.sock where that directory is ours, or HASH.sock in the cache
   directory, or, where that cannot be written, in /run/user/UID/relearnfs, /run/relearnfs (root) or
   /tmp/relearnfs-UID; HASH is of the mountpoint's path. Sets fs->path.socket. on_stop is called, on
   a thread of the control, when a client says stop. */
status control_start(struct fs *fs, void (*on_stop)(void *arg), void *arg, struct control **out,
                     struct errmsg *e) MUST_USE;
/* Ends all connections and removes the socket. */
void control_stop(struct control *c);

/* One request line without its newline -> one answer line without its newline. For the tests,
   too. */
status control_answer(struct fs *fs, const char *line, size_t len, struct buf *out,
                      int *out_stop) MUST_USE;

/* ---- control_socket.c ---- */
/* Where sockets are: see control_start. */
status control_socket_dir(const char *cache_dir, char **out) MUST_USE;
/* The directory (created, 0700) and name of the socket for a mountpoint. DENIED: the directory is
   not ours alone. */
status control_socket_path(const char *mountpoint, const char *cache_dir, char **out,
                           struct errmsg *e) MUST_USE;
/* A socket that listens at this path, with mode 0600. */
status control_listen(const char *path, int *out_fd, struct errmsg *e) MUST_USE;

#endif
