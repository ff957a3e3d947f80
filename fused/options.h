#ifndef FUSED_OPTIONS_H
#define FUSED_OPTIONS_H
/* relearnfsd's command line, also in the form that mount(8) uses for its helpers. */
#include "base/base.h"

#include <stdbool.h>

struct daemon_options {
    char *source, *mountpoint;
    char *profile;   /* NULL: default */
    char *cache_dir; /* NULL: default */
    char *log_path;  /* NULL: in the cache directory; only without -f */
    uint64_t cache_bytes, encoded_bytes;
    int threads;
    double timeout; /* seconds */
    bool sweep, watch, frozen;
    bool foreground, debug, allow_other, noexec;
    bool fake; /* mount -f: do everything but mount */
};

/* On GO the strings are owned: options_done. Otherwise the value is the exit status, and what there
 * is to say was said. */
enum { OPTIONS_GO = -1 };
int options_parse(int argc, char **argv, struct daemon_options *out);
void options_done(struct daemon_options *o);

/* One -o list ("a,b=c"; a backslash takes the next byte as it is) into *o. INVALID, with a
 * sentence. */
status options_list(struct daemon_options *o, const char *list, struct errmsg *e) MUST_USE;

#endif
