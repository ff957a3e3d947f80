/* The command lines of children. Options stand in the order of their keys. */
#include "bench/work.h"

#include <string.h>

void command_done(struct command *c)
{
    for (int i = 0; i < c->n_owned; i++)
        mem_free(c->owned[i]);
    c->n_owned = 0;
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

static void options(struct command *c, const struct given *g)
{
    for (int i = 0; i < g->n; i++) {
        const struct given_item *o = &g->item[i];
        bool no = o->flag && strcmp(o->value, "no") == 0;
        own(c, mem_printf("--%s%s", no ? "no-" : "", o->key));
        if (!o->flag)
            own(c, mem_strdup(o->value));
    }
}

static void begin(struct command *c, const struct train_bench *b, const char *name)
{
    *c = (struct command){.n = 0};
    word(c, b->program);
    word(c, name);
    word(c, "--quiet");
}

static void threads(struct command *c, const struct train_bench *b)
{
    word(c, "--threads");
    own(c, mem_printf("%d", b->threads));
}

void command_tree(struct command *c, const struct train_bench *b, int tree)
{
    const struct bench_tree *t = &b->tree[tree];
    bool protects = t->kind == BENCH_PROTECTED;
    begin(c, b, protects ? "protect" : "purify");
    threads(c, b);
    word(c, "--force");
    if (protects) {
        word(c, "--no-perturbation");
        word(c, "--method");
        word(c, t->by->method);
        options(c, &t->by->given);
    } else {
        word(c, "--profile");
        word(c, t->by->profile);
        word(c, "--cache");
        word(c, b->cache);
    }
    own(c, bench_path(b, "trees", b->tree[t->source].id, ""));
    own(c, bench_path(b, "trees", t->id, ".part"));
}

void command_cell(struct command *c, const struct train_bench *b, const struct bench_cell *cell,
                  const struct given *given, bool resume)
{
    begin(c, b, "train");
    word(c, "--json");
    if (resume) { /* its options, and its number of threads, are in its folder */
        word(c, "--resume");
        own(c, bench_path(b, "runs", cell->id, ""));
        return;
    }
    threads(c, b);
    word(c, "--force");
    word(c, "--data");
    own(c, bench_path(b, "trees", b->tree[cell->tree].id, ""));
    word(c, "--test");
    word(c, b->test);
    word(c, "--out");
    own(c, bench_path(b, "runs", cell->id, ""));
    options(c, given);
}
