/* relearn purify: what a mount would show, as files. */
#include "cli.h"
#include "fused/fused.h"

#include <inttypes.h>

#include "base/banned.h"

struct talk {
    struct progress bar;
};

static void on_progress(void *arg, const struct fused_copy_result *now, uint64_t total)
{
    struct talk *t = arg;
    t->bar.total = total;
    progress_update(&t->bar, now->images + now->originals + now->failed, NULL);
}

static void on_failed(void *arg, const char *path, const char *why)
{
    (void)arg;
    fprintf(stderr, "\nrelearn: %s: %s\n", path, why);
}

static int on_stop(void *arg)
{
    (void)arg;
    return stop_requested();
}

static status purify(const struct fused_stack_options *opt, const char *src, const char *dst,
                     int quiet, struct fused_copy_result *out, struct errmsg *e)
{
    struct fused_stack stack;
    status st = fused_stack_open(opt, &stack, e);
    if (st)
        return st;
    struct talk t;
    progress_init(&t.bar, "purify", 0, 0, quiet);
    const struct fused_copy copy = {.src = src,
                                    .dst = dst,
                                    .progress = on_progress,
                                    .failed = on_failed,
                                    .stop = on_stop,
                                    .arg = &t};
    st = fused_copy_tree(stack.pipeline, &copy, out, e);
    if (!st)
        progress_done(&t.bar, out->images + out->originals + out->failed, NULL);
    status closed = fused_stack_close(&stack);
    if (closed)
        fprintf(stderr, "relearn: the cache was not written to its end: %s\n", status_text(closed));
    return st;
}

int cmd_purify(int argc, char **argv)
{
    struct fused_stack_options opt = {.profile = NULL};
    int quiet = 0;
    const struct cli_option options[] = {
        {"profile", 'p', CLI_STRING, &opt.profile, "P",
         "what is done to an image (default: default)"},
        {"cache", 'c', CLI_STRING, &opt.cache_dir, "DIR", "where purified pixels are kept"},
        {"threads", 't', CLI_INT, &opt.threads, "N", "of the purifier (default: one per CPU)"},
        {"quiet", 'q', CLI_FLAG, &quiet, NULL, "no progress"},
    };
    const struct cli_spec spec = {
        "relearn purify",
        "[--profile P] [--cache DIR] SRC DST",
        "Writes a purified copy of a file or tree: byte for byte what a mount of SRC would show, "
        "with its\n"
        "modes, times and symbolic links. Every file is written aside and renamed. A run that was\n"
        "interrupted is repeated: it writes all files again, and purifies only what it had not.",
        options,
        ARRAY_LEN(options),
        2,
        2};
    int first, rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    struct errmsg e = {""};
    struct fused_copy_result r = {0};
    stop_install();
    status st = purify(&opt, argv[first], argv[first + 1], quiet, &r, &e);
    if (st == STATUS_CANCELLED) {
        fprintf(stderr,
                "relearn: stopped after %" PRIu64 " files; the same command goes on from there\n",
                r.images + r.originals);
        return 1;
    }
    if (st)
        return cli_fail(st, &e);
    printf("%" PRIu64 " images purified, %" PRIu64 " files copied as they are, %" PRIu64
           " skipped, %" PRIu64 " failed\n",
           r.images, r.originals, r.skipped, r.failed);
    return r.failed ? 1 : 0;
}
