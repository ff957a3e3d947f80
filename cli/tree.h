#ifndef CLI_TREE_H
#define CLI_TREE_H
/*
 * A file or tree whose images are purified, or would be: what `relearn purify` and `relearn scan`
 * are told of it, and how they say what became of its files.
 *
 *     struct cli_tree t = {.profile = NULL};
 *     const struct cli_option options[] = {CLI_TREE_OPTIONS(t), ...};
 *     ... cli_parse ...
 *     int rc = cli_tree_begin(&t, &spec, "purify");
 *     if (rc == CLI_GO)
 *         rc = ... with t.rules, cli_tree_named, cli_tree_failed, cli_tree_stop, .arg = &t ...
 *     cli_tree_done(&t);
 */
#include "files.h"

struct cli_tree {
    const char *profile;
    int threads, follow, quiet;
    uint64_t max_pixels;
    struct cli_list include, exclude;
    struct fused_rules rules; /* made of these two */
    struct cli_files files;
    struct progress bar;
};

#define CLI_TREE_OPTIONS(t)                                                                         \
    CLI_ROW_PROFILE((t).profile), CLI_ROW_THREADS((t).threads),                                     \
        {"exclude", 'x',                                                                            \
         CLI_LIST,  &(t).exclude,                                                                   \
         "GLOBS",   "leave as they are (again, or a:b, for more; without a / any part of a path)"}, \
        {"include", 'i',                                                                            \
         CLI_LIST,  &(t).include,                                                                   \
         "GLOBS",   "purify all the same; label images, too, when it matches their own names"},     \
        {"max-pixels", 0, CLI_U64, &(t).max_pixels, "N", "images of more are not purified"},        \
        {"follow", 'L', CLI_FLAG, &(t).follow, NULL, "purify what links out of SRC lead to"},       \
        {"json", 0, CLI_FLAG, &(t).files.json, NULL, "print a JSON object, with all names"},        \
        CLI_ROW_QUIET((t).quiet)

/* Makes the rules and a progress bar of this label; Ctrl-C stops from now on. CLI_GO, or the exit
   status of a mistake in the rules. cli_tree_done also after that. */
int cli_tree_begin(struct cli_tree *t, const struct cli_spec *spec, const char *label);
void cli_tree_done(struct cli_tree *t);

/* Callbacks of fused_copy and fused_scan, whose `arg` is the tree. */
void cli_tree_named(void *arg, enum fused_group group, const char *path, const char *why);
void cli_tree_failed(void *arg, const char *path, const char *why);
int cli_tree_stop(void *arg);

#endif
