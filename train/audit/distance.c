/* The unlearnable distance of a tree of images, by two runs that are kept in OUT. What a run was
   trained on, and how, makes its name: what is changed makes another run. */
#include "audit/out.h"

#include "model.h"
#include "set.h"

#include <string.h>
#include <unistd.h>

enum { STANDARD_EPOCHS = 10 };

static status check(const struct train_distance_options *o, struct errmsg *e)
{
    if (!o->clean_dir)
        return errmsg_set(e, STATUS_INVALID,
                          "a distance is that from the same images as they were before: --clean "
                          "DIR");
    if (o->epochs < 0 || o->limit < 0 || o->size < 0)
        return errmsg_set(e, STATUS_INVALID, "a number of a distance is below 0");
    const char *const dir[] = {o->dir, o->clean_dir};
    status st = o->arch && !train_net_find(o->arch) ? train_net_unknown(o->arch, e) : STATUS_OK;
    return st ? st : audit_check_out(o->out_dir, dir, ARRAY_LEN(dir), e);
}

static struct train_distance_options complete(struct train_distance_options o)
{
    o.arch = o.arch ? o.arch : audit_arch;
    o.epochs = o.epochs ? o.epochs : STANDARD_EPOCHS;
    o.limit = o.limit ? o.limit : TRAIN_AUDIT_LIMIT;
    return o;
}

/* As a battery trains: without augmentation, at small steps, few images are soon known by heart. */
static struct train_options run_options(const struct train_distance_options *o, const char *dir)
{
    struct train_options t = train_options_default();
    t.data_dir = dir;
    t.arch = o->arch;
    t.epochs = o->epochs;
    t.batch = 64;
    t.lr = .05f;
    t.pad = 0;
    t.flip = false;
    t.limit = o->limit;
    t.size = o->size;
    t.channels = o->channels;
    t.skip_bad = o->skip_bad;
    t.threads = o->threads;
    t.sal = true;
    t.quiet = o->quiet;
    return t;
}

/* OUT/KIND-DIGEST-NETWORK-EPOCHS, for mem_free. The digest is of pixels as they are trained on. */
static status name_run(const struct train_distance_options *o, const char *kind, const char *dir,
                       char **out, int *out_images, struct errmsg *e)
{
    AUTO(train_set_free) struct train_set *set = NULL;
    struct digest digest;
    char hex[DIGEST_HEX_LEN + 1];
    const struct train_data_options d = {.dir = dir,
                                         .limit = o->limit,
                                         .size = o->size,
                                         .channels = o->channels,
                                         .skip_bad = o->skip_bad,
                                         .threads = o->threads};
    status st = train_set_open(&d, &set, e);
    if (!st)
        st = train_set_digest(set, &digest, e);
    if (st)
        return st;
    digest_hex(&digest, hex);
    *out_images = train_set_info(set).samples;
    *out = mem_printf("%s/%s-%.12s-%s-%d", o->out_dir, kind, hex, o->arch, o->epochs);
    return *out ? STATUS_OK : STATUS_NOMEM;
}

/* A run that was stopped goes on; one that is whole stays as it is. */
static status run(const struct train_distance_options *o, const char *kind, const char *dir,
                  char **out_run, int *out_images, struct errmsg *e)
{
    struct train_result r;
    struct train_options t = run_options(o, dir);
    status st = name_run(o, kind, dir, out_run, out_images, e);
    if (st)
        return st;
    AUTO(mem_free) char *checkpoint = mem_printf("%s/checkpoint.safetensors", *out_run);
    if (!checkpoint)
        return STATUS_NOMEM;
    t.out_dir = *out_run;
    t.resume = access(checkpoint, F_OK) == 0;
    t.force = !t.resume;
    return train_run(&t, &r, e);
}

status train_distance(const struct train_distance_options *opt, struct train_distance *out,
                      struct errmsg *e)
{
    AUTO(mem_free) char *clean = NULL;
    AUTO(mem_free) char *audited = NULL;
    struct train_distance_options o = complete(*opt);
    struct train_distance d = {.arch = o.arch};
    status st = check(opt, e);
    if (!st)
        st = run(&o, "clean", o.clean_dir, &clean, &d.images, e);
    if (!st)
        st = run(&o, "audited", o.dir, &audited, &d.images, e);
    if (!st)
        st = train_ud(clean, audited, &d.ud, e);
    if (!st)
        *out = d;
    return st;
}
