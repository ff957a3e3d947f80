/* The directory of a run: a run that is replaced is renamed, and restored if the new one fails. */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

char *train_run_path(const struct run *r, const char *name)
{
    return mem_printf("%s/%s", r->opt->out_dir, name);
}

bool train_run_file_exists(const char *path)
{
    struct stat sb;
    return path && stat(path, &sb) == 0;
}

static status remove_file(const struct run *r, const char *name, struct errmsg *e)
{
    AUTO(mem_free) char *path = train_run_path(r, name);
    if (!path)
        return STATUS_NOMEM;
    if (unlink(path) == 0 || errno == ENOENT)
        return STATUS_OK;
    int err = errno;
    return errmsg_set(e, status_from_errno(err), "cannot remove %s: %s", path, strerror(err));
}

static const char *const files[] = {"checkpoint.safetensors",
                                    "weights.safetensors",
                                    "good.safetensors",
                                    "log.jsonl",
                                    "config.json",
                                    "test.json",
                                    "images.npy"};
#define ASIDE                                                                                      \
    ".replaced" /* what the files of a run are called until the new one has a checkpoint */

/* Where `from` does not exist nothing is done. */
static status move(const struct run *r, const char *name, const char *from, const char *to,
                   struct errmsg *e)
{
    AUTO(mem_free) char *old = mem_printf("%s/%s%s", r->opt->out_dir, name, from);
    AUTO(mem_free) char *new = mem_printf("%s/%s%s", r->opt->out_dir, name, to);
    if (!old || !new)
        return STATUS_NOMEM;
    if (!train_run_file_exists(old))
        return STATUS_OK;
    status st = io_rename(AT_FDCWD, old, new);
    return st ? errmsg_set(e, st, "cannot rename %s: %s", old, status_text(st)) : STATUS_OK;
}

void train_run_undo(struct run *r)
{
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        status_ignore(remove_file(r, files[i], NULL), "the failure is being told already");
        status_ignore(move(r, files[i], ASIDE, "", NULL), "as above");
    }
    out_tree_undo(&r->dirs, NULL, NULL);
}

void train_run_drop_replaced(struct run *r)
{
    for (size_t i = 0; i < ARRAY_LEN(files) && !r->kept; i++) {
        AUTO(mem_free) char *path = mem_printf("%s/%s" ASIDE, r->opt->out_dir, files[i]);
        if (path)
            (void)unlink(path); /* if that fails it only takes disk space */
    }
    r->kept = true;
}

status train_run_prepare_dir(struct run *r, struct errmsg *e)
{
    AUTO(mem_free) char *config = train_run_path(r, "config.json");
    if (!config)
        return STATUS_NOMEM;
    if (r->opt->resume)
        return train_run_compare_config(r, e);
    if (train_run_file_exists(config) && !r->opt->force)
        return errmsg_set(e, STATUS_EXISTS,
                          "%s holds a run (use --resume to go on with it, --force to replace it)",
                          r->opt->out_dir);
    r->prepared = true;
    status st = out_tree_dir(&r->dirs, r->opt->out_dir, e);
    for (size_t i = 0; i < ARRAY_LEN(files) && !st; i++)
        st = move(r, files[i], "", ASIDE, e);
    return st ? st : train_run_write_config(r, NULL, e);
}
