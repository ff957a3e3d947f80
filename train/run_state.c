/*
 * What a run keeps on disk, and in which order: the log line of an epoch first, then the checkpoint
 * that counts it (log_bytes). A crash between the two leaves a line too many, which resuming cuts
 * off. Doubles are kept as hexadecimal floats, so a resumed run adds to the very sums it left.
 */
#include "run.h"

#include "origin.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

static char *path_in(const struct run *r, const char *name)
{
    return mem_printf("%s/%s", r->opt->out_dir, name);
}

/* ---- config.json ---- */

/* What is asked of the data; resuming takes it from here. */
static json_t *data_json(const struct run *r)
{
    const struct train_options *o = r->opt;
    return json_pack("{s:i, s:i, s:i, s:i, s:b}", "limit", o->limit, "test_limit", o->test_limit,
                     "size", o->size, "channels", o->channels, "skip_bad", o->skip_bad);
}

/* Everything that decides the bits of a run; resuming compares it. */
static json_t *options_json(const struct run *r)
{
    const struct train_options *o = r->opt;
    struct train_set_info info = train_set_info(r->set);
    json_t *j = json_pack(
        "{s:s, s:s, s:i, s:i, s:f, s:f, s:f, s:f, s:i, s:i, s:b, s:I, s:i, s:i, s:i, s:s, s:b, "
        "s:i}",
        "arch", r->model->net->name, "recipe", r->recipe->name, "epochs", o->epochs, "batch",
        r->batch, "lr", (double)r->lr, "momentum", (double)o->momentum, "weight_decay",
        (double)o->weight_decay, "clip", (double)o->clip, "warmup", o->warmup, "pad", o->pad,
        "flip", o->flip, "seed", (json_int_t)o->seed, "samples", info.samples, "classes",
        info.classes, "threads", r->threads, "precision", nn_precision_names[o->precision], "acm",
        r->probe != NULL, "test_every", o->test_every);
    json_t *shape = json_pack("{s:i, s:i, s:i}", "width", info.width, "height", info.height,
                              "channels", info.channels);
    if (j && shape)
        json_object_update(j, shape);
    json_decref(shape);
    if (j && r->probe)
        json_object_set_new(j, "probe", json_integer(o->staged.probe));
    if (j && r->recipe->staged)
        json_object_set_new(j, "staged",
                            json_pack("{s:f, s:f, s:f, s:i, s:i}", "rise", o->staged.rise, "slow",
                                      o->staged.slow, "floor", o->staged.floor, "rollbacks",
                                      o->staged.rollbacks, "probe", o->staged.probe));
    return j;
}

static json_t *config_json(const struct run *r, const char *digest)
{
    const struct train_options *o = r->opt;
    struct train_set_info info = train_set_info(r->set);
    char *data = realpath(o->data_dir, NULL);
    char *test = o->test_dir ? realpath(o->test_dir, NULL) : NULL;
    json_t *j = json_pack("{s:s, s:s?, s:i, s:o, s:o}", "data", data ? data : o->data_dir, "test",
                          test ? test : o->test_dir, "bad_files", info.bad, "options",
                          options_json(r), "data_options", data_json(r));
    free(data);
    free(test);
    json_t *names = json_array();
    for (int k = 0; k < info.classes; k++)
        json_array_append_new(names, json_string(train_set_class(r->set, k)));
    if (j) {
        json_object_set(j, "class_names", names);
        json_object_set_new(j, "parameters",
                            json_integer(nn_params_elements(r->model->params, true)));
        json_object_set_new(j, "version", json_string(RELEARN_VERSION));
        json_t *origin = train_origin(o->data_dir);
        if (origin)
            json_object_set_new(j, "purified_by", origin);
        if (digest)
            json_object_set_new(j, "data_digest", json_string(digest));
    }
    json_decref(names);
    return j;
}

static status write_config(const struct run *r, const char *digest, struct errmsg *e)
{
    AUTO(mem_free) char *path = path_in(r, "config.json");
    json_t *j = config_json(r, digest);
    char *text = j ? json_dumps(j, JSON_INDENT(2)) : NULL;
    json_decref(j);
    status st = path && text ? io_write_file(path, text, strlen(text), e)
                             : errmsg_set(e, STATUS_NOMEM, "cannot write config.json");
    free(text);
    return st;
}

