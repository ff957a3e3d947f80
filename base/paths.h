#ifndef BASE_PATHS_H
#define BASE_PATHS_H
/*
 * Where things live (XDG): cache ~/.cache/relearnfs (/var/cache/relearnfs for root without HOME),
 * configuration ~/.config/relearnfs, shipped data (models/, profiles/, matrices/) in
 * $RELEARN_DATA_DIR, else <directory of the executable>/../share/relearnfs.
 * Every call returns a new string for mem_free.
 */
#include "status.h"

status path_cache_dir(char **out) MUST_USE;
status path_config_dir(char **out) MUST_USE;
status path_data_dir(char **out) MUST_USE;
/* A program that was installed beside the running one ("relearnfsd"). */
status path_sibling(const char *program, char **out) MUST_USE;

#endif
