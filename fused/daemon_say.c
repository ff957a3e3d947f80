/* What the user is told at the start, while there is a terminal. */
#include "daemon_parts.h"

#include "examine_path.h"
#include "mounts.h"
#include <inttypes.h>

#include "base/banned.h"

/* The look at the source before a mount is said to be ready: so many entries, and so long. */
enum { LOOK_ENTRIES = 10000 };
static const uint64_t look_ns = 100 * 1000000u;
enum { LOOK_NAMES = 3 };

struct first_look {
    struct fs *fs;
    uint64_t until_ns;
    unsigned entries;
    bool all;
};

static status look_visit(const struct image_entry *entry, void *arg)
{
    struct first_look *l = arg;
    if (++l->entries > LOOK_ENTRIES || time_mono_ns() > l->until_ns)
        return STATUS_CANCELLED;
    if (entry->kind == IMAGE_ENTRY_DIR && mount_guard(entry->dirfd, entry->name))
        *entry->descend = false;
    if (entry->kind == IMAGE_ENTRY_FILE || entry->kind == IMAGE_ENTRY_SYMLINK)
        examine_path_only(l->fs, entry->dirfd, entry->name, entry->path);
    return STATUS_OK;
}

struct saying {
    struct buf *text;
    int left;
};

static void say_name(void *arg, const struct name_list_entry *en)
{
    struct saying *s = arg;
    if (s->left-- > 0)
        status_ignore(buf_addf(s->text, "%s%s (%s)", s->left == LOOK_NAMES - 1 ? "" : ", ",
                               TEXT_SHOWN(en->name), en->why),
                      "the count says enough");
}

void daemon_say_unpurified(struct fs *fs)
{
    struct first_look l = {.fs = fs, .until_ns = time_mono_ns() + look_ns};
    char root[64];
    snprintf(root, sizeof root, "/proc/self/fd/%d", fs->root_fd);
    l.all = image_walk(root, NULL, look_visit, &l, NULL) == STATUS_OK;
    uint64_t n = name_list_count(fs->lists.group[FUSED_GROUP_UNPURIFIED]);
    if (!n)
        return;
    AUTO(buf_done) struct buf names = BUF_INIT(64u << 10);
    struct saying s = {&names, LOOK_NAMES};
    name_list_each(fs->lists.group[FUSED_GROUP_UNPURIFIED], say_name, &s);
    fprintf(stderr,
            "relearnfsd: %s%" PRIu64 " images NOT PURIFIED, %s: %s%s (relearn status names them)\n",
            l.all ? "" : "at least ", n,
            fs->opt.strict ? "reading them is an error" : "served as they are",
            names.len ? names.data : "", n > LOOK_NAMES ? ", ..." : "");
}

void daemon_say_limits(struct daemon *d)
{
    struct fs *fs = &d->fs;
    struct cache_stats cs = {0};
    if (!fs->stack.cache || cache_stats(fs->stack.cache, &cs))
        return; /* said before */
    char limit[64] = "no limit", size[32];
    uint64_t min_free = d->opt->min_free_bytes;
    if (!min_free)
        min_free = cache_default_limits(fs->stack.cache_dir).min_free_bytes;
    if (cs.max_bytes && cs.max_bytes != CACHE_NO_LIMIT)
        snprintf(limit, sizeof limit, "at most %s", text_bytes(cs.max_bytes, size));
    fprintf(stderr, "relearnfsd: cache %s: %s, %s stay free (-o cache_size, min_free)\n",
            TEXT_SHOWN(fs->stack.cache_dir), limit, text_bytes(min_free, size));
}
