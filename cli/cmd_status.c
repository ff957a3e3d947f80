/* relearn status: what the mounts are doing. */
#include "cli.h"
#include "fused/fused.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "base/banned.h"

enum { NAMES_SHOWN = 10 };

static uint64_t number(const json_t *j, const char *group, const char *key)
{
    json_int_t v = json_integer_value(json_object_get(json_object_get(j, group), key));
    return v > 0 ? (uint64_t)v : 0;
}

static const char *text(const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));
    return s ? s : "";
}

/* Numbers and names come from the same object: what is not purified first. */
static const struct {
    const char *key, *title;
} groups[] = {
    {"not_purified", "NOT PURIFIED"}, {"failures", "failures"}, {"label", "labels"},
    {"excluded", "excluded"},         {"other", "other files"},
};

static void print_names(const json_t *j, const char *key, const char *title)
{
    const json_t *group = json_object_get(j, key), *recent = json_object_get(group, "recent"),
                 *entry;
    uint64_t count = number(j, key, "count");
    size_t i;
    if (!count)
        return;
    printf("  %-12s %" PRIu64 "%s\n", title, count,
           strcmp(key, "not_purified") ? "" : " images, served as they are");
    json_array_foreach(recent, i, entry)
    {
        if (i == NAMES_SHOWN) {
            printf("    …\n");
            return;
        }
        const char *why = text(entry, "why");
        printf("    %s%s%s\n", TEXT_SHOWN(text(entry, "path")), *why ? ": " : "", TEXT_SHOWN(why));
    }
}

static void print_freeze(const json_t *freeze)
{
    const char *state = text(freeze, "state"), *why = text(freeze, "why");
    if (*state && strcmp(state, "off") != 0)
        printf("  %-12s %s: %s\n", "frozen", state,
               *why ? why : "files are opened without asking the daemon");
}

static void print_mount(const json_t *j)
{
    char disk[32];
    const json_t *ahead = json_object_get(j, "ahead");
    printf("%s on %s\n", TEXT_SHOWN(text(j, "source")), TEXT_SHOWN(text(j, "mountpoint")));
    printf("  %-12s %s (%.12s…)\n", "profile", text(json_object_get(j, "profile"), "name"),
           text(json_object_get(j, "profile"), "id"));
    const char *none = text(json_object_get(j, "cache"), "none");
    if (*none)
        printf("  %-12s none, so that nothing is kept: %s\n", "cache", TEXT_SHOWN(none));
    else
        printf("  %-12s %s: %" PRIu64 " images, %s\n", "cache", TEXT_SHOWN(text(j, "cache_dir")),
               number(j, "cache", "objects"), text_bytes(number(j, "cache", "disk_bytes"), disk));
    printf("  %-12s %" PRIu64 " purified, %" PRIu64 " from the cache, %" PRIu64 " failed\n",
           "images", number(j, "work", "purified"),
           number(j, "work", "cache_hits") + number(j, "work", "memory_hits"),
           number(j, "work", "failed"));
    printf("  %-12s %" PRIu64 " readers wait, %" PRIu64 " queued, %" PRIu64 " with the purifier\n",
           "now", number(j, "work", "readers_waiting"), number(j, "work", "queued"),
           number(j, "work", "in_flight"));
    printf("  %-12s sweep %s, warm list %" PRIu64 " of %" PRIu64 "\n", "ahead",
           text(ahead, "phase"), number(ahead, "warm", "done"), number(ahead, "warm", "total"));
    if (*text(ahead, "why"))
        printf("  %-12s %s\n", "", TEXT_SHOWN(text(ahead, "why")));
    printf("  %-12s %s\n", "changes",
           json_is_true(json_object_get(j, "watching")) ? "watched"
                                                        : "not watched: seen after a second");
    print_freeze(json_object_get(j, "freeze"));
    if (number(j, "work", "no_space") + number(j, "work", "not_stored"))
        printf("  %-12s %" PRIu64 " images (no space), %" PRIu64 " (other reasons)\n", "not stored",
               number(j, "work", "no_space"), number(j, "work", "not_stored"));
    for (size_t i = 0; i < ARRAY_LEN(groups); i++)
        print_names(j, groups[i].key, groups[i].title);
    if (*text(j, "log"))
        printf("  %-12s %s\n", "log", TEXT_SHOWN(text(j, "log")));
}

struct naming {
    json_t *names;
    bool failed;
};

static void add_name(void *arg, const char *name, const char *why)
{
    struct naming *n = arg;
    n->failed |= cli_json_name(n->names, name, why) != STATUS_OK;
}

/* All names, not only the latest. */
static status add_names(json_t *j, const char *mountpoint, struct errmsg *e)
{
    status st = STATUS_OK;
    for (size_t i = 0; !st && i < ARRAY_LEN(groups); i++) {
        struct naming n = {.names = json_array()};
        if (number(j, groups[i].key, "count"))
            st = fused_names(mountpoint, groups[i].key, add_name, &n, e);
        if (!st && n.failed)
            st = STATUS_NOMEM;
        json_object_set_new(json_object_get(j, groups[i].key), "files", n.names);
    }
    return st;
}

struct printing {
    json_t *all; /* with --json: the objects; else NULL */
    status worst;
};

static status show(struct printing *p, const char *mountpoint, struct errmsg *e)
{
    AUTO(buf_done) struct buf b = BUF_INIT(64u << 20);
    status st = fused_status(mountpoint, &b, e);
    if (st)
        return st;
    json_error_t jerr;
    json_t *j = json_loadb(b.data, b.len, 0, &jerr);
    if (!j)
        return errmsg_set(e, STATUS_CORRUPT, "%s: its status is not JSON", mountpoint);
    if (p->all) {
        st = add_names(j, mountpoint, e);
        json_array_append(p->all, j);
    } else {
        print_mount(j);
    }
    json_decref(j);
    return st;
}

/* One mount of several: the others are still shown when it does not answer. */
static void show_listed(void *arg, const char *mountpoint, const char *source)
{
    struct printing *p = arg;
    struct errmsg e = {""};
    (void)source;
    status st = show(p, mountpoint, &e);
    if (st)
        p->worst = cli_fail(st, &e) ? st : p->worst;
}

int cmd_status(int argc, char **argv)
{
    int json = 0;
    const struct cli_option options[] = {
        {"json", 0, CLI_FLAG, &json, NULL,
         "print a JSON array with one object for each mount, and all names"},
    };
    const struct cli_spec spec = {
        "relearn status",
        "[--json] [MOUNTPOINT]",
        "What a mount, or every mount, is doing, and which files could not be purified.",
        options,
        ARRAY_LEN(options),
        0,
        1};
    int first, rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    struct printing p = {.all = json ? json_array() : NULL};
    struct errmsg e = {""};
    status st = first < argc ? show(&p, argv[first], &e) : fused_mounts(show_listed, &p);
    if (!st && json)
        cli_print_json(json_incref(p.all));
    json_decref(p.all);
    return st ? cli_fail(st, &e) : status_exit(p.worst);
}
