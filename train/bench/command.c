/* The command lines of children. Options stand in the order of their keys. */
#include "bench/work.h"

#include <string.h>

void command_done(struct command *c)
{
    for (int i = 0; i < c->n_owned; i++)
        mem_free(c->owned[i]);
    mem_free(c->dir);
    c->n_owned = 0;
    c->dir = NULL;
}

static void word(struct command *c, const char *text)
{
    CHECK(c->n < WORK_ARGS_MAX);
    c->argv[c->n++] = text;
    c->argv[c->n] = NULL;
}

/* Takes the text. */
static void own(struct command *c, char *text)
{
    if (!text) {
        c->st = STATUS_NOMEM;
        return;
    }
    c->owned[c->n_owned++] = text;
    word(c, text);
}

static void options(struct command *c, const struct matrix *m, const struct given *g)
{
    for (int i = 0; i < g->n; i++) {
        const struct given_item *o = &g->item[i];
        bool no = o->flag && strcmp(o->value, "no") == 0;
        own(c, mem_printf("--%s%s", no ? "no-" : "", o->key));
        if (!o->flag)
            own(c, given_is_path(o) ? matrix_path(m, o->value) : mem_strdup(o->value));
    }
}

/* more: the second word of the command; or NULL. */
static void begin(struct command *c, const struct train_bench *b, const char *name,
                  const char *more)
{
    *c = (struct command){.program = b->program};
    word(c, b->program);
    word(c, name);
    if (more)
        word(c, more);
    word(c, "--quiet");
}

static void threads(struct command *c, const struct train_bench *b)
{
    word(c, "--threads");
    own(c, mem_printf("%d", b->threads));
}

static void tree_path(struct command *c, const struct train_bench *b, int tree, const char *tail)
{
    own(c, bench_path(b, "trees", b->tree[tree].id, tail));
}

static void protect(struct command *c, const struct train_bench *b, int tree)
{
    const struct matrix_member *by = b->tree[tree].by;
    begin(c, b, "protect", NULL);
    threads(c, b);
    word(c, "--force");
    word(c, "--no-perturbation");
    word(c, "--method");
    word(c, by->method);
    options(c, &b->matrix, &by->given);
    tree_path(c, b, bench_images_of(b, tree), "");
    tree_path(c, b, tree, ".part");
}

/* The only clean images that it sees are those of the pairs. */
static void tune(struct command *c, const struct train_bench *b, int tree)
{
    const struct matrix_member *by = b->tree[tree].by;
    AUTO(mem_free) char *clean = bench_path(b, "trees", b->tree[0].id, "");
    AUTO(mem_free)
    char *protected = bench_path(b, "trees", b->tree[bench_images_of(b, tree)].id, "");
    char *from = NULL;
    struct errmsg e = {""};
    begin(c, b, "restore", "train");
    threads(c, b);
    word(c, bench_there(b, "trees", b->tree[tree].id, ".part" BENCH_TUNED_WEIGHTS ".checkpoint")
                ? "--resume"
                : "--force");
    status st = clean && protected ? bench_tune_from(by, &from, &e) : STATUS_NOMEM;
    if (st) {
        c->st = st;
        return;
    }
    word(c, "--from");
    own(c, from);
    word(c, "--data");
    tree_path(c, b, 0, "");
    word(c, "--limit");
    word(c, given_value(&by->tune, "pair-limit"));
    word(c, "--pairs");
    own(c, mem_printf("%s,%s", clean, protected));
    options(c, &b->matrix, &by->tune);
    word(c, "--out");
    tree_path(c, b, tree, ".part" BENCH_TUNED_WEIGHTS);
}

static void purify(struct command *c, const struct train_bench *b, int tree)
{
    int images = bench_images_of(b, tree), source = b->tree[tree].source;
    begin(c, b, "purify", NULL);
    threads(c, b);
    word(c, "--force");
    word(c, "--profile");
    if (images == source)
        word(c, b->tree[tree].by->profile);
    else
        tree_path(c, b, source, BENCH_TUNED_PROFILE);
    word(c, "--cache");
    word(c, b->cache);
    tree_path(c, b, images, "");
    tree_path(c, b, tree, ".part");
}

void command_tree(struct command *c, const struct train_bench *b, int tree)
{
    static void (*const of[BENCH_TREE_KINDS])(struct command *, const struct train_bench *, int) = {
        [BENCH_PROTECTED] = protect, [BENCH_TUNED] = tune, [BENCH_PURIFIED] = purify};
    of[b->tree[tree].kind](c, b, tree);
}

/* What a training is of, and where its own things go. */
static void folders_of(struct command *c, const struct train_bench *b,
                       const struct bench_cell *cell)
{
    word(c, "--data");
    own(c, bench_path(b, "trees", b->tree[cell->tree].id, ""));
    word(c, "--test");
    word(c, b->test);
    word(c, "--out");
    own(c, bench_path(b, "runs", cell->id, ""));
}

/* The shell parts the text into words, puts what follows behind them, and becomes the program, which so ends
   with this process. */
static void victim(struct command *c, const struct train_bench *b, const struct bench_cell *cell)
{
    *c = (struct command){.program = "/bin/sh", .dir = matrix_path(&b->matrix, ".")};
    if (!c->dir)
        c->st = STATUS_NOMEM;
    word(c, "sh");
    word(c, "-c");
    own(c, mem_printf("exec %s \"$@\"", bench_command(b, cell)));
    word(c, "sh");
    folders_of(c, b, cell);
    word(c, "--seed");
    own(c, mem_printf("%llu", (unsigned long long)cell->seed));
    threads(c, b);
}

void command_cell(struct command *c, const struct train_bench *b, const struct bench_cell *cell,
                  const struct given *given, bool resume)
{
    if (bench_command(b, cell)) {
        victim(c, b, cell);
        return;
    }
    begin(c, b, "train", NULL);
    word(c, "--json");
    if (resume) { /* its options, and its number of threads, are in its folder */
        word(c, "--resume");
        own(c, bench_path(b, "runs", cell->id, ""));
        return;
    }
    threads(c, b);
    word(c, "--force");
    folders_of(c, b, cell);
    options(c, &b->matrix, given);
}
