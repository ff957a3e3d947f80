/* relearn warm: announces files to a mount and shows how far it is. */
#include "cli.h"
#include "fused/fused.h"
#include "warm_list.h"

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/banned.h"

static const long poll_ns = 200 * 1000000l;

/* Until the mount has done what it had been told when we last asked for the total. */
static status follow(const char *mountpoint, int quiet, struct fused_warm_state *w,
                     struct errmsg *e)
{
    struct progress bar;
    status st = fused_warm_state(mountpoint, w, e);
    progress_init(&bar, "warm", w->done, w->total, quiet);
    while (!st && w->done < w->total && !stop_requested()) {
        progress_update(&bar, w->done, NULL);
        nanosleep(&(struct timespec){.tv_nsec = poll_ns}, NULL);
        st = fused_warm_state(mountpoint, w, e);
        bar.total = w->total;
    }
    if (!st)
        progress_done(&bar, w->done, NULL);
    return st;
}

/* What is said of the files, in words and as JSON. */
struct answer {
    const char *mountpoint;
    struct warm_list *list; /* empty: the whole tree; find_names resolves it */
    int json, quiet;
    char mount[PATH_MAX]; /* the real path of mountpoint; "" when there is none */
    uint64_t group[FUSED_GROUP_COUNT];
    json_t *names; /* of what is not purified, and in the list */
    status failed;
};

static void add_name(void *arg, const char *name, const char *why)
{
    struct answer *a = arg;
    if (warm_list_has(a->list, name) && cli_json_name(a->names, name, why))
        a->failed = STATUS_NOMEM;
}

static status find_names(struct answer *a, struct errmsg *e)
{
    a->names = json_array();
    if (!realpath(a->mountpoint, a->mount))
        a->mount[0] = 0;
    warm_list_resolve(a->list, a->mount);
    status st = a->group[FUSED_GROUP_UNPURIFIED]
                    ? fused_names(a->mountpoint, "not_purified", add_name, a, e)
                    : STATUS_OK;
    return st ? st : a->failed;
}

/* The words for a group, the same in every command. */
static void say_groups(const struct answer *a)
{
    uint64_t bad = a->group[FUSED_GROUP_UNPURIFIED];
    if (a->quiet && !bad)
        return;
    fprintf(stderr,
            "relearn: %" PRIu64 " images, %" PRIu64 " labels, %" PRIu64 " excluded, %" PRIu64
            " other files\n",
            a->group[FUSED_GROUP_IMAGE], a->group[FUSED_GROUP_LABEL],
            a->group[FUSED_GROUP_EXCLUDED], a->group[FUSED_GROUP_OTHER]);
    if (bad)
        fprintf(stderr, "relearn: %" PRIu64 " images NOT PURIFIED (relearn status %s names them)\n",
                bad, TEXT_SHOWN(a->mountpoint));
}

/* fixed: an object that the groups and the names go into. */
static int finish(struct answer *a, json_t *fixed, int rc, struct errmsg *e)
{
    status st = a->json ? find_names(a, e) : STATUS_OK;
    for (int g = 0; a->json && g < FUSED_GROUP_COUNT; g++)
        json_object_set_new(fixed, fused_group_name((enum fused_group)g),
                            json_pack("{s:I}", "count", (json_int_t)a->group[g]));
    if (a->json) {
        json_object_set(json_object_get(fixed, "not_purified"), "files", a->names);
        cli_print_json(json_incref(fixed));
    } else {
        say_groups(a);
    }
    json_decref(fixed);
    json_decref(a->names);
    return st ? cli_fail(st, e) : rc || a->group[FUSED_GROUP_UNPURIFIED] ? 1 : 0;
}

