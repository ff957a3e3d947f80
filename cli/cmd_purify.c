/* relearn purify: what a mount would show, as files. */
#include "cli.h"
#include "files.h"
#include "fused/fused.h"

#include <inttypes.h>
#include <string.h>

#include "base/banned.h"

struct purifying {
    struct fused_copy copy;
    struct fused_stack_options stack;
    struct fused_rules rules;
    struct cli_files files;
    struct progress bar;
    int force;
};

static void on_progress(void *arg, const struct fused_copy_result *now)
{
    struct purifying *p = arg;
    p->bar.total = now->files_total;

    progress_update_work(&p->bar, now->done, now->work, now->work_total, NULL);
}

static void on_named(void *arg, enum fused_group group, const char *path, const char *why)
{
    struct purifying *p = arg;
    cli_files_named(&p->files, group, path, why);
}

static void on_failed(void *arg, const char *path, const char *why)
{
    struct purifying *p = arg;
    cli_files_failed(&p->files, path, why);
}

static int on_stop(void *arg)
{
    (void)arg;
    return stop_requested();
}

/* Everything that can be refused is refused before anything is made. */
static status check(const struct purifying *p, struct errmsg *e)
{
    AUTO(mem_free) char *to = NULL;
    bool tree = false;
    status st = fused_copy_check(p->copy.src, p->copy.dst, p->copy.cache_dir, &to, &tree, e);
    return st ? st : cli_output_check(to, tree ? CLI_OUTPUT_DIR : CLI_OUTPUT_FILE, p->force, e);
}

static void say_stopped(const struct purifying *p, const struct fused_copy_result *r)
{
    fprintf(stderr,
            "%srelearn: stopped after %" PRIu64 " files (with --force the same command goes on: "
            "what was purified is in the cache)\n",
            p->bar.drawn && p->bar.tty ? "\n" : "", r->done);
}

static status purify(struct purifying *p, struct fused_copy_result *out, struct errmsg *e)
{
    struct fused_stack stack;
    status st = check(p, e);
    if (!st)
        st = fused_stack_open(&p->stack, &stack, e);
    if (st)
        return st;
    p->copy.model = stack.model;
    st = fused_copy_tree(stack.pipeline, &p->copy, out, e);
    if (st == STATUS_CANCELLED)
        say_stopped(p, out);
    else if (!st)
        progress_done(&p->bar, out->done, NULL);
    status closed = fused_stack_close(&stack);
    if (closed)
        fprintf(stderr, "relearn: the cache was not written to its end: %s\n", status_text(closed));
    return st;
}

static int report(struct purifying *p, const struct fused_copy_result *r)
{
    if (p->files.json) {
        json_t *out = cli_files_json(&p->files, r->group);
        json_object_set_new(out, "skipped", json_integer((json_int_t)r->skipped));
        cli_print_json(out);
    } else {
        cli_files_print(&p->files, r->group, "purified");
        if (r->skipped)
            printf("%" PRIu64 " skipped (sockets, FIFOs, devices)\n", r->skipped);
    }
    return r->failed || r->group[FUSED_GROUP_UNPURIFIED] ? 1 : 0;
}

static int run(struct purifying *p)
{
    struct errmsg e = {""};
    struct fused_copy_result r = {0};
    status st = purify(p, &r, &e);
    if (st == STATUS_CANCELLED)
        return status_exit(st);
    return st ? cli_fail(st, &e) : report(p, &r);
}

int cmd_purify(int argc, char **argv)
{
    struct purifying p = {.copy = {.arg = &p}};
    struct cli_list include = {{0}, 0}, exclude = {{0}, 0};
    uint64_t max_pixels = 0;
    int quiet = 0, follow = 0, strict = 0;
    const struct cli_option options[] = {
        {"profile", 'p', CLI_STRING, &p.stack.profile, "P",
         "what is done to an image (default: default)"},
        {"cache", 'c', CLI_STRING, &p.stack.cache_dir, "DIR", "where purified pixels are kept"},
        {"exclude", 'x', CLI_LIST, &exclude, "GLOBS",
         "copy as they are (again, or a:b, for more; without a / any part of a path)"},
        {"include", 'i', CLI_LIST, &include, "GLOBS",
         "purify all the same; label images, too, when it matches their own names"},
        {"max-pixels", 0, CLI_U64, &max_pixels, "N", "images of more are not purified"},
        {"follow", 'L', CLI_FLAG, &follow, NULL, "copy what links out of SRC lead to, purified"},
        {"strict", 0, CLI_FLAG, &strict, NULL, "leave out images that cannot be purified"},
        {"force", 0, CLI_FLAG, &p.force, NULL, "write into a DST that is there"},
        {"threads", 'j', CLI_INT, &p.stack.threads, "N", "of the purifier (default: one per CPU)"},
        {"json", 0, CLI_FLAG, &p.files.json, NULL, "print a JSON object, with all names"},
        {"quiet", 'q', CLI_FLAG, &quiet, NULL, "no progress"},
    };
    const struct cli_spec spec = {
        "relearn purify",
        "[OPTION]… SRC DST",
        "Writes a purified copy of a file or tree. It is byte for byte what a mount of SRC would "
        "show, with\n"
        "its modes (but no set-user-id, set-group-id or sticky bit) and times; holes stay holes, "
        "hard "
        "links\n"
        "become files of their own. Links into SRC lead into DST; those that leave it are copied "
        "as "
        "they are\n"
        "and count as not purified, unless --follow. A file is one version of its source, or named "
        "as "
        "one\n"
        "that changed while it was read; each is written aside and renamed, and no link that "
        "stands in "
        "DST\n"
        "is followed. A run that was interrupted is repeated with --force: it writes all files "
        "again, "
        "and\n"
        "purifies only what it had not. Exit status 1: some image was not purified, or a file "
        "failed.",
        options,
        ARRAY_LEN(options),
        2,
        2};
    int first, rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    struct errmsg e = {""};
    status st = cli_rules(&p.rules, &include, &exclude, &e);
    if (st) {
        fused_rules_done(&p.rules);
        return cli_usage_error(&spec, "%s", errmsg_text(&e, st));
    }
    p.stack.rules = &p.rules;
    p.stack.max_pixels = max_pixels;
    p.copy = (struct fused_copy){.src = argv[first],
                                 .dst = argv[first + 1],
                                 .cache_dir = p.stack.cache_dir,
                                 .rules = &p.rules,
                                 .max_pixels = max_pixels,
                                 .follow = follow,
                                 .strict = strict,
                                 .progress = on_progress,
                                 .named = on_named,
                                 .failed = on_failed,
                                 .stop = on_stop,
                                 .arg = &p};
    progress_init(&p.bar, "purify", 0, 0, quiet);
    p.files.bar = &p.bar;
    stop_install();
    rc = run(&p);
    cli_files_done(&p.files);
    fused_rules_done(&p.rules);
    return rc;
}
