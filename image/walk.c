/* The directory walk. Each directory's names are read completely and sorted, and then visited, so
   that the order does not depend on the file system. */
#include "walk_level.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { PATH_BYTES_MAX = 1 << 28 };

/* ---- entries ---- */

static enum image_entry_kind kind_of_mode(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return IMAGE_ENTRY_FILE;
    case S_IFDIR:
        return IMAGE_ENTRY_DIR;
    case S_IFLNK:
        return IMAGE_ENTRY_SYMLINK;
    default:
        return IMAGE_ENTRY_OTHER;
    }
}

static bool is_followed(const struct walk *w, const struct image_entry *link)
{
    return w->opts->follow_symlinks || (w->opts->follow && w->opts->follow(link, w->arg));
}

/* What a directory entry is. Asks the file system only when the directory does not say. */
static void tell_kind(const struct walk *w, unsigned char type, struct image_entry *en)
{
    struct stat sb;
    en->kind = type == DT_REG   ? IMAGE_ENTRY_FILE
               : type == DT_DIR ? IMAGE_ENTRY_DIR
                                : IMAGE_ENTRY_SYMLINK;
    if (type != DT_REG && type != DT_DIR && type != DT_LNK) {
        if (fstatat(en->dirfd, en->name, &sb, AT_SYMLINK_NOFOLLOW) != 0) {
            en->kind = IMAGE_ENTRY_ERROR;
            en->error = status_from_errno(errno);
            return;
        }
        en->kind = kind_of_mode(sb.st_mode);
    }
    /* A dangling link is reported as a link. */
    if (en->kind == IMAGE_ENTRY_SYMLINK && is_followed(w, en) &&
        fstatat(en->dirfd, en->name, &sb, 0) == 0) {
        en->kind = kind_of_mode(sb.st_mode);
        en->linked = true;
    }
}

/* ---- visits ---- */

static status visit_dir(struct walk *w, struct image_entry *en)
{
    bool descend = true;
    en->descend = &descend;
    status st = w->fn(en, w->arg);
    if (st || !descend)
        return st;
    struct stat sb;
    int fd;
    st = walk_open_dir(en->dirfd, en->name, en->linked, &fd, &sb);
    if (!st && (en->linked || w->links) && walk_is_in(w, &sb)) { /* only a link leads back */
        close(fd);
        en->linked = true;
        st = STATUS_LIMIT;
    } else if (!st) {
        st = walk_push(w, fd, en->linked, &sb);
    }
    if (!st || st == STATUS_NOMEM)
        return st;
    en->kind = IMAGE_ENTRY_ERROR;
    en->error = st;
    en->descend = NULL;
    return w->fn(en, w->arg);
}

static status visit_next(struct walk *w)
{
    struct walk_level *l = &w->level[w->n - 1];
    const char *entry = l->names.sorted[l->next++];
    walk_path_cut(w, l->path_len);
    status st = l->path_len ? buf_add(&w->path, "/", 1) : STATUS_OK;
    if (!st)
        st = buf_add(&w->path, entry + 1, strlen(entry + 1));
    if (st == STATUS_LIMIT) { /* the entry of its directory was reported instead */
        walk_path_cut(w, l->path_len);
        return walk_report_error(w, l->fd, ".", st);
    }
    if (st)
        return st;
    struct image_entry en = {.path = w->path.data, .name = entry + 1, .dirfd = l->fd};
    tell_kind(w, (unsigned char)entry[0], &en);
    return en.kind == IMAGE_ENTRY_DIR ? visit_dir(w, &en) : w->fn(&en, w->arg);
}

static status walk_all(struct walk *w)
{
    status st = STATUS_OK;
    while (!st && w->n) {
        const struct walk_level *l = &w->level[w->n - 1];
        st = l->next < l->names.n ? visit_next(w) : walk_pop(w);
    }
    return st;
}

static status open_root(struct walk *w, const char *root)
{
    struct stat sb;
    int fd = -1;
    status st = io_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, &fd);
    if (st)
        return st;
    if (fstat(fd, &sb) != 0) {
        st = status_from_errno(errno);
        close(fd);
        return st;
    }
    return walk_push(w, fd, false, &sb);
}

status image_walk(const char *root, const struct image_walk_opts *opts, image_walk_fn *fn,
                  void *arg, struct errmsg *e)
{
    static const struct image_walk_opts none;
    struct walk w = {.opts = opts ? opts : &none,
                     .fn = fn,
                     .arg = arg,
                     .path = BUF_INIT(PATH_BYTES_MAX),
                     .first_open = 1};
    status st = open_root(&w, root);
    if (st)
        errmsg_set(e, st, "%s: %s", root, status_text(st));
    else
        st = walk_all(&w);
    walk_levels_done(&w);
    buf_done(&w.path);
    return st;
}
