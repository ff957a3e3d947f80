#include "set_state.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* CIFAR-10 needs 150 MB, Tiny ImageNet 1.2 GB. */
static const size_t memory_default = (size_t)1 << 30;

/* The first sample that decodes fixes size and channels for all. */
static status find_shape(struct train_set *s, struct errmsg *e)
{
    status st = STATUS_NOT_FOUND;
    for (int i = 0; i < s->n && st; i++) {
        struct image img = IMAGE_INIT;
        st = set_decode(s, i, &img, e);
        if (!st) {
            s->width = s->opt.min_side ? s->opt.min_side : img.width;
            s->height = s->opt.min_side ? s->opt.min_side : img.height;
            s->channels = img.channels;
            image_done(&img);
        } else if (!s->opt.skip_bad || !set_is_bad_file(st)) {
            return st;
        }
    }
    return st ? errmsg_prefix(e, st, "no image of %s decodes; the last", s->dir) : STATUS_OK;
}

static status open_dir(struct train_set *s, struct errmsg *e)
{
    s->dirfd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dirfd >= 0)
        return STATUS_OK;
    int err = errno;
    return errmsg_set(e, status_from_errno(err), "cannot read directory %s: %s", s->dir,
                      strerror(err));
}

static status check_options(const struct train_data_options *o, struct errmsg *e)
{
    if (!o->dir || !*o->dir)
        return errmsg_set(e, STATUS_INVALID, "no data directory given");
    if (o->channels != 0 && o->channels != 1 && o->channels != 3)
        return errmsg_set(e, STATUS_INVALID, "channels must be 1 or 3, not %d", o->channels);
    if (o->size < 0 || o->size > 4096 || o->downscale < 0 || o->limit < 0 || o->min_side < 0)
        return errmsg_set(e, STATUS_INVALID, "size, downscale and limit may not be negative");
    return STATUS_OK;
}

status train_set_open(const struct train_data_options *opt, struct train_set **out,
                      struct errmsg *e)
{
    status st = check_options(opt, e);
    if (st)
        return st;
    AUTO(train_set_free) struct train_set *s = mem_zalloc(1, sizeof *s);
    if (!s)
        return STATUS_NOMEM;
    s->dirfd = -1;
    s->opt = *opt;
    s->dir = mem_strdup(opt->dir);
    s->opt.dir = s->dir;
    if (!s->dir)
        return STATUS_NOMEM;
    if (!s->opt.threads)
        s->opt.threads = cpu_count();
    if (!s->opt.memory_bytes)
        s->opt.memory_bytes = memory_default;
    st = open_dir(s, e);
    if (!st)
        st = opt->flat ? set_list_flat(s, e) : set_list_classes(s, e);
    if (!st)
        st = set_apply_limit(s);
    if (!st)
        st = find_shape(s, e);
    if (!st && opt->skip_bad)
        st = set_drop_bad(s, e);
    if (!st)
        *out = TAKE(s);
    return st;
}

static void free_samples(struct sample *sample, int n)
{
    for (int i = 0; i < n; i++) {
        mem_free(sample[i].path);
        mem_free(atomic_load(&sample[i].kept));
    }
    mem_free(sample);
}

void train_set_free(struct train_set *s)
{
    if (!s)
        return;
    free_samples(s->sample, s->n);
    for (int k = 0; k < s->classes; k++)
        mem_free(s->class_name[k]);
    mem_free(s->class_name);
    if (s->dirfd >= 0)
        close(s->dirfd);
    mem_free(s->dir);
    mem_free(s);
}

struct train_set_info train_set_info(const struct train_set *s)
{
    struct train_set_info info = {.samples = s->n,
                                  .classes = s->classes,
                                  .width = s->width,
                                  .height = s->height,
                                  .channels = s->channels,
                                  .bad = s->bad};
    memcpy(info.first_bad, s->first_bad, sizeof info.first_bad);
    return info;
}

const char *train_set_class(const struct train_set *s, int k)
{
    return k >= 0 && k < s->classes ? s->class_name[k] : NULL;
}

const char *train_set_path(const struct train_set *s, int i)
{
    return s->sample[i].path;
}

int train_set_label(const struct train_set *s, int i)
{
    return s->sample[i].label;
}