static int run_check(struct answer *a, struct errmsg *e)
{
    const struct warm_list *l = a->list;
    struct fused_warm_check c = {0};
    status st = fused_warm_check(a->mountpoint, (const char *const *)l->item, l->n, &c, e);
    if (st)
        return cli_fail(st, e);
    memcpy(a->group, c.group, sizeof c.group);
    if (!a->json)
        printf("%" PRIu64 " of %" PRIu64 " images ready, %" PRIu64 " to purify, %" PRIu64
               " missing\n",
               c.cached, c.cached + c.absent, c.absent, c.missing);
    fflush(stdout); /* before what stderr says */
    json_t *j =
        json_pack("{s:I,s:I,s:I,s:I}", "files", (json_int_t)c.files, "ready", (json_int_t)c.cached,
                  "to_purify", (json_int_t)c.absent, "missing", (json_int_t)c.missing);
    return finish(a, j, c.absent || c.missing, e);
}

static int run_warm(struct answer *a, struct errmsg *e)
{
    const struct warm_list *l = a->list;
    struct fused_warm_state before = {0}, w = {0};
    status st = fused_warm_state(a->mountpoint, &before, e);
    if (!st)
        st = fused_warm(a->mountpoint, (const char *const *)l->item, l->n, e);
    if (!st)
        st = follow(a->mountpoint, a->quiet, &w, e);
    if (st)
        return cli_fail(st, e);
    if (w.done < w.total) {
        fprintf(stderr,
                "relearn: not waiting any longer; the mount goes on (%" PRIu64 " of %" PRIu64 ")\n",
                w.done, w.total);
        return status_exit(STATUS_CANCELLED);
    }
    for (int g = 0; g < FUSED_GROUP_COUNT; g++)
        a->group[g] = w.group[g] - before.group[g];
    uint64_t failed = w.failed - before.failed, lost = w.not_stored - before.not_stored;
    if (failed)
        fprintf(stderr,
                "relearn: %" PRIu64 " files could not be read or purified (relearn status %s names "
                "them)\n",
                failed, TEXT_SHOWN(a->mountpoint));
    if (lost)
        fprintf(stderr,
                "relearn: %" PRIu64
                " images are not stored, since the cache has no space or cannot be "
                "written: they are purified again when they are read (a larger cache_size, or "
                "relearn cache rm)\n",
                lost);
    json_t *j = json_pack("{s:I,s:I,s:I}", "files", (json_int_t)(w.done - before.done), "failed",
                          (json_int_t)failed, "not_stored", (json_int_t)lost);
    return finish(a, j, failed || lost, e);
}

int cmd_warm(int argc, char **argv)
{
    const char *file = NULL;
    int check = 0, quiet = 0, json = 0;
    const struct cli_option options[] = {
        {"file", 'f', CLI_STRING, &file, "LIST",
         "names, one a line, in the order of reading; - is stdin"},
        {"check", 0, CLI_FLAG, &check, NULL,
         "purify nothing: say how much there is to do (exit 1 if any)"},
        {"json", 0, CLI_FLAG, &json, NULL, "print an object with counts and all names"},
        CLI_ROW_QUIET(quiet),
    };
    const struct cli_spec spec = {
        "relearn warm",
        "[-f LIST] [--check] [--json] MOUNTPOINT",
        "Purifies ahead, in the order given; without a list, everything. "
        "Names are relative to the mount, or\n"
        "absolute inside it. Ctrl-C ends the waiting, not the work. The exit "
        "status is 1 when an image\n"
        "was not purified or not stored.",
        options,
        ARRAY_LEN(options),
        1,
        1};
    int first, rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    struct errmsg e = {""};
    AUTO(warm_list_done) struct warm_list l = {NULL, 0, 0};
    status st = file ? warm_list_read(file, &l, &e) : STATUS_OK;
    if (st)
        return cli_fail(st, &e);
    if (file && l.n == 0)
        return 0;
    stop_install();
    struct answer a = {.mountpoint = argv[first], .list = &l, .json = json, .quiet = quiet};
    return check ? run_check(&a, &e) : run_warm(&a, &e);
}