static status refuse(const struct run *r, const char *key, const json_t *then, const json_t *now,
                     struct errmsg *e)
{
    const size_t how = JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6);
    char *a = json_dumps(then, how), *b = json_dumps(now, how);
    status st = errmsg_set(e, STATUS_INVALID,
                           "the run in %s was started with \"%s\" %s; it cannot be resumed with %s",
                           r->opt->out_dir, key, a ? a : "absent", b ? b : "another");
    free(a);
    free(b);
    return st;
}

/* A key that the run's file does not have is newer than it: nothing contradicts. */
static status compare(const struct run *r, const json_t *then, json_t *now, struct errmsg *e)
{
    json_t *value;
    const char *key;
    status st = now ? STATUS_OK : STATUS_NOMEM;
    json_object_foreach(now, key, value)
    {
        const json_t *old = json_object_get(then, key);
        if (!st && old && !json_equal(value, old))
            st = refuse(r, key, old, value, e);
    }
    json_decref(now);
    return st;
}

static status read_config(const char *dir, json_t **out, struct errmsg *e)
{
    enum { CONFIG_BYTES_MAX = 1 << 24 };
    AUTO(mem_free) char *path = mem_printf("%s/config.json", dir);
    AUTO(mem_free) void *text = NULL;
    size_t len = 0;
    status st = path ? io_read_file(path, CONFIG_BYTES_MAX, &text, &len, e) : STATUS_NOMEM;
    if (st)
        return errmsg_prefix(e, st, "nothing to resume in %s", dir);
    json_t *config = json_loadb(text, len, 0, NULL), *then = json_object_get(config, "options");
    if (!json_is_object(then)) {
        json_decref(config);
        return errmsg_set(e, STATUS_CORRUPT, "%s is no configuration of a run", path);
    }
    if (!json_object_get(then, "precision"))
        json_object_set_new(then, "precision",
                            json_string(nn_precision_names[TRAIN_PRECISION_UNNAMED]));
    *out = config;
    return STATUS_OK;
}

static status compare_config(const struct run *r, struct errmsg *e)
{
    json_t *config;
    status st = read_config(r->opt->out_dir, &config, e);
    if (st)
        return st;
    st = compare(r, json_object_get(config, "options"), options_json(r), e);
    if (!st)
        st = compare(r, json_object_get(config, "data_options"), data_json(r), e);
    json_decref(config);
    return st;
}

/* ---- the options of a run that is to be resumed ---- */

struct train_config {
    char *dir;
    json_t *json;
};

status train_config_open(const char *run_dir, struct train_config **out, struct errmsg *e)
{
    AUTO(train_config_free) struct train_config *c = mem_zalloc(1, sizeof *c);
    if (!c || !(c->dir = mem_strdup(run_dir)))
        return STATUS_NOMEM;
    status st = read_config(run_dir, &c->json, e);
    if (!st)
        *out = TAKE(c);
    return st;
}

void train_config_free(struct train_config *c)
{
    if (!c)
        return;
    json_decref(c->json);
    mem_free(c->dir);
    mem_free(c);
}

static void take_int(const json_t *j, const char *key, int *out)
{
    const json_t *v = json_object_get(j, key);
    if (json_is_integer(v) && json_integer_value(v) >= 0 && json_integer_value(v) <= INT32_MAX)
        *out = (int)json_integer_value(v);
}

static void take_bool(const json_t *j, const char *key, bool *out)
{
    const json_t *v = json_object_get(j, key);
    *out = json_is_boolean(v) ? json_is_true(v) : *out;
}

static void take_float(const json_t *j, const char *key, float *out)
{
    const json_t *v = json_object_get(j, key);
    *out = json_is_number(v) ? (float)json_number_value(v) : *out;
}

static void take_double(const json_t *j, const char *key, double *out)
{
    const json_t *v = json_object_get(j, key);
    *out = json_is_number(v) ? json_number_value(v) : *out;
}

static void take_text(const json_t *j, const char *key, const char **out)
{
    const char *text = json_string_value(json_object_get(j, key));
    *out = text ? text : *out;
}

static void take_precision(const json_t *j, enum nn_precision *out)
{
    const char *name = json_string_value(json_object_get(j, "precision"));
    for (int p = 0; name && p < NN_PREC_COUNT; p++)
        if (strcmp(name, nn_precision_names[p]) == 0)
            *out = (enum nn_precision)p;
}

