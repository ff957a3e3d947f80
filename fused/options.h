#ifndef FUSED_OPTIONS_H
#define FUSED_OPTIONS_H
/* relearnfsd's command line, also in the form that mount(8) uses for its helpers. */
#include "fused.h"

struct daemon_options {
    char *source, *mountpoint;
    char *profile;           /* NULL: default */
    char *cache_dir;         /* NULL: default */
    char *log_path;          /* NULL: in the cache directory; only without -f */
    uint64_t cache_bytes;    /* 0: the cache's default */
    uint64_t min_free_bytes; /* the same */
    uint64_t encoded_bytes;
    uint64_t max_pixels; /* of an image that is purified; 0: the purifier's default */
    int threads;
    double timeout; /* seconds */
    struct fused_rules rules;
    bool sweep, watch, frozen;
    bool immutable, strict, follow, nonempty;
    bool foreground, debug, allow_other, noexec;
    bool fake; /* mount -f: do everything but mount */
};

/* On GO the strings are owned: options_done. Otherwise the value is the exit status, and what there
 * is to say was said. */
enum { OPTIONS_GO = -1 };
int options_parse(int argc, char **argv, struct daemon_options *out);
void options_done(struct daemon_options *o);

/* One -o list ("a,b=c"; a backslash takes the next byte as it is) into *o. INVALID, with a
 * sentence that says what would be right. */
status options_list(struct daemon_options *o, const char *list, struct errmsg *e) MUST_USE;

status options_take_string(char **to, const char *value) MUST_USE; /* replaces what is there */

/* What does not go together: INVALID, with a sentence. */
status options_check(const struct daemon_options *o, struct errmsg *e) MUST_USE;

#endif
