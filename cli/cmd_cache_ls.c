/* relearn cache ls: the profiles that have objects in a cache, or the objects. */
#include "cmd_cache.h"
#include "purify/purify.h"

#include <inttypes.h>

#include "base/banned.h"

struct profile_row {
    struct digest id;
    char name[64]; /* "" when no profile here has this id */
    uint64_t objects, bytes, pinned;
};

struct listing {
    const struct digest *only; /* or NULL */
    int json;
    uint64_t printed;
    struct buf rows; /* of struct profile_row */
};

static struct profile_row *find_profile(struct listing *l, const struct digest *id)
{
    struct profile_row *row = (struct profile_row *)(void *)l->rows.data;
    for (size_t i = 0; i < l->rows.len / sizeof *row; i++)
        if (digest_equal(&row[i].id, id))
            return &row[i];
    return NULL;
}

static status count_one(void *arg, const struct cache_entry *entry)
{
    struct listing *l = arg;
    struct profile_row *row = find_profile(l, &entry->key.profile);
    if (!row) {
        struct profile_row fresh = {.id = entry->key.profile};
        status st = buf_add(&l->rows, &fresh, sizeof fresh);
        if (st)
            return st;
        row = find_profile(l, &entry->key.profile);
    }
    row->objects++;
    row->bytes += entry->bytes;
    row->pinned += entry->pinned;
    return stop_requested() ? STATUS_CANCELLED : STATUS_OK;
}

static void name_profile(const char *name, const char *path, void *arg)
{
    struct purify_profile p;
    if (purify_profile_load(path, &p, NULL))
        return;
    struct profile_row *row = find_profile(arg, &p.id);
    if (row && !row->name[0])
        snprintf(row->name, sizeof row->name, "%s", name);
}

static void print_profiles(struct listing *l)
{
    json_t *all = l->json ? json_array() : NULL;
    const struct profile_row *row = (const struct profile_row *)(const void *)l->rows.data;
    for (size_t i = 0; i < l->rows.len / sizeof *row; i++) {
        char hex[DIGEST_HEX_LEN + 1], bytes[32];
        digest_hex(&row[i].id, hex);
        if (all)
            json_array_append_new(all, json_pack("{s:s, s:s, s:o, s:o, s:o}", "id", hex, "name",
                                                 TEXT_SHOWN(row[i].name), "objects",
                                                 cache_count(row[i].objects), "bytes",
                                                 cache_count(row[i].bytes), "pinned",
                                                 cache_count(row[i].pinned)));
        else
            printf("%s  %-12s %10" PRIu64 " objects  %10s%s\n", hex,
                   row[i].name[0] ? TEXT_SHOWN(row[i].name) : "-", row[i].objects,
                   text_bytes(row[i].bytes, bytes), row[i].pinned ? "  pinned" : "");
    }
    if (all)
        cli_print_json(all);
}

/* A line at a time: a cache has millions. */
static status print_object(void *arg, const struct cache_entry *x)
{
    struct listing *l = arg;
    char key[CACHE_KEY_TEXT];
    if (l->only && !digest_equal(l->only, &x->key.profile))
        return STATUS_OK;
    cache_key_text(&x->key, key);
    const struct cache_shape s = x->shape;
    if (l->json)
        printf("%s{\"key\": \"%s\", \"width\": %u, \"height\": %u, \"channels\": %u, \"bytes\": "
               "%" PRIu64 ", \"used\": %" PRIu64 ", \"pack\": %u, \"offset\": %" PRIu64
               ", \"pinned\": %s}",
               l->printed ? ",\n" : "", key, s.width, s.height, s.channels, x->bytes, x->used,
               x->pack, x->offset, x->pinned ? "true" : "false");
    else
        printf("%s %ux%ux%u%s\n", key, s.width, s.height, s.channels, x->pinned ? " pinned" : "");
    l->printed++;
    return stop_requested() ? STATUS_CANCELLED : STATUS_OK;
}

static status list_objects(struct cache *c, struct listing *l)
{
    if (l->json)
        putchar('[');
    status st = cache_list(c, print_object, l);
    if (l->json)
        puts("]");
    return st;
}

static status list_profiles(struct cache *c, struct listing *l)
{
    status st = cache_list(c, count_one, l);
    if (st)
        return st;
    status_ignore(purify_profile_list(name_profile, l), "then they have no names");
    print_profiles(l);
    return STATUS_OK;
}

static int ls(const struct cache_call *call, struct cache *c)
{
    struct listing l = {.json = call->json, .rows = BUF_INIT(SIZE_MAX / 2)};
    l.only = call->profile_name ? &call->profile : NULL;
    stop_install();
    status st = call->objects || l.only ? list_objects(c, &l) : list_profiles(c, &l);
    buf_done(&l.rows);
    return st ? cache_work_failed("cannot list the cache", st) : 0;
}

int cache_cmd_ls(int argc, char **argv)
{
    static const struct cache_subcommand sub = {
        .command = "relearn cache ls",
        .usage = "[--cache DIR] [--objects] [--profile PROFILE] [--json]",
        .about = "Lists the profiles that have objects in the cache, or the objects.",
        .takes = TAKES_OBJECTS | TAKES_PROFILE,
        .work = ls};
    return cache_command(&sub, argc, argv);
}