struct train_options train_config_options(const struct train_config *c)
{
    struct train_options o = train_options_default();
    const json_t *j = json_object_get(c->json, "options"), *staged = json_object_get(j, "staged");
    const json_t *data = json_object_get(c->json, "data_options");
    o.out_dir = c->dir;
    o.resume = true;
    take_text(c->json, "data", &o.data_dir);
    take_text(c->json, "test", &o.test_dir);
    take_text(j, "arch", &o.arch);
    take_text(j, "recipe", &o.recipe);
    take_int(j, "epochs", &o.epochs);
    take_int(j, "batch", &o.batch);
    take_float(j, "lr", &o.lr);
    take_float(j, "momentum", &o.momentum);
    take_float(j, "weight_decay", &o.weight_decay);
    take_float(j, "clip", &o.clip);
    take_int(j, "warmup", &o.warmup);
    take_int(j, "pad", &o.pad);
    take_bool(j, "flip", &o.flip);
    o.seed = (uint64_t)json_integer_value(json_object_get(j, "seed"));
    take_int(j, "threads", &o.threads);
    take_precision(j, &o.precision);
    take_bool(j, "acm", &o.acm);
    take_int(j, "test_every", &o.test_every);
    take_int(j, "probe", &o.staged.probe);
    take_int(data, "limit", &o.limit);
    take_int(data, "test_limit", &o.test_limit);
    take_int(data, "size", &o.size);
    take_int(data, "channels", &o.channels);
    take_bool(data, "skip_bad", &o.skip_bad);
    take_double(staged, "rise", &o.staged.rise);
    take_double(staged, "slow", &o.staged.slow);
    take_double(staged, "floor", &o.staged.floor);
    take_int(staged, "rollbacks", &o.staged.rollbacks);
    take_int(staged, "probe", &o.staged.probe);
    return o;
}

/* ---- the directory ---- */

static bool exists(const char *path)
{
    struct stat sb;
    return path && stat(path, &sb) == 0;
}

static status remove_file(const struct run *r, const char *name, struct errmsg *e)
{
    AUTO(mem_free) char *path = path_in(r, name);
    if (!path)
        return STATUS_NOMEM;
    if (unlink(path) == 0 || errno == ENOENT)
        return STATUS_OK;
    int err = errno;
    return errmsg_set(e, status_from_errno(err), "cannot remove %s: %s", path, strerror(err));
}

static const char *const files[] = {"checkpoint.safetensors", "weights.safetensors",
                                    "good.safetensors", "log.jsonl", "config.json"};
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
    if (!exists(old))
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

static void let_go(struct run *r)
{
    for (size_t i = 0; i < ARRAY_LEN(files) && !r->kept; i++) {
        AUTO(mem_free) char *path = mem_printf("%s/%s" ASIDE, r->opt->out_dir, files[i]);
        if (path)
            (void)unlink(path); /* left behind it costs room and nothing else */
    }
    r->kept = true;
}

status train_run_prepare_dir(struct run *r, struct errmsg *e)
{
    AUTO(mem_free) char *config = path_in(r, "config.json");
    if (!config)
        return STATUS_NOMEM;
    if (r->opt->resume)
        return compare_config(r, e);
    if (exists(config) && !r->opt->force)
        return errmsg_set(e, STATUS_EXISTS,
                          "%s holds a run (use --resume to go on with it, --force to replace it)",
                          r->opt->out_dir);
    r->prepared = true;
    status st = out_tree_dir(&r->dirs, r->opt->out_dir, e);
    for (size_t i = 0; i < ARRAY_LEN(files) && !st; i++)
        st = move(r, files[i], "", ASIDE, e);
    return st ? st : write_config(r, NULL, e);
}

/* ---- log.jsonl ---- */

static json_t *reals(const double *v, int n)
{
    json_t *a = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(a, isfinite(v[i]) ? json_real(v[i]) : json_null());
    return a;
}

static json_t *log_json(const struct run *r, const struct epoch_report *rep)
{
    int stages = r->model->net->stages;
    json_t *j = json_pack("{s:i, s:I, s:s}", "epoch", r->at.epoch, "step", (json_int_t)r->at.step,
                          "precision", nn_precision_names[r->opt->precision]);
    if (j && rep->trained) {
        json_object_set_new(j, "lr", json_real(rep->lr));
        json_object_set_new(j, "train_loss", json_real(r->at.last_loss));
        json_object_set_new(j, "train_accuracy", json_real(r->at.last_accuracy));
        json_object_set_new(j, "seconds", json_real(r->epoch_seconds));
        json_object_set_new(j, "images_per_s", json_real(r->epoch_rate));
    }
    if (j && rep->tested) {
        json_object_set_new(j, "test_accuracy", json_real(r->at.test_accuracy));
        json_object_set_new(j, "test_loss",
                            isfinite(rep->test_loss) ? json_real(rep->test_loss) : json_null());
    }
    if (j && rep->measured)
        json_object_set_new(j, "acm", reals(rep->acm, stages));
    if (j && rep->trained && r->recipe->staged) {
        json_t *signal = json_array();
        for (int s = 0; s < stages; s++)
            json_array_append_new(signal, json_boolean(rep->verdict.signal[s]));
        json_object_set_new(j, "signal", signal);
        json_object_set_new(j, "scale", reals(rep->scale, stages));
        json_object_set_new(j, "rollback", json_boolean(rep->verdict.rollback));
    }
    return j;
}

