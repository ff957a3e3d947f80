/* Removing trees that nobody needs. */
#include "bench/claim.h"
#include "bench/tree.h"

#include <fcntl.h>
#include <ftw.h>
#include <string.h>

static int remove_one(const char *path, const struct stat *sb, int kind, struct FTW *f)
{
    (void)sb;
    (void)kind;
    (void)f;
    return remove(path);
}

void tree_remove_folder(const char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS); /* what stays is named by no stamp */
}

/* A tree, and while it is not there, what its making reads. */
static void need(const struct train_bench *b, int i, bool *needed)
{
    int reads[BENCH_NEEDS_MAX], n = tree_ready(b, i) ? 0 : bench_needs(b, i, reads);
    needed[i] = true;
    for (int k = 0; k < n; k++)
        need(b, reads[k], needed);
}

static void remove_record(const struct train_bench *b, const char *id, const char *tail)
{
    AUTO(mem_free) char *path = bench_path(b, "trees", id, tail);
    if (path)
        (void)unlink(path);
}

/*
 * Who begins work writes its claim, then looks whether the tree has its stamp. Who removes takes the
 * stamp away, then looks for claims. So at least one of two sees the other.
 */
static void remove_tree(const struct train_bench *b, int i)
{
    static const char *const nothing[CLAIM_NEEDS_MAX];
    struct claim c;
    const char *id = b->tree[i].id;
    AUTO(mem_free) char *claims = mem_printf("%s/claims", b->out);
    AUTO(mem_free) char *path = bench_path(b, "trees", id, "");
    AUTO(mem_free) char *part = bench_path(b, "trees", id, ".part");
    AUTO(mem_free) char *stamp = bench_path(b, "trees", id, ".json");
    AUTO(mem_free) char *aside = bench_path(b, "trees", id, ".aside");
    if (!claims || !path || !part || !stamp || !aside ||
        claim_take(claims, id, nothing, CLAIM_STALE_S, &c, NULL))
        return;
    bool whole = io_rename(AT_FDCWD, stamp, aside) == STATUS_OK;
    if (whole && claim_needed(claims, id, CLAIM_STALE_S)) {
        status_ignore(io_rename(AT_FDCWD, aside, stamp), "it is made again");
    } else {
        tree_remove_folder(path);
        tree_remove_folder(part);
        (void)unlink(aside);
        remove_record(b, id, ".purification.json");
        remove_record(b, id, ".part.purification.json");
        bench_remove_aside(b, "trees", id);
    }
    claim_release(&c);
}

/* Whole, or what an end in the midst of things left of it. */
static bool is_there(const struct train_bench *b, int i)
{
    static const char *const tail[] = {
        ".json", "", ".part", ".aside", ".purification.json", ".part.purification.json"};
    for (size_t k = 0; k < ARRAY_LEN(tail); k++)
        if (bench_there(b, "trees", b->tree[i].id, tail[k]))
            return true;
    return false;
}

void tree_remove_unneeded(const struct train_bench *b)
{
    AUTO(mem_free) bool *needed = mem_zalloc((size_t)b->n_trees, sizeof *needed);
    if (!needed || b->keep)
        return;
    for (int i = 0; i < b->n_cells; i++)
        if (!bench_there(b, "results", b->cell[i].id, ".json"))
            need(b, b->cell[i].tree, needed);
    for (int i = 0; i < b->n_trees; i++)
        if (!needed[i] && is_there(b, i))
            remove_tree(b, i);
}
