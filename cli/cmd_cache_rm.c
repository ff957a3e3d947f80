/* relearn cache rm, pin, unpin: all, a profile's, or single objects. */
#include "cmd_cache.h"

#include <inttypes.h>

#include "base/banned.h"

typedef status target_fn(struct cache *c, enum cache_scope scope, const struct cache_key *key,
                         uint64_t *done);

static status remove_target(struct cache *c, enum cache_scope scope, const struct cache_key *key,
                            uint64_t *done)
{
    uint64_t removed = 0;
    status st = cache_remove(c, scope, key, &removed);
    *done += removed;
    return st;
}

static status pin_target(struct cache *c, enum cache_scope scope, const struct cache_key *key,
                         uint64_t *done)
{
    status st = cache_pin(c, scope, key);
    *done += !st;
    return st;
}

static status unpin_target(struct cache *c, enum cache_scope scope, const struct cache_key *key,
                           uint64_t *done)
{
    status st = cache_unpin(c, scope, key);
    *done += !st;
    return st;
}

/* word: what "N objects were" in the result ("removed"). */
static int for_each_target(const struct cache_call *call, struct cache *c, target_fn *fn,
                           const char *word)
{
    uint64_t done = 0;
    status st = STATUS_OK;
    if (!call->n_keys)
        st = fn(c, call->all ? CACHE_ALL : CACHE_PROFILE,
                &(struct cache_key){.profile = call->profile}, &done);
    for (int i = 0; !st && i < call->n_keys; i++)
        st = fn(c, CACHE_KEY, &call->key[i], &done);
    if (st)
        return cache_work_failed("cannot do it to all that was named", st);
    if (call->json)
        cli_print_json(json_pack("{s:o}", word, cache_count(done)));
    else
        printf("%" PRIu64 " %s\n", done, word);
    return 0;
}

static int rm(const struct cache_call *call, struct cache *c)
{
    return for_each_target(call, c, remove_target, "removed");
}

static int pin(const struct cache_call *call, struct cache *c)
{
    return for_each_target(call, c, pin_target, "pinned");
}

static int unpin(const struct cache_call *call, struct cache *c)
{
    return for_each_target(call, c, unpin_target, "unpinned");
}

int cache_cmd_rm(int argc, char **argv)
{
    static const struct cache_subcommand sub = {
        .command = "relearn cache rm",
        .usage = "[--cache DIR] [--json] --all | --profile PROFILE | KEY…",
        .about = "Forgets objects, pinned ones too; they are purified again when they are read.",
        .takes = TAKES_ALL | TAKES_PROFILE | TAKES_KEYS,
        .writes = true,
        .makes_space = true,
        .work = rm};
    return cache_command(&sub, argc, argv);
}

/* There is no --all: with everything pinned a limit could not be kept. */
int cache_cmd_pin(int argc, char **argv)
{
    static const struct cache_subcommand sub = {
        .command = "relearn cache pin",
        .usage = "[--cache DIR] [--json] --profile PROFILE | KEY…",
        .about = "Keeps objects, also ones that are yet to come, from being evicted.",
        .takes = TAKES_PROFILE | TAKES_KEYS,
        .writes = true,
        .work = pin};
    return cache_command(&sub, argc, argv);
}

int cache_cmd_unpin(int argc, char **argv)
{
    static const struct cache_subcommand sub = {
        .command = "relearn cache unpin",
        .usage = "[--cache DIR] [--json] --all | --profile PROFILE | KEY…",
        .about = "Lets objects be evicted again.",
        .takes = TAKES_ALL | TAKES_PROFILE | TAKES_KEYS,
        .writes = true,
        .work = unpin};
    return cache_command(&sub, argc, argv);
}
