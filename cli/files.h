#ifndef CLI_FILES_H
#define CLI_FILES_H
/*
 * What became, or would become, of the files of a tree: how many there are of each group, which
 * were not purified and why. `relearn purify` and `relearn scan` print it in the same way.
 *
 *     struct cli_files f = {.json = json};
 *     ... cli_files_named(&f, group, path, why), cli_files_failed(&f, path, why) ...
 *     cli_files_print(&f, result.group, "purified", stdout);   or cli_files_json
 *     cli_files_done(&f);
 */
#include "cli.h"
#include "fused/fused.h"

enum { CLI_FILES_SHOWN = 10 };

struct cli_files {
    int json;  /* keep all names */
    void *bar; /* (optional) struct progress: its line ends before anything is printed */
    json_t *group[FUSED_GROUP_COUNT], *failures; /* arrays, json only */
    char *line[CLI_FILES_SHOWN];                 /* of what is not purified, otherwise */
    size_t lines;
    uint64_t failed;
};

/* As fused_named_fn and fused_failed_fn. Failures are also printed at once, on stderr. */
void cli_files_named(struct cli_files *f, enum fused_group group, const char *path,
                     const char *why);
void cli_files_failed(struct cli_files *f, const char *path, const char *why);
/* A line of counts, then what is NOT PURIFIED. what: "purified", "to purify". */
void cli_files_print(const struct cli_files *f, const uint64_t count[FUSED_GROUP_COUNT],
                     const char *what);
/* A new object: a member for each group and for "failed", with "count" and, but for images and
   other files, "files": all names. Owned names move into it. */
json_t *cli_files_json(struct cli_files *f, const uint64_t count[FUSED_GROUP_COUNT]);
void cli_files_done(struct cli_files *f);

#endif
