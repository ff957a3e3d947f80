#include "tree_entry.h"

#include "beneath.h"

#include "base/banned.h"

int entry_open(const struct image_entry *en, int *out_fd)
{
    return en->linked ? beneath_open_linked(en->dirfd, en->name, out_fd)
                      : beneath_open_data(en->dirfd, en->name, 0, out_fd);
}

status entry_link(int root_fd, const struct image_entry *en, enum link_fate *out,
                  char out_text[PATH_MAX])
{
    return link_resolve_at(root_fd, en->dirfd, en->path, out, out_text);
}

bool entry_leaves(int root_fd, const struct image_entry *en)
{
    char text[PATH_MAX];
    enum link_fate fate;
    return entry_link(root_fd, en, &fate, text) == STATUS_OK && fate == LINK_OUTSIDE;
}

enum fused_group entry_link_group(const struct fused_rules *rules, const struct image_entry *en,
                                  const char **out_why)
{
    bool excluded = fused_rules_match(rules, en->path) == FUSED_RULE_EXCLUDE;
    *out_why = excluded ? "" : link_outside_text;
    return excluded ? FUSED_GROUP_EXCLUDED : FUSED_GROUP_UNPURIFIED;
}

const char *entry_error(const struct image_entry *en)
{
    return en->linked && en->error == STATUS_LIMIT ? link_loop_text : status_text(en->error);
}
