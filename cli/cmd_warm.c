/* relearn warm: announces files to a mount and shows how far it is. */
#include "cli.h"
#include "fused/fused.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/banned.h"

static const long poll_ns = 200 * 1000000l;

struct names {
    char **item;
    size_t n, room;
};

static void names_done(struct names *l)
{
    for (size_t i = 0; i < l->n; i++)
        mem_free(l->item[i]);
    mem_free(l->item);
}

static void names_donep(struct names *l)
{
    names_done(l);
}

static status names_add(struct names *l, const char *name)
{
    if (l->n == l->room) {
        size_t room = l->room ? 2 * l->room : 1024;
        char **more = mem_realloc(l->item, room * sizeof *more);
        if (!more)
            return STATUS_NOMEM;
        l->item = more;
        l->room = room;
    }
    l->item[l->n] = mem_strdup(name);
    return l->item[l->n] ? (l->n++, STATUS_OK) : STATUS_NOMEM;
}

/* One name a line; empty lines do not count. "-": standard input. */
static status read_list(const char *file, struct names *out, struct errmsg *e)
{
    AUTO(file_close) FILE *opened = strcmp(file, "-") ? fopen(file, "re") : NULL;
    FILE *f = opened ? opened : strcmp(file, "-") ? NULL : stdin;
    if (!f)
        return errmsg_set(e, STATUS_NOT_FOUND, "%s: cannot be read", file);
    char *line = NULL;
    size_t size = 0;
    ssize_t n;
    status st = STATUS_OK;
    while (!st && (n = getline(&line, &size, f)) >= 0) {
        line[strcspn(line, "\n")] = 0;
        if (*line)
            st = names_add(out, line);
    }
    free(line);
    return st;
}

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

static int run_check(const char *mountpoint, const struct names *l, struct errmsg *e)
{
    struct fused_warm_check c = {0};
    status st = fused_warm_check(mountpoint, (const char *const *)l->item, l->n, &c, e);
    if (st)
        return cli_fail(st, e);
    printf("%" PRIu64 " of %" PRIu64 " ready, %" PRIu64 " to purify, %" PRIu64 " missing\n",
           c.cached, c.files, c.absent, c.missing);
    return c.absent + c.missing ? 1 : 0;
}

static int run_warm(const char *mountpoint, const struct names *l, int quiet, struct errmsg *e)
{
    struct fused_warm_state before = {0}, w = {0};
    status st = fused_warm_state(mountpoint, &before, e);
    if (!st)
        st = fused_warm(mountpoint, (const char *const *)l->item, l->n, e);
    if (!st)
        st = follow(mountpoint, quiet, &w, e);
    if (st)
        return cli_fail(st, e);
    if (w.done < w.total) {
        fprintf(stderr,
                "relearn: not waiting any longer; the mount goes on (%" PRIu64 " of %" PRIu64 ")\n",
                w.done, w.total);
        return 1;
    }
    if (w.failed > before.failed) {
        fprintf(stderr,
                "relearn: %" PRIu64 " files could not be purified (relearn status %s names them)\n",
                w.failed - before.failed, mountpoint);
        return 1;
    }
    return 0;
}

int cmd_warm(int argc, char **argv)
{
    const char *file = NULL;
    int check = 0, quiet = 0;
    const struct cli_option options[] = {
        {"file", 'f', CLI_STRING, &file, "LIST",
         "names, one a line, in the order of reading; - is stdin"},
        {"check", 0, CLI_FLAG, &check, NULL,
         "purify nothing: say how much there is to do (exit 1 if any)"},
        {"quiet", 'q', CLI_FLAG, &quiet, NULL, "no progress"},
    };
    const struct cli_spec spec = {"relearn warm",
                                  "[-f LIST] [--check] MOUNTPOINT",
                                  "Purifies ahead, in the order given; without a list, everything. "
                                  "Names are relative to the mount, or\n"
                                  "absolute inside it. Ctrl-C ends the waiting, not the work.",
                                  options,
                                  ARRAY_LEN(options),
                                  1,
                                  1};
    int first, rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    struct errmsg e = {""};
    AUTO(names_done) struct names l = {NULL, 0, 0};
    status st = file ? read_list(file, &l, &e) : STATUS_OK;
    if (st)
        return cli_fail(st, &e);
    if (file && l.n == 0)
        return 0;
    stop_install();
    return check ? run_check(argv[first], &l, &e) : run_warm(argv[first], &l, quiet, &e);
}
