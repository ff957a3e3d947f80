/* relearn purify: what a mount would show, as files. */
#include "tree.h"

#include <inttypes.h>
#include <string.h>

#include "base/banned.h"

struct purifying {
    struct cli_tree tree;
    struct fused_copy copy;
    const char *cache_dir;
    int force, strict;
};

static void on_progress(void *arg, const struct fused_copy_result *now)
{
    struct cli_tree *t = arg;
    t->bar.total = now->files_total;
    progress_update_work(&t->bar, now->done, now->work, now->work_total, NULL);
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
            p->tree.bar.drawn && p->tree.bar.tty ? "\n" : "", r->done);
}

/* The copy is whole without it. */
static void record(const struct purifying *p, const struct purify_profile *profile,
                   const struct fused_copy_result *r)
{
    struct errmsg e = {""};
    if (fused_purification_write(&p->copy, profile, r, &e))
        fprintf(stderr, "relearn: %s (who trains on %s is not told what purified it)\n", e.text,
                p->copy.dst);
}

static status purify(struct purifying *p, struct fused_copy_result *out, struct errmsg *e)
{
    const struct fused_stack_options options = {.profile = p->tree.profile,
                                                .cache_dir = p->cache_dir,
                                                .threads = p->tree.threads,
                                                .rules = &p->tree.rules,
                                                .max_pixels = p->tree.max_pixels};
    struct fused_stack stack;
    status st = check(p, e);
    if (!st)
        st = fused_stack_open(&options, &stack, e);
    if (st)
        return st;
    p->copy.model = stack.model;
    st = fused_purification_remove(&p->copy, e);
    if (!st)
        st = fused_copy_tree(stack.pipeline, &p->copy, out, e);
    if (!st)
        record(p, &stack.profile, out);
    if (st == STATUS_CANCELLED)
        say_stopped(p, out);
    else if (!st)
        progress_done(&p->tree.bar, out->done, NULL);
    status closed = fused_stack_close(&stack);
    if (closed)
        fprintf(stderr, "relearn: the cache was not written to its end: %s\n", status_text(closed));
    return st;
}

static int report(struct purifying *p, const struct fused_copy_result *r)
{
    if (p->tree.files.json) {
        json_t *out = cli_files_json(&p->tree.files, r->group);
        json_object_set_new(out, "skipped", json_integer((json_int_t)r->skipped));
        cli_print_json(out);
    } else {
        cli_files_print(&p->tree.files, r->group, "purified");
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

/* clang-format off */
static const char about[] =
    "Writes a purified copy of a file or tree. It is byte for byte what a mount of SRC would show, with\n"
    "its modes (but no set-user-id, set-group-id or sticky bit) and times; holes stay holes, hard links\n"
    "become files of their own. Links into SRC lead into DST; those that leave it are copied as they are\n"
    "and count as not purified, unless --follow. A file is one version of its source, or named as one\n"
    "that changed while it was read; each is written aside and renamed, and no link that stands in DST\n"
    "is followed. Beside a tree, DST.purification.json says what purified it, for those who train on it.\n"
    "A run that was interrupted is repeated with --force: it writes all files again, and purifies only\n"
    "what it had not. Exit status 1: some image was not purified, or a file failed.";
/* clang-format on */

int cmd_purify(int argc, char **argv)
{
    struct purifying p = {.force = 0};
    const struct cli_option options[] = {
        CLI_TREE_OPTIONS(p.tree),
        CLI_ROW_CACHE(p.cache_dir),
        {"strict", 0, CLI_FLAG, &p.strict, NULL, "leave out images that cannot be purified"},
        {"force", 0, CLI_FLAG, &p.force, NULL, "write into a DST that is there"},
    };
    const struct cli_spec spec = {
        "relearn purify", "[OPTION]… SRC DST", about, options, ARRAY_LEN(options), 2, 2};
    int first, rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    p.copy = (struct fused_copy){.src = argv[first],
                                 .dst = argv[first + 1],
                                 .cache_dir = p.cache_dir,
                                 .rules = &p.tree.rules,
                                 .max_pixels = p.tree.max_pixels,
                                 .follow = p.tree.follow,
                                 .strict = p.strict,
                                 .progress = on_progress,
                                 .named = cli_tree_named,
                                 .failed = cli_tree_failed,
                                 .stop = cli_tree_stop,
                                 .arg = &p.tree};
    rc = cli_tree_begin(&p.tree, &spec, "purify");
    if (rc == CLI_GO)
        rc = run(&p);
    cli_tree_done(&p.tree);
    return rc;
}