status train_run_append_log(struct run *r, const struct epoch_report *rep, struct errmsg *e)
{
    AUTO(mem_free) char *path = path_in(r, "log.jsonl");
    AUTO(fd_close) int fd = -1;
    if (!path)
        return STATUS_NOMEM;
    json_t *j = log_json(r, rep);
    char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    AUTO(mem_free) char *line = text ? mem_printf("%s\n", text) : NULL;
    free(text);
    if (!line)
        return STATUS_NOMEM;
    status st = io_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666, &fd);
    if (!st)
        st = io_pwrite(fd, line, strlen(line), r->at.log_bytes);
    if (st)
        return errmsg_set(e, st, "cannot write %s: %s", path, status_text(st));
    r->at.log_bytes += (int64_t)strlen(line);
    return STATUS_OK;
}

/* ---- checkpoints ---- */

static void position_to_kv(const struct run *r, struct kv_list *m)
{
    const struct position *p = &r->at;
    train_kv_add(m, "run.epoch", "%d", p->epoch);
    train_kv_add(m, "run.batch", "%d", p->batch);
    train_kv_add(m, "run.step", "%lld", (long long)p->step);
    train_kv_add(m, "run.loss_sum", "%a", p->loss_sum);
    train_kv_add(m, "run.correct", "%lld", (long long)p->correct);
    train_kv_add(m, "run.seen", "%lld", (long long)p->seen);
    train_kv_add(m, "run.last_loss", "%a", p->last_loss);
    train_kv_add(m, "run.last_accuracy", "%a", p->last_accuracy);
    train_kv_add(m, "run.test_accuracy", "%a", p->test_accuracy);
    train_kv_add(m, "run.best_test", "%a", p->best_test);
    train_kv_add(m, "run.best_epoch", "%d", p->best_epoch);
    train_kv_add(m, "run.log_bytes", "%lld", (long long)p->log_bytes);
    if (!r->recipe->staged)
        return;
    static const char *const start[TRAIN_STAGES_MAX] = {"st.start.0", "st.start.1", "st.start.2",
                                                        "st.start.3", "st.start.4", "st.start.5"};
    static const char *const scale[TRAIN_STAGES_MAX] = {"st.scale.0", "st.scale.1", "st.scale.2",
                                                        "st.scale.3", "st.scale.4", "st.scale.5"};
    for (int s = 0; s < r->staged.stages; s++) {
        train_kv_add(m, start[s], "%a", r->staged.start[s]);
        train_kv_add(m, scale[s], "%a", r->staged.scale[s]);
    }
    train_kv_add(m, "st.rollbacks_left", "%d", r->staged.rollbacks_left);
    train_kv_add(m, "st.signalled", "%d", r->staged.signalled);
}

static void position_from_kv(struct run *r, const struct nn_file *f)
{
    struct position *p = &r->at;
    p->epoch = (int)train_kv_int(f, "run.epoch", -1);
    p->batch = (int)train_kv_int(f, "run.batch", -1);
    p->step = train_kv_int(f, "run.step", -1);
    p->loss_sum = train_kv_double(f, "run.loss_sum", 0);
    p->correct = train_kv_int(f, "run.correct", 0);
    p->seen = train_kv_int(f, "run.seen", 0);
    p->last_loss = train_kv_double(f, "run.last_loss", NAN);
    p->last_accuracy = train_kv_double(f, "run.last_accuracy", NAN);
    p->test_accuracy = train_kv_double(f, "run.test_accuracy", NAN);
    p->best_test = train_kv_double(f, "run.best_test", NAN);
    p->best_epoch = (int)train_kv_int(f, "run.best_epoch", 0);
    p->log_bytes = train_kv_int(f, "run.log_bytes", 0);
    for (int s = 0; r->recipe->staged && s < r->staged.stages; s++) {
        char key[16];
        snprintf(key, sizeof key, "st.start.%d", s);
        r->staged.start[s] = train_kv_double(f, key, r->staged.start[s]);
        snprintf(key, sizeof key, "st.scale.%d", s);
        r->staged.scale[s] = train_kv_double(f, key, 1);
    }
    r->staged.rollbacks_left = (int)train_kv_int(f, "st.rollbacks_left", 0);
    r->staged.signalled = train_kv_int(f, "st.signalled", 0) != 0;
}

