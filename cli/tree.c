#include "tree.h"

static status make_rules(struct cli_tree *t, struct errmsg *e)
{
    status st = STATUS_OK;
    for (int i = 0; i < t->include.n && !st; i++)
        st = fused_rules_add(&t->rules, true, t->include.item[i], e);
    for (int i = 0; i < t->exclude.n && !st; i++)
        st = fused_rules_add(&t->rules, false, t->exclude.item[i], e);
    return st;
}

int cli_tree_begin(struct cli_tree *t, const struct cli_spec *spec, const char *label)
{
    struct errmsg e = {""};
    status st = make_rules(t, &e);
    if (st)
        return cli_usage_error(spec, "%s", errmsg_text(&e, st));
    progress_init(&t->bar, label, 0, 0, t->quiet);
    t->files.bar = &t->bar;
    stop_install();
    return CLI_GO;
}

void cli_tree_done(struct cli_tree *t)
{
    cli_files_done(&t->files);
    fused_rules_done(&t->rules);
}

void cli_tree_named(void *arg, enum fused_group group, const char *path, const char *why)
{
    struct cli_tree *t = arg;
    cli_files_named(&t->files, group, path, why);
}

void cli_tree_failed(void *arg, const char *path, const char *why)
{
    struct cli_tree *t = arg;
    cli_files_failed(&t->files, path, why);
}

int cli_tree_stop(void *arg)
{
    (void)arg;
    return stop_requested();
}
