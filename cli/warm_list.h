#ifndef CLI_WARM_LIST_H
#define CLI_WARM_LIST_H
/* The names that `relearn warm` was given: files and directories of a mount. */
#include "cli.h"

#include <stdbool.h>

struct warm_list {
    char **item;
    size_t n, cap;
};

/* One name a line; empty lines do not count. "-": standard input. Ends with warm_list_done, also
   after a failure. */
status warm_list_read(const char *file, struct warm_list *out, struct errmsg *e) MUST_USE;
void warm_list_done(struct warm_list *l);
__attribute__((unused)) static inline void warm_list_donep(struct warm_list *l)
{
    warm_list_done(l);
}
/* Makes the names relative to the mount, without a '/' at the end, and sorts them. */
void warm_list_resolve(struct warm_list *l, const char *mount);
/* Whether this name or a directory above it is in the list, which has been resolved; "" is the
   whole tree, and so is an empty list. */
bool warm_list_has(const struct warm_list *l, const char *name);

#endif
