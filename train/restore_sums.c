/* How much of each family a network takes away, summed up over a window of the log. */
#include "restore.h"

#include <math.h>
#include <string.h>

/* What is left in the images of one group. The part that is alike, without bias: the square of the
   group's sum of r is the sum of r_i r_j over all i and j; less those with i = j, K (K - 1) products
   of independent images are left. */
static void observe_group(struct restore *r, int g)
{
    int k = r->opt->group;
    bool noisy = r->group[g].noise > 0;
    struct restore_sum *sum = &r->sum[noisy ? restore_noise_kind(r) : r->group[g].kind];
    const float *target = r->target + (size_t)(g * k) * r->row;
    const float *predicted = r->predicted + (size_t)(g * k) * r->row;
    double delta = 0, rest = 0, alike = 0;
    for (size_t p = 0; p < r->row; p++) {
        double together = 0;
        for (int i = 0; i < k; i++) {
            double d = (double)target[(size_t)i * r->row + p];
            double left = d - (double)predicted[(size_t)i * r->row + p];
            delta += d * d;
            rest += left * left;
            together += left;
        }
        alike += together * together;
    }
    sum->images += k;
    sum->delta += delta;
    sum->rest += rest;
    if (r->group[g].shared && k > 1 && !noisy) {
        sum->shared += delta;
        sum->shared_rest += (alike - rest) / (k - 1); /* k images of it */
    }
}

void train_restore_observe(void *arg)
{
    struct restore *r = arg;
    for (int g = 0; g < restore_groups(r); g++)
        observe_group(r, g);
}

void train_restore_close(void *arg)
{
    struct restore *r = arg;
    memcpy(r->last, r->sum, sizeof r->last);
    memset(r->sum, 0, sizeof r->sum);
}

int train_restore_families(const struct restore *r, struct train_restore_family *out)
{
    int n = 0;
    for (int i = 0; i < r->kinds; i++) {
        const struct restore_sum *s = &r->last[i];
        if (!s->images)
            continue;
        out[n++] = (struct train_restore_family){
            .name = i < r->mix.n                 ? r->mix.entry[i].ops->is.name
                    : i == restore_noise_kind(r) ? "noise"
                                                 : "pairs",
            .images = s->images,
            .removed = s->delta > 0 ? 1 - s->rest / s->delta : NAN,
            .removed_coherent = s->shared > 0 ? 1 - s->shared_rest / s->shared : NAN,
            .rest = PURIFY_RESTORER_GREYS * sqrt(s->rest / ((double)s->images * (double)r->row))};
    }
    return n;
}

/* "name":value, or null. */
static status add_number(struct buf *line, const char *name, double v)
{
    return isfinite(v) ? buf_addf(line, ",\"%s\":%.6g", name, v)
                       : buf_addf(line, ",\"%s\":null", name);
}

status train_restore_log(const void *arg, struct buf *line)
{
    struct train_restore_family family[TRAIN_FAMILIES_MAX];
    int n = train_restore_families(arg, family);
    status st = buf_addf(line, ",\"families\":{");
    for (int i = 0; i < n && !st; i++) {
        const struct train_restore_family *f = &family[i];
        st = buf_addf(line, "%s\"%s\":{\"images\":%lld", i ? "," : "", f->name,
                      (long long)f->images);
        if (!st)
            st = add_number(line, "removed", f->removed);
        if (!st)
            st = add_number(line, "coherent", f->removed_coherent);
        if (!st)
            st = add_number(line, "rest", f->rest);
        if (!st)
            st = buf_addf(line, "}");
    }
    return st ? st : buf_addf(line, "}");
}

static void save_sums(const struct restore_sum *s, int n, const char *key, struct kv_list *m)
{
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 14);
    status st = STATUS_OK;
    for (int i = 0; i < n && !st; i++)
        st = buf_addf(&text, "%lld %a %a %a %a ", s[i].images, s[i].delta, s[i].rest, s[i].shared,
                      s[i].shared_rest);
    if (st && !m->st)
        m->st = st;
    train_kv_add(m, key, "%s", st ? "" : text.data);
}

void train_restore_save(const void *arg, struct kv_list *m)
{
    const struct restore *r = arg;
    save_sums(r->sum, r->kinds, "run.sums", m);
    save_sums(r->last, r->kinds, "run.last_sums", m);
}

/* What is missing or no number counts as nothing: these figures are read by people alone. */
static void resume_sums(const struct nn_file *f, const char *key, int n, struct restore_sum *s)
{
    const char *text = nn_file_meta(f, key);
    for (int i = 0, used; text && i < n; i++, text += used)
        if (sscanf(text, "%lld %la %la %la %la %n", &s[i].images, &s[i].delta, &s[i].rest,
                   &s[i].shared, &s[i].shared_rest, &used) != 5) {
            s[i] = (struct restore_sum){0};
            return;
        }
}

void train_restore_resume(void *arg, const struct nn_file *f)
{
    struct restore *r = arg;
    resume_sums(f, "run.sums", r->kinds, r->sum);
    resume_sums(f, "run.last_sums", r->kinds, r->last);
}
