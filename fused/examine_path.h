#ifndef FUSED_EXAMINE_PATH_H
#define FUSED_EXAMINE_PATH_H
/*
 * A file of the source, opened by its path and examined, where no request of the kernel's asked for
 * it: for the sweep, the warm list and the look at the start. What is found is entered into the
 * lists of the status. name can be opened under base_fd, path under the root of the source.
 */
#include "fused.h"

struct fs;

/* 0 or an errno value: EINVAL when it is no regular file. out->fd is the caller's, -1 for a link that
   leaves the source and is not followed; out->name is path. */
int examine_path(struct fs *fs, int base_fd, const char *name, const char *path,
                 struct fused_file *out);
/* The same where only the lists of the status are wanted. */
void examine_path_only(struct fs *fs, int base_fd, const char *name, const char *path);

#endif
