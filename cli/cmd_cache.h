#ifndef CLI_CMD_CACHE_H
#define CLI_CMD_CACHE_H
/*
 * The subcommands of `relearn cache`: a description of each, and its work on an open cache. Reading
 * the command line and finding and opening the cache is cache_command's, once for all of them.
 */
#include "cache/cache.h"
#include "cli.h"

#include <stdbool.h>

/* What a subcommand takes besides --cache and --json. */
enum cache_takes {
    TAKES_OBJECTS = 1,
    TAKES_PROFILE = 2,
    TAKES_REPAIR = 4,
    TAKES_LIMIT = 8,
    TAKES_ASIDE = 16,
    TAKES_ALL = 32,
    TAKES_KEYS = 64, /* exactly one of the options it takes, or keys */
};

/* What the command line says; what is absent is 0 and NULL. */
struct cache_call {
    const char *dir, *profile_name;
    int json, objects, repair, aside, all;
    uint64_t limit;
    struct digest profile; /* of profile_name */
    struct cache_key *key; /* n_keys of them */
    int n_keys;
};

/* Prints its result and gives the exit status. */
typedef int cache_work_fn(const struct cache_call *call, struct cache *c);

struct cache_subcommand {
    const char *command, *usage, *about; /* as in struct cli_spec */
    unsigned takes;
    bool writes;      /* else it is opened read-only, unless with --repair */
    bool makes_space; /* it frees space: it may delete a pack to be able to open the cache */
    cache_work_fn *work;
};

int cache_command(const struct cache_subcommand *sub, int argc, char **argv);

/* Prints that the cache failed, and gives the exit status. */
int cache_work_failed(const char *what, status st);

/* Keys as `ls --objects` prints them: PROFILE/PIXELS. */
enum { CACHE_KEY_TEXT = 2 * DIGEST_HEX_LEN + 2 };
void cache_key_text(const struct cache_key *k, char out[CACHE_KEY_TEXT]);

json_t *cache_count(uint64_t n);

cli_run_fn cache_cmd_ls, cache_cmd_verify, cache_cmd_gc, cache_cmd_rebuild, cache_cmd_rm,
    cache_cmd_pin, cache_cmd_unpin;

#endif
