/*
 * inotifywait goes by paths, and gives up a whole tree for one entry whose path is too long. Then
 * the directories that hold such paths are looked for and left out of the watch; what is in them is
 * believed for a second only (watch_is_blind).
 */
#include "watch_parts.h"

#include "mounts.h"
#include <string.h>

#include "base/banned.h"

/* A directory whose path is longer may have entries that inotifywait cannot name ("./", "/", 0). */
enum { DEEP_BYTES = PATH_MAX - NAME_MAX - 4 };

void watch_forget_deep(struct watch *w)
{
    while (w->n_deep)
        mem_free(w->deep[--w->n_deep]);
}

static status deep_visit(const struct image_entry *entry, void *arg)
{
    struct watch *w = arg;
    if (atomic_load(&w->fs->ending))
        return STATUS_CANCELLED;
    if (entry->kind != IMAGE_ENTRY_DIR)
        return STATUS_OK;
    if (mount_guard(entry->dirfd, entry->name) || strlen(entry->path) > DEEP_BYTES)
        *entry->descend = false;
    if (strlen(entry->path) <= DEEP_BYTES)
        return STATUS_OK;
    if (w->n_deep == DEEP_MAX)
        return STATUS_LIMIT;
    w->deep[w->n_deep] = mem_printf("@./%s", entry->path);
    return w->deep[w->n_deep] ? (w->n_deep++, STATUS_OK) : STATUS_NOMEM;
}

bool watch_find_deep(struct watch *w)
{
    char root[64];
    int before = w->n_deep;
    watch_forget_deep(w);
    snprintf(root, sizeof root, "/proc/self/fd/%d", w->fs->root_fd);
    if (image_walk(root, NULL, deep_visit, w, NULL) || !w->n_deep) {
        watch_forget_deep(w);
        return false;
    }
    atomic_store(&w->fs->watching.deep, true);
    if (w->n_deep != before)
        log_warn("%s: what is below %d directories with very long paths is not watched (the first: "
                 "%.200s...)",
                 w->fs->path.source, w->n_deep, w->deep[0] + 3);
    return true;
}

bool watch_is_blind(const struct fs *fs, const char *dir)
{
    return !atomic_load(&fs->watching.all) ||
           (atomic_load(&fs->watching.deep) && strlen(dir) > DEEP_BYTES);
}
