/* Published UNets as weights files of ours: see unet_import.h for the families. */
#include "unet_import.h"

#include "model.h"

#include <sys/stat.h>

static const struct unet_family *const families[] = {&unet_ddpm, &unet_diffusers, &unet_adm};

status unet_add_level(struct purify_unet *u, int channels, bool attends, struct errmsg *e)
{
    if (u->levels == PURIFY_LEVELS_MAX || u->ch < 1 || channels % u->ch)
        return errmsg_set(e, STATUS_UNSUPPORTED,
                          "level %d has %d channels and the first convolution %d", u->levels,
                          channels, u->ch);
    if (attends)
        u->attn[u->attn_count++] = u->size >> u->levels;
    u->ch_mult[u->levels++] = channels / u->ch;
    return STATUS_OK;
}

/* ---- which family, and where in the file ---- */

static status find_family(struct unet_source *s, const struct nn_file *f,
                          const struct unet_family **out, struct errmsg *e)
{
    const char *found = NULL, *pre = s->how->prefix ? s->how->prefix : "";
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        bool had = found != NULL;
        status st = import_look(f, s->how->prefix, families[i]->mark, &s->src, &found, e);
        if (st)
            return st;
        if (found && !had)
            *out = families[i];
    }
    if (found)
        return STATUS_OK;
    return errmsg_set(e, STATUS_UNSUPPORTED,
                      "no network that is known: no tensor is called \"%s%s\" (%s), \"%s%s\" (%s) "
                      "or \"%s%s\" (%s)",
                      pre, families[0]->mark, families[0]->name, pre, families[1]->mark,
                      families[1]->name, pre, families[2]->mark, families[2]->name);
}

/* A small file must not make us allocate a large network: two 3x3 convolutions a block are the
   least that a level of so many channels has. */
static status check_amount(const struct unet_source *s, const struct purify_unet *u,
                           struct errmsg *e)
{
    double least = 0, have = 0;
    for (int i = 0; i < u->levels; i++) {
        double c = (double)u->ch * u->ch_mult[i];
        least += u->res_blocks * 18 * c * c;
    }
    for (int i = 0; i < nn_file_count(s->src.file); i++)
        have += (double)nn_shape_count(nn_file_at(s->src.file, i)->shape);
    if (have >= least)
        return STATUS_OK;
    return errmsg_set(
        e, STATUS_UNSUPPORTED,
        "the tensors' names and shapes make an architecture of more than %.0f numbers, "
        "and there are %.0f",
        least, have);
}

static status find_architecture(const struct unet_source *s, const struct unet_family *f,
                                struct purify_unet *out, struct errmsg *e)
{
    const struct purify_import *how = s->how;
    struct purify_unet u = {.size = how->size ? how->size : 32,
                            .groups = how->groups ? how->groups : 32,
                            .heads = how->heads,
                            .head_channels = how->head_channels,
                            .total = how->timesteps ? how->timesteps : 1000,
                            .beta = how->beta};
    status st = f->architecture(s, &u, e);
    u.t_max = u.total;
    if (!st)
        st = purify_unet_check(&u, e);
    if (!st)
        st = check_amount(s, &u, e);
    if (!st)
        *out = u;
    return st == STATUS_INVALID ? STATUS_UNSUPPORTED : st; /* the file's fault, not the caller's */
}

static status import_file(struct unet_source *s, const struct nn_file *file, const char *out_path,
                          struct purify_unet *out, struct errmsg *e)
{
    AUTO(nn_params_free) struct nn_params *p = NULL;
    const struct unet_family *f = NULL;
    struct purify_unet u = {0};
    struct purify_meta meta;
    status st = find_family(s, file, &f, e);
    if (!st)
        st = find_architecture(s, f, &u, e);
    if (!st)
        st = nn_params_new(&p);
    if (!st)
        st = unet_declare(p, &u, e);
    if (!st)
        st = unet_import_values(s, f, &u, p, e);
    if (st)
        return st;
    purify_unet_to_meta(&u, &meta);
    meta.pair[meta.n++] = (struct nn_meta){"imported_from", f->name};
    st = import_save(&s->src, p, &meta, out_path, e);
    if (!st)
        *out = u;
    return st;
}

/* ---- a file, or a folder of diffusers ---- */

static status read_json(const char *dir, const char *name, json_t **out, struct errmsg *e)
{
    AUTO(mem_free) char *path = mem_printf("%s/%s", dir, name);
    AUTO(mem_free) void *data = NULL;
    enum { CONFIG_MAX = 1 << 20 };
    size_t len = 0;
    json_error_t why;
    if (!path)
        return STATUS_NOMEM;
    if (access(path, F_OK) != 0)
        return STATUS_NOT_FOUND;
    status st = io_read_file(path, CONFIG_MAX, &data, &len, e);
    if (st)
        return st;
    *out = json_loadb(data, len, 0, &why);
    if (!json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        return errmsg_set(e, STATUS_CORRUPT, "%s is no JSON object: %s", path,
                          why.text[0] ? why.text : "it is something else");
    }
    return STATUS_OK;
}

/* The weights in dir, by one of the names that diffusers gives them. */
static status open_folder(const char *dir, struct nn_file **out, struct errmsg *e)
{
    static const char *const names[] = {"diffusion_pytorch_model.safetensors",
                                        "diffusion_pytorch_model.bin", "diffusion_model.pt"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO(mem_free) char *path = mem_printf("%s/%s", dir, names[i]);
        if (!path)
            return STATUS_NOMEM;
        if (access(path, F_OK) == 0)
            return nn_file_open_any(path, out, e);
    }
    return errmsg_set(e, STATUS_NOT_FOUND, "%s holds no %s and no %s", dir, names[0], names[1]);
}

/* A pipeline's folder has the network in unet and the schedule in scheduler; a network's has at
   most the schedule as well. */
static status import_folder(const char *path, struct unet_source *s, const char *out_path,
                            struct purify_unet *out, struct errmsg *e)
{
    AUTO(mem_free) char *sub = mem_printf("%s/unet", path);
    AUTO(mem_free) char *beside = mem_printf("%s/scheduler", path);
    AUTO(nn_file_close) struct nn_file *f = NULL;
    json_t *config = NULL, *scheduler = NULL;
    if (!sub || !beside)
        return STATUS_NOMEM;
    const char *dir = access(sub, F_OK) == 0 ? sub : path;
    status st = read_json(dir, "config.json", &config, e);
    if (st == STATUS_NOT_FOUND)
        return errmsg_set(e, st, "%s holds no config.json: it is no folder of diffusers", dir);
    if (!st)
        st = read_json(beside, "scheduler_config.json", &scheduler, e);
    if (st == STATUS_NOT_FOUND)
        st = read_json(path, "scheduler_config.json", &scheduler, e);
    if (!st || st == STATUS_NOT_FOUND)
        st = open_folder(dir, &f, e);
    s->config = config;
    s->scheduler = scheduler;
    if (!st)
        st = import_file(s, f, out_path, out, e);
    json_decref(config);
    json_decref(scheduler);
    return st;
}

status purify_unet_import(const char *path, const struct purify_import *how, const char *out_path,
                          struct purify_unet *out, struct errmsg *e)
{
    AUTO(nn_file_close) struct nn_file *f = NULL;
    struct unet_source s = {.how = how};
    struct stat sb;
    if (stat(path, &sb) == 0 && S_ISDIR(sb.st_mode))
        return import_folder(path, &s, out_path, out, e);
    status st = nn_file_open_any(path, &f, e);
    return st ? st : import_file(&s, f, out_path, out, e);
}
