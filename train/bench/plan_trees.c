#include "bench/plan.h"

#include <string.h>

const char *const bench_tree_verbs[BENCH_TREE_KINDS] = {"copy", "take",   "protect",
                                                        "tune", "purify", "dilute"};

status plan_name(const json_t *description, char id[DIGEST_HEX_LEN + 1])
{
    char *text = description ? json_dumps(description, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    if (!text)
        return STATUS_NOMEM;
    const struct digest_part part = {text, strlen(text)};
    struct digest d;
    status st = digest_sha256(&part, 1, &d);
    free(text);
    if (!st)
        digest_hex(&d, id);
    return st;
}

/* Takes the description, and adds the tree unless it is there already. */
static status add_tree(struct train_bench *b, struct bench_tree t, int *out)
{
    status st = plan_name(t.description, t.id);
    int i = 0;
    while (!st && i < b->n_trees && strcmp(b->tree[i].id, t.id) != 0)
        i++;
    if (!st && i == b->n_trees)
        b->tree[b->n_trees++] = t;
    else
        json_decref(t.description);
    if (!st)
        *out = i;
    return st;
}

status plan_add_clean(struct train_bench *b, int *out)
{
    const struct bench_tree t = {
        .kind = BENCH_CLEAN,
        .source = -1,
        .description = json_pack("{s:s, s:s}", "version", RELEARN_VERSION, "data", b->data_digest)};
    return add_tree(b, t, out);
}

static status add_given(struct train_bench *b, const struct matrix_member *by, int *tree)
{
    const struct bench_tree t = {
        .kind = BENCH_GIVEN,
        .source = *tree,
        .by = by,
        .description = json_pack("{s:s, s:O, s:s}", "version", RELEARN_VERSION, "source",
                                 b->tree[*tree].description, "tree", by->tree_digest)};
    return add_tree(b, t, tree);
}

status plan_add_protected(struct train_bench *b, const struct matrix_member *by, int *tree)
{
    if (by->tree)
        return add_given(b, by, tree);
    if (!by->method)
        return STATUS_OK;
    status st = by->source ? plan_add_protected(b, by->source, tree) : STATUS_OK;
    if (st)
        return st;
    const struct bench_tree t = {.kind = BENCH_PROTECTED,
                                 .source = *tree,
                                 .by = by,
                                 .description =
                                     json_pack("{s:s, s:O, s:s, s:o}", "version", RELEARN_VERSION,
                                               "source", b->tree[*tree].description, "method",
                                               by->method, "options", given_json(&by->given))};
    return add_tree(b, t, tree);
}

/* tree: the images whose pairs it learns from; then that of the restorer. */
static status add_tuned(struct train_bench *b, const struct matrix_member *by,
                        const char *profile_id, int *tree)
{
    const struct bench_tree t = {.kind = BENCH_TUNED,
                                 .source = *tree,
                                 .by = by,
                                 .description =
                                     json_pack("{s:s, s:O, s:s, s:o}", "version", RELEARN_VERSION,
                                               "source", b->tree[*tree].description, "profile",
                                               profile_id, "tune", given_json(&by->tune))};
    return add_tree(b, t, tree);
}

status plan_add_purified(struct train_bench *b, const struct matrix_member *by,
                         const char *profile_id, int *tree)
{
    if (!by->profile)
        return STATUS_OK;
    status st = by->tune.n ? add_tuned(b, by, profile_id, tree) : STATUS_OK;
    if (st)
        return st;
    const struct bench_tree t = {
        .kind = BENCH_PURIFIED,
        .source = *tree,
        .by = by,
        .description = json_pack("{s:s, s:O, s:s}", "version", RELEARN_VERSION, "source",
                                 b->tree[*tree].description, "profile", profile_id)};
    return add_tree(b, t, tree);
}

status plan_add_diluted(struct train_bench *b, const struct matrix_member *by, const char *clean,
                        int *tree)
{
    if (!by->dilute)
        return STATUS_OK;
    const struct bench_tree t = {
        .kind = BENCH_DILUTED,
        .source = *tree,
        .by = by,
        .description = json_pack("{s:s, s:O, s:s, s:i}", "version", RELEARN_VERSION, "source",
                                 b->tree[*tree].description, "clean", clean, "dilute", by->dilute)};
    return add_tree(b, t, tree);
}
