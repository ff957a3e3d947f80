/* relearn status: what the mounts are doing. */
#include "cli.h"
#include "fused/fused.h"

#include <inttypes.h>
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

static void print_names(const json_t *j, const char *key, const char *title)
{
    const json_t *group = json_object_get(j, key), *recent = json_object_get(group, "recent"),
                 *entry;
    uint64_t count = number(j, key, "count");
    size_t i;
    if (!count)
        return;
    printf("  %-11s %" PRIu64 "\n", title, count);
    json_array_foreach(recent, i, entry)
    {
        if (i == NAMES_SHOWN) {
            printf("    …\n");
            return;
        }
        const char *why = text(entry, "why");
        printf("    %s%s%s\n", text(entry, "path"), *why ? ": " : "", why);
    }
}

static void print_freeze(const json_t *freeze)
{
    const char *state = text(freeze, "state"), *why = text(freeze, "why");
    if (*state && strcmp(state, "off") != 0)
        printf("  %-11s %s: %s\n", "frozen", state,
               *why ? why : "files are opened without asking the daemon");
}

static void print_mount(const json_t *j)
{
    char disk[32];
    const json_t *ahead = json_object_get(j, "ahead");
    printf("%s on %s\n", text(j, "source"), text(j, "mountpoint"));
    printf("  %-11s %s (%.12s…)\n", "profile", text(json_object_get(j, "profile"), "name"),
           text(json_object_get(j, "profile"), "id"));
    printf("  %-11s %s: %" PRIu64 " images, %s\n", "cache", text(j, "cache_dir"),
           number(j, "cache", "objects"), cli_bytes(number(j, "cache", "disk_bytes"), disk));
    printf("  %-11s %" PRIu64 " purified, %" PRIu64 " from the cache, %" PRIu64 " failed\n",
           "images", number(j, "work", "purified"),
           number(j, "work", "cache_hits") + number(j, "work", "memory_hits"),
           number(j, "work", "failed"));
    printf("  %-11s %" PRIu64 " readers wait, %" PRIu64 " queued, %" PRIu64 " with the purifier\n",
           "now", number(j, "work", "readers_waiting"), number(j, "work", "queued"),
           number(j, "work", "in_flight"));
    printf("  %-11s sweep %s, warm list %" PRIu64 " of %" PRIu64 "\n", "ahead",
           text(ahead, "phase"), number(ahead, "warm", "done"), number(ahead, "warm", "total"));
    printf("  %-11s %s\n", "changes",
           json_is_true(json_object_get(j, "watching")) ? "watched"
                                                        : "not watched: seen after a second");
    print_freeze(json_object_get(j, "freeze"));
    if (number(j, "work", "no_space") + number(j, "work", "not_stored"))
        printf("  %-11s %" PRIu64 " images (no space), %" PRIu64 " (other reasons)\n", "not stored",
               number(j, "work", "no_space"), number(j, "work", "not_stored"));
    print_names(j, "undecodable", "undecodable");
    print_names(j, "failures", "failures");
    print_names(j, "other_files", "other files");
    if (*text(j, "log"))
        printf("  %-11s %s\n", "log", text(j, "log"));
}

struct printing {
    json_t *all; /* with --json: the objects; else NULL */
    status worst;
};

static status show(struct printing *p, const char *mountpoint, struct errmsg *e)
{
    AUTO(buf_done) struct buf b = BUF_INIT(8u << 20);
    status st = fused_status(mountpoint, &b, e);
    if (st)
        return st;
    json_error_t jerr;
    json_t *j = json_loadb(b.data, b.len, 0, &jerr);
    if (!j)
        return errmsg_set(e, STATUS_CORRUPT, "%s: its status is not JSON", mountpoint);
    if (p->all)
        json_array_append(p->all, j);
    else
        print_mount(j);
    json_decref(j);
    return STATUS_OK;
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
        {"json", 0, CLI_FLAG, &json, NULL, "print a JSON array with one object for each mount"},
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
