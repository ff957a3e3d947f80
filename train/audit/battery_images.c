/* The folders that a battery reads. */
#include "audit/battery.h"
#include "audit/out.h"

#include "bench/tree.h"
#include "pairs.h"
#include "set.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { OF = 5 }; /* every fifth is held out */

static status link_to(const char *target, const char *path, struct errmsg *e)
{
    AUTO(mem_free) char *dir = mem_strdup(path);
    if (!dir)
        return STATUS_NOMEM;
    *strrchr(dir, '/') = 0;
    status st = io_mkdirs(dir, 0, e);
    if (st || symlink(target, path) == 0)
        return st;
    int err = errno;
    return errmsg_set(e, status_from_errno(err), "cannot link %s: %s", path, strerror(err));
}

static status link_folder(const struct battery *b, const char *dir, const char *name,
                          struct errmsg *e)
{
    char *real = realpath(dir, NULL);
    if (!real) {
        int err = errno;
        return errmsg_set(e, status_from_errno(err), "cannot read %s: %s", dir, strerror(err));
    }
    AUTO(mem_free) char *path = mem_printf("%s/images/%s", b->o.out_dir, name);
    status st = path ? link_to(real, path, e) : STATUS_NOMEM;
    free(real);
    return st;
}

/* OUT/images/PART/<class>/<image> -> the file of a set. */
static status link_file(const struct battery *b, const char *part, const char *real,
                        const char *file, struct errmsg *e)
{
    AUTO(mem_free) char *target = mem_printf("%s/%s", real, file);
    AUTO(mem_free) char *path = mem_printf("%s/images/%s/%s", b->o.out_dir, part, file);
    return target && path ? link_to(target, path, e) : STATUS_NOMEM;
}

static status link_pairs(const struct battery *b, const struct pairs *p, const char *clean,
                         const char *protected, struct errmsg *e)
{
    AUTO(mem_free) int *seen = mem_zalloc((size_t)train_set_info(p->clean).classes, sizeof *seen);
    status st = seen ? STATUS_OK : STATUS_NOMEM;
    for (int i = 0; i < p->n && !st; i++) {
        int at = p->clean_at[i], k = train_set_label(p->clean, at);
        bool held_out = ++seen[k] % OF == 0;
        st = link_file(b, held_out ? "test" : "clean", clean, train_set_path(p->clean, at), e);
        if (!st && !held_out)
            st = link_file(b, "protected", protected,
                           train_set_path(p->protected, p->protected_at[i]), e);
    }
    for (int k = 0; k < train_set_info(p->clean).classes && !st; k++)
        if (seen[k] < OF)
            st = errmsg_set(e, STATUS_INVALID,
                            "%s has %d images of class %s, too few to hold some out (--test DIR)",
                            b->o.clean_dir, seen[k], train_set_class(p->clean, k));
    return st;
}

/* Of OF times as many as are trained on, as many again at most are held out. */
static status hold_out(const struct battery *b, struct errmsg *e)
{
    const struct pairs_options o = {.clean_dir = b->o.clean_dir,
                                    .protected_dir = b->o.dir,
                                    .size = 1,
                                    .limit = b->o.limit <= INT32_MAX / OF ? OF * b->o.limit : 0,
                                    .labelled = true,
                                    .threads = b->o.threads};
    struct pairs p = {.n = 0};
    status st = pairs_open(&o, &p, e);
    char *clean = realpath(b->o.clean_dir, NULL), *protected = realpath(b->o.dir, NULL);
    if (!st)
        st = clean && protected ? link_pairs(b, &p, clean, protected, e) : STATUS_NOT_FOUND;
    free(clean);
    free(protected);
    pairs_done(&p);
    return st;
}

static bool is_empty(const char *path)
{
    DIR *d = opendir(path);
    const struct dirent *entry;
    int n = 0;
    while (d && (entry = readdir(d)))
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (d)
        closedir(d);
    return n == 0;
}

/* What is written into a folder, and removed from it when a battery goes on, could be somebody's: it
   must be an empty one, or one with the mark of a battery. */
static status mark_out(const struct battery *b, struct errmsg *e)
{
    static const char text[] = "A battery of relearn audit was begun here.\n";
    AUTO(mem_free) char *mark = mem_printf("%s/.battery", b->o.out_dir);
    if (!mark)
        return STATUS_NOMEM;
    if (access(mark, F_OK) == 0)
        return STATUS_OK;
    if (!is_empty(b->o.out_dir))
        return errmsg_set(e, STATUS_EXISTS,
                          "%s is not empty, and no battery was begun there (give it a new folder)",
                          b->o.out_dir);
    status st = io_mkdirs(b->o.out_dir, 0, e);
    return st ? st : io_write_file(mark, text, sizeof text - 1, e);
}

static status set_folders(struct battery *b, struct errmsg *e)
{
    AUTO(mem_free) char *images = mem_printf("%s/images", b->o.out_dir);
    if (!images)
        return STATUS_NOMEM;
    const char *const dir[] = {b->o.dir, b->o.clean_dir, b->o.test_dir};
    status st = audit_check_out(b->o.out_dir, dir, ARRAY_LEN(dir), e);
    if (!st)
        st = mark_out(b, e);
    if (st)
        return st;
    tree_remove_folder(images);
    b->r->held_out = !b->o.test_dir;
    if (b->r->held_out) {
        st = hold_out(b, e);
        b->data = mem_printf("%s/clean", images);
        b->test = mem_printf("%s/test", images);
    } else {
        if (b->o.clean_dir)
            st = link_folder(b, b->o.dir, "protected", e);
        b->data = mem_strdup(b->o.clean_dir ? b->o.clean_dir : b->o.dir);
        b->test = mem_strdup(b->o.test_dir);
    }
    return st ? st : b->data && b->test ? STATUS_OK : STATUS_NOMEM;
}

static status check_classes(const struct battery *b, const struct train_set *data,
                            const struct train_set *test, struct errmsg *e)
{
    int n = train_set_info(data).classes;
    bool same = n == train_set_info(test).classes;
    for (int k = 0; k < n && same; k++)
        same = strcmp(train_set_class(data, k), train_set_class(test, k)) == 0;
    return same ? STATUS_OK
                : errmsg_set(e, STATUS_INVALID, "%s and %s do not have the same classes", b->data,
                             b->test);
}

status battery_images(struct battery *b, struct errmsg *e)
{
    AUTO(train_set_free) struct train_set *data = NULL;
    AUTO(train_set_free) struct train_set *test = NULL;
    status st = set_folders(b, e);
    struct train_data_options o = {
        .dir = b->data, .limit = b->o.limit, .any_size = true, .memory_bytes = 1};
    if (!st)
        st = train_set_open(&o, &data, e);
    o.dir = b->test;
    o.limit = 0;
    if (!st)
        st = train_set_open(&o, &test, e);
    if (st)
        return st;
    b->r->images = train_set_info(data).samples;
    b->r->classes = train_set_info(data).classes;
    b->r->test_images = train_set_info(test).samples;
    return check_classes(b, data, test, e);
}
