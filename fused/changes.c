#include "changes.h"

#include "beneath.h"
#include "fs.h"
#include "sweep.h"
#include <fcntl.h>
#include <string.h>

#include "base/banned.h"

enum { NOTICES_MAX = 4096 };

struct entry_notice {
    struct notice notice;
    struct fs *fs;
    struct node *parent; /* referenced */
    char name[];
};

static void entry_notice_sent(struct notice *notice)
{
    struct entry_notice *en = notice->arg;
    table_unref(en->fs->table, en->parent);
    mem_free(en);
}

/* Takes the caller's reference to parent. */
static void forget_entry(struct fs *fs, struct node *parent, const char *name)
{
    struct entry_notice *en = mem_alloc(sizeof *en + strlen(name) + 1);
    if (!en) {
        table_unref(fs->table, parent);
        return;
    }
    memcpy(en->name, name, strlen(name) + 1);
    en->fs = fs;
    en->parent = parent;
    en->notice = (struct notice){.kind = NOTICE_ENTRY,
                                 .ino = fs_ino(fs, parent),
                                 .name = en->name,
                                 .done = entry_notice_sent,
                                 .arg = en};
    notifier_push(fs->notifier, &en->notice);
}

/* The node the kernel knows under this path now, with a reference; NULL for none. */
static struct node *node_at(struct fs *fs, const char *path)
{
    AUTO(fd_close) int fd = -1;
    struct stat sb;
    if (fs_open_path(fs, path, O_PATH, &fd) || fstat(fd, &sb) < 0)
        return NULL;
    return table_find(fs->table, sb.st_dev, sb.st_ino, path);
}

static void forget_listing(struct fs *fs, const char *dir, const char *name)
{
    struct node *parent = node_at(fs, dir);
    if (!parent)
        return;
    table_set_changed(fs->table, parent, (int64_t)time_real_ns());
    table_ref(fs->table, parent);
    forget_entry(fs, parent, name);
    fs_forget_cached(fs, parent, true);
}

void changes_apply(struct fs *fs, const struct change *c)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(c->path, '/');
    const char *name = slash ? slash + 1 : c->path;
    size_t len = slash ? (size_t)(slash - c->path) : 0;
    if (!*name || len >= sizeof dir)
        return; /* a directory's event about itself; its parent's says the same */
    memcpy(dir, c->path, len);
    dir[len] = 0;
    notifier_wait_room(fs->notifier, NOTICES_MAX);
    if (c->names)
        forget_listing(fs, len ? dir : ".", name);
    struct node *n = node_at(fs, c->path);
    /* Who has it open goes on reading the version that was opened (inode.h). */
    if (n)
        fs_forget_cached(fs, n, c->directory || !table_has_readers(fs->table, n));
    if (c->content && !c->directory)
        sweep_hint(fs->sweep, c->path);
}

void changes_lost(struct fs *fs)
{
    struct node **all;
    size_t n;
    if (table_all(fs->table, &all, &n)) {
        log_warn("out of memory: what the kernel remembers may be out of date for %.0f s",
                 fs->opt.timeout);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        notifier_wait_room(fs->notifier, NOTICES_MAX);
        AUTO(mem_free) char *name = NULL;
        struct node *parent = table_place(fs->table, all[i], &name);
        if (parent && name)
            forget_entry(fs, parent, name);
        else if (parent)
            table_unref(fs->table, parent);
        fs_forget_cached(fs, all[i], !table_has_readers(fs->table, all[i]));
    }
    mem_free(all);
}
