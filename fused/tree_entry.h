#ifndef FUSED_TREE_ENTRY_H
#define FUSED_TREE_ENTRY_H
/* The entries of a walk over a tree that is not mounted, as a copy and a scan see them alike. */
#include "fused.h"

#include "links.h"

struct image_entry;

/* Opens a regular file, also one that a link leads to. 0 or an errno value. */
int entry_open(const struct image_entry *en, int *out_fd);
/* As link_resolve_at, for a link below root_fd. */
status entry_link(int root_fd, const struct image_entry *en, enum link_fate *out,
                  char out_text[PATH_MAX]) MUST_USE;
/* Whether a link leaves the tree. False also when that cannot be told. */
bool entry_leaves(int root_fd, const struct image_entry *en);
/* What a link that leaves the tree counts as; *out_why: the reason, or "". */
enum fused_group entry_link_group(const struct fused_rules *rules, const struct image_entry *en,
                                  const char **out_why);
/* Why the walk could not go on at an entry. */
const char *entry_error(const struct image_entry *en);

#endif