static status save_as(struct run *r, const char *name, struct errmsg *e)
{
    AUTO(mem_free) char *path = path_in(r, name);
    AUTO(train_kv_done) struct kv_list m = {.n = 0};
    train_model_to_kv(r->model, &m);
    position_to_kv(r, &m);
    if (!path || m.st)
        return errmsg_set(e, STATUS_NOMEM, "cannot save %s", name);
    return nn_checkpoint_save(path, r->model->params, r->optim, NULL, m.pair, m.n, e);
}

status train_run_save(struct run *r, struct errmsg *e)
{
    status st = save_as(r, "checkpoint.safetensors", e);
    if (!st)
        let_go(r);
    return st;
}

status train_run_save_good(struct run *r, struct errmsg *e)
{
    return save_as(r, "good.safetensors", e);
}

static status load_from(struct run *r, const char *name, bool position, struct errmsg *e)
{
    AUTO(mem_free) char *path = path_in(r, name);
    AUTO(nn_file_close) struct nn_file *f = NULL;
    status st = path ? nn_file_open(path, &f, e) : STATUS_NOMEM;
    if (!st)
        st = nn_checkpoint_load(f, r->model->params, r->optim, NULL, e);
    if (!st && position)
        position_from_kv(r, f);
    return st ? errmsg_prefix(e, st, "cannot go on from %s", path ? path : name) : STATUS_OK;
}

status train_run_load_good(struct run *r, struct errmsg *e)
{
    return load_from(r, "good.safetensors", false, e);
}

static status cut_log(struct run *r, struct errmsg *e)
{
    AUTO(mem_free) char *path = path_in(r, "log.jsonl");
    struct stat sb;
    if (!path)
        return STATUS_NOMEM;
    if (r->at.log_bytes == 0 && !exists(path))
        return STATUS_OK;
    if (stat(path, &sb) || sb.st_size < r->at.log_bytes)
        return errmsg_set(e, STATUS_CORRUPT, "%s is shorter than the checkpoint says", path);
    if (truncate(path, r->at.log_bytes) == 0)
        return STATUS_OK;
    int err = errno;
    return errmsg_set(e, status_from_errno(err), "cannot cut %s: %s", path, strerror(err));
}

status train_run_resume(struct run *r, struct errmsg *e)
{
    AUTO(mem_free) char *path = path_in(r, "checkpoint.safetensors");
    if (!path)
        return STATUS_NOMEM;
    /* Stopped before the first checkpoint: from the beginning, which gives the same bits. */
    if (!exists(path))
        return cut_log(r, e);
    status st = load_from(r, "checkpoint.safetensors", true, e);
    if (st)
        return st;
    const struct position *p = &r->at;
    int batches = train_loader_batches(r->loader);
    if (p->epoch < 0 || p->epoch > r->opt->epochs || p->batch < 0 || p->batch > batches ||
        p->step != (int64_t)p->epoch * batches + p->batch || p->log_bytes < 0)
        return errmsg_set(e, STATUS_CORRUPT, "%s: its position contradicts itself", path);
    return cut_log(r, e);
}

status train_run_finish(struct run *r, struct errmsg *e)
{
    struct digest d;
    char hex[DIGEST_HEX_LEN + 1];
    AUTO(mem_free) char *path = path_in(r, "weights.safetensors");
    AUTO(train_kv_done) struct kv_list m = {.n = 0};
    status st = train_set_digest(r->set, &d, e);
    if (st)
        return st;
    digest_hex(&d, hex);
    train_model_to_kv(r->model, &m);
    train_kv_add(&m, "recipe", "%s", r->recipe->name);
    train_kv_add(&m, "precision", "%s", nn_precision_names[r->opt->precision]);
    train_kv_add(&m, "train_steps", "%lld", (long long)r->at.step);
    train_kv_add(&m, "train_epochs", "%d", r->at.epoch);
    train_kv_add(&m, "data_digest", "%s", hex);
    if (!path || m.st)
        return errmsg_set(e, STATUS_NOMEM, "cannot save weights.safetensors");
    st = nn_params_save(r->model->params, path, m.pair, m.n, false, e);
    return st ? st : write_config(r, hex, e);
}
