#ifndef TRAIN_OUT_TREE_H
#define TRAIN_OUT_TREE_H
/*
 * out_tree: a tree of images that is being written. It records what it created, so that work that
 * fails or is stopped can be undone, and the same command works again. An existing file is replaced,
 * never written to: a symbolic link is not followed.
 *
 * out_tree_dir and out_tree_undo belong to one thread; files may be written by several.
 */
#include "train.h"

struct out_tree {
    char **dir; /* made here, parents first */
    size_t n_dirs, cap;
    _Atomic bool *made; /* (n_files) */
    int n_files;
};
status out_tree_init(struct out_tree *t, int n_files) MUST_USE;
/* mkdir -p */
status out_tree_dir(struct out_tree *t, const char *path, struct errmsg *e) MUST_USE;
/* File i of the tree, as PNG, in a directory that exists. */
status out_tree_png(struct out_tree *t, int i, const char *path, const struct image *img,
                    struct errmsg *e) MUST_USE;
/* Removes every file and directory that was made. path_of gives the path of file i for mem_free. */
void out_tree_undo(struct out_tree *t, char *(*path_of)(const void *arg, int i), const void *arg);
void out_tree_done(struct out_tree *t);

#endif
