#include "run.h"

#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

json_t *train_run_reals(const double *v, int n)
{
    json_t *a = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(a, isfinite(v[i]) ? json_real(v[i]) : json_null());
    return a;
}

static json_t *sal_json(const struct sal *s)
{
    json_t *j = json_object();
    for (int i = 0; i < train_sal_layers(s); i++) {
        char name[NN_NAME_MAX];
        double v = train_sal_value(s, i);
        json_object_set_new(j, train_sal_layer(s, i, name),
                            isfinite(v) ? json_real(v) : json_null());
    }
    return j;
}

static json_t *log_json(const struct run *r, const struct epoch_report *rep)
{
    int stages = r->model->net->stages;
    char date[TRAIN_DATE_LEN + 1];
    train_date(date);
    json_t *j =
        json_pack("{s:i, s:I, s:s, s:s}", "epoch", r->at.epoch, "step", (json_int_t)r->at.step,
                  "precision", nn_precision_names[r->opt->precision], "ended", date);
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
        json_object_set_new(j, "acm", train_run_reals(rep->acm, stages));
    if (j && rep->sharp)
        json_object_set_new(j, "sal", sal_json(r->sal));
    if (j && rep->trained && r->recipe->log)
        r->recipe->log(r, j);
    return j;
}

status train_run_append_log(struct run *r, const struct epoch_report *rep, struct errmsg *e)
{
    AUTO(mem_free) char *path = train_run_path(r, "log.jsonl");
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

static json_t *matrix_json(const struct train_eval *ev)
{
    json_t *rows = json_array();
    for (int k = 0; k < ev->classes; k++) {
        json_t *row = json_array();
        for (int j = 0; j < ev->classes; j++)
            json_array_append_new(
                row, json_integer(ev->confusion[(size_t)k * (size_t)ev->classes + (size_t)j]));
        json_array_append_new(rows, row);
    }
    return rows;
}

status train_run_write_test(const struct run *r, const struct train_eval *ev, struct errmsg *e)
{
    AUTO(mem_free) char *path = train_run_path(r, "test.json");
    json_t *j = json_pack("{s:i, s:I, s:I, s:f, s:o}", "epoch", r->at.epoch, "images",
                          (json_int_t)ev->samples, "correct", (json_int_t)ev->correct, "accuracy",
                          train_eval_accuracy(ev), "confusion", matrix_json(ev));
    char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    status st = path && text ? io_write_file(path, text, strlen(text), e)
                             : errmsg_set(e, STATUS_NOMEM, "cannot write test.json");
    free(text);
    return st;
}

status train_run_cut_log(struct run *r, struct errmsg *e)
{
    AUTO(mem_free) char *path = train_run_path(r, "log.jsonl");
    struct stat sb;
    if (!path)
        return STATUS_NOMEM;
    if (r->at.log_bytes == 0 && !train_run_file_exists(path))
        return STATUS_OK;
    if (stat(path, &sb) || sb.st_size < r->at.log_bytes)
        return errmsg_set(e, STATUS_CORRUPT, "%s is shorter than the checkpoint says", path);
    if (truncate(path, r->at.log_bytes) == 0)
        return STATUS_OK;
    int err = errno;
    return errmsg_set(e, status_from_errno(err), "cannot cut %s: %s", path, strerror(err));
}
