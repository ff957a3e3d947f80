/*
 * A set is a list of samples; each has a label, a path and, once decoded and while the memory cap
 * allows, its pixels. Pixels are published with a compare-and-swap, so two threads that decode one
 * sample at the same time agree and the loser frees its copy. Everything else is fixed at opening.
 */
#include "set.h"

#include "pixels.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

struct kept {
    int width, height;
    uint8_t pixels[];
};

struct sample {
    char *path;
    int label;
    _Atomic(struct kept *) kept;
};

struct train_set {
    struct train_data_options opt; /* dir is our copy */
    char *dir;
    int dirfd;
    char **class_name;
    int classes;
    struct sample *sample;
    int n;
    int width, height, channels;
    _Atomic size_t kept_bytes;
    int bad;
    char first_bad[256];
};

static const size_t memory_default = (size_t)1
                                     << 30; /* CIFAR-10 needs 150 MB, Tiny ImageNet 1.2 GB */

/* ---- decoding ---- */

static status convert(const struct train_set *s, const char *path, struct image *img,
                      struct errmsg *e)
{
    int want = s->opt.channels ? s->opt.channels : s->channels;
    if (!want)
        return STATUS_OK;
    if (want == 1 && img->channels == 3 && !s->opt.channels)
        return errmsg_set(e, STATUS_INVALID,
                          "%s/%s is a colour image, the first one is grey (use --channels 1 or 3)",
                          s->dir, path);
    return train_pixels_convert(img, want);
}

static status check_size(const struct train_set *s, const char *path, const struct image *img,
                         struct errmsg *e)
{
    int least = s->opt.min_side;
    if (least && (img->width < least || img->height < least))
        return errmsg_set(e, STATUS_INVALID, "%s/%s is %dx%d pixels, smaller than %d", s->dir, path,
                          img->width, img->height, least);
    if (least || s->opt.any_size || !s->width ||
        (img->width == s->width && img->height == s->height))
        return STATUS_OK;
    return errmsg_set(e, STATUS_INVALID,
                      "%s/%s is %dx%d pixels, the first image is %dx%d (use --size to resize)",
                      s->dir, path, img->width, img->height, s->width, s->height);
}

static status transform(const struct train_set *s, const char *path, struct image *img,
                        struct errmsg *e)
{
    status st = train_pixels_downscale(img, s->opt.downscale, e);
    if (st)
        return errmsg_prefix(e, st, "%s/%s", s->dir, path);
    if (s->opt.size)
        st = train_pixels_resize(img, s->opt.size, s->opt.size);
    if (!st)
        st = convert(s, path, img, e);
    return st ? st : check_size(s, path, img, e);
}

static status decode(const struct train_set *s, int i, struct image *out, struct errmsg *e)
{
    struct image_limits lim = image_limits_default();
    const char *path = s->sample[i].path;
    AUTO(image_done) struct image img = IMAGE_INIT;
    status st = image_load_at(s->dirfd, path, &lim, &img, NULL, e);
    if (st)
        return errmsg_prefix(e, st, "%s", s->dir); /* the path itself was said */
    st = transform(s, path, &img, e);
    if (!st) {
        *out = img;
        img = (struct image)IMAGE_INIT;
    }
    return st;
}

status train_set_size(const struct train_set *s, int i, int *out_w, int *out_h, struct errmsg *e)
{
    struct image_limits lim = image_limits_default();
    struct image_info info;
    struct stat sb;
    AUTO(fd_close) int fd = -1;
    const char *path = s->sample[i].path;
    status st = io_open(s->dirfd, path, O_RDONLY | O_CLOEXEC, 0, &fd);
    if (!st && fstat(fd, &sb) < 0)
        st = status_from_errno(errno);
    if (st)
        return errmsg_set(e, st, "cannot read %s/%s: %s", s->dir, path, status_text(st));
    st = image_probe_fd(fd, (uint64_t)sb.st_size, &lim, &info, e);
    if (st)
        return errmsg_prefix(e, st, "%s/%s", s->dir, path);
    int factor = s->opt.downscale > 1 ? s->opt.downscale : 1;
    *out_w = s->opt.size ? s->opt.size : info.width / factor;
    *out_h = s->opt.size ? s->opt.size : info.height / factor;
    return STATUS_OK;
}

static bool reserve(struct train_set *s, size_t bytes)
{
    size_t cap = s->opt.memory_bytes;
    size_t before = atomic_fetch_add(&s->kept_bytes, bytes);
    if (before <= cap && bytes <= cap - before)
        return true;
    atomic_fetch_sub(&s->kept_bytes, bytes);
    return false;
}

/* Copies the pixels into the set when they fit; NULL when they are not kept. */
static struct kept *keep(struct train_set *s, int i, const struct image *img)
{
    size_t bytes = image_pixel_bytes(img);
    if (!reserve(s, bytes))
        return NULL;
    struct kept *k = mem_alloc(sizeof *k + bytes);
    if (!k) {
        atomic_fetch_sub(&s->kept_bytes, bytes);
        return NULL;
    }
    k->width = img->width;
    k->height = img->height;
    memcpy(k->pixels, img->pixels, bytes);
    struct kept *expected = NULL;
    if (atomic_compare_exchange_strong(&s->sample[i].kept, &expected, k))
        return k;
    atomic_fetch_sub(&s->kept_bytes, bytes);
    mem_free(k);
    return expected;
}

bool train_set_is_kept(const struct train_set *s, int i)
{
    return atomic_load_explicit(&s->sample[i].kept, memory_order_acquire) != NULL;
}

status train_set_view(struct train_set *s, int i, struct set_view *out, struct errmsg *e)
{
    const struct kept *k = atomic_load_explicit(&s->sample[i].kept, memory_order_acquire);
    if (!k) {
        struct image img = IMAGE_INIT;
        status st = decode(s, i, &img, e);
        if (st)
            return st;
        k = keep(s, i, &img);
        if (!k) {
            *out = (struct set_view){img.pixels, img.width, img.height, TAKE(img.pixels)};
            image_done(&img);
            return STATUS_OK;
        }
        image_done(&img);
    }
    *out = (struct set_view){k->pixels, k->width, k->height, NULL};
    return STATUS_OK;
}

/* ---- going over all samples ---- */

struct sweep {
    struct train_set *set;
    status (*fn)(void *arg, int i, struct errmsg *e);
    void *arg;
    atomic_int next;
    pthread_mutex_t lock;
    int failed_at; /* guarded by lock, as below; lowest index that failed */
    status st;
    struct errmsg err;
};

static void sweep_job(void *arg)
{
    struct sweep *w = arg;
    for (;;) {
        int i = atomic_fetch_add(&w->next, 1);
        if (i >= w->set->n)
            return;
        struct errmsg err = {""};
        status st = stop_requested() ? STATUS_CANCELLED : w->fn(w->arg, i, &err);
        if (!st)
            continue;
        pthread_mutex_lock(&w->lock);
        if (i < w->failed_at) {
            w->failed_at = i;
            w->st = st;
            w->err = err;
        }
        pthread_mutex_unlock(&w->lock);
        /* Every lower index has been taken already, so the lowest failure will still be seen. */
        atomic_store(&w->next, w->set->n);
        return;
    }
}

status train_set_for_each(struct train_set *s, status (*fn)(void *arg, int i, struct errmsg *e),
                          void *arg, struct errmsg *e)
{
    struct sweep w = {.set = s, .fn = fn, .arg = arg, .failed_at = s->n};
    struct pool *pool = NULL;
    status st = pool_new("sweep", s->opt.threads, s->opt.threads, &pool);
    if (st)
        return st;
    pthread_mutex_init(&w.lock, NULL);
    for (int t = 0; t < s->opt.threads && !st; t++)
        st = pool_submit(pool, sweep_job, &w);
    pool_free(pool);
    pthread_mutex_destroy(&w.lock);
    if (!st && w.st) {
        st = w.st;
        if (e)
            *e = w.err;
    }
    return st;
}

/* ---- listing ---- */

static void free_samples(struct sample *sample, int n)
{
    for (int i = 0; i < n; i++) {
        mem_free(sample[i].path);
        mem_free(atomic_load(&sample[i].kept));
    }
    mem_free(sample);
}

static status list_classes(struct train_set *s, struct errmsg *e)
{
    AUTO(image_tree_done) struct image_tree tree = IMAGE_TREE_INIT;
    status st = image_tree_load(s->dir, &tree, e);
    if (st)
        return st;
    if (tree.n_classes < 2)
        return errmsg_set(e, STATUS_INVALID, "%s has one class folder only, %s", s->dir,
                          tree.classes[0]);
    if (tree.n_classes > TRAIN_CLASSES_MAX)
        return errmsg_set(e, STATUS_LIMIT, "%s has %zu class folders, more than %d", s->dir,
                          tree.n_classes, TRAIN_CLASSES_MAX);
    if (tree.n_files > INT32_MAX)
        return errmsg_set(e, STATUS_LIMIT, "%s has more than 2^31 images", s->dir);
    s->sample = mem_zalloc(tree.n_files, sizeof *s->sample);
    s->class_name = mem_zalloc(tree.n_classes, sizeof *s->class_name);
    if (!s->sample || !s->class_name)
        return STATUS_NOMEM;
    for (; s->classes < (int)tree.n_classes; s->classes++)
        s->class_name[s->classes] = TAKE(tree.classes[s->classes]);
    for (; s->n < (int)tree.n_files; s->n++) {
        s->sample[s->n].path = TAKE(tree.files[s->n].path);
        s->sample[s->n].label = tree.files[s->n].class_index;
    }
    return STATUS_OK;
}

struct listing {
    struct train_set *set;
    size_t cap;
};

static status list_one(const struct image_entry *entry, void *arg)
{
    struct listing *l = arg;
    struct train_set *s = l->set;
    if (entry->kind != IMAGE_ENTRY_FILE || !image_name_is_image(entry->name))
        return STATUS_OK;
    if ((size_t)s->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 256;
        struct sample *grown = cap > INT32_MAX ? NULL : mem_realloc(s->sample, cap * sizeof *grown);
        if (!grown)
            return STATUS_NOMEM;
        memset(grown + l->cap, 0, (cap - l->cap) * sizeof *grown);
        s->sample = grown;
        l->cap = cap;
    }
    char *path = mem_strdup(entry->path);
    if (!path)
        return STATUS_NOMEM;
    s->sample[s->n].path = path;
    s->sample[s->n++].label = -1;
    return STATUS_OK;
}

static status list_flat(struct train_set *s, struct errmsg *e)
{
    struct listing l = {s, 0};
    struct image_walk_opts opts = {.follow_symlinks = true};
    status st = image_walk(s->dir, &opts, list_one, &l, e);
    if (!st && s->n == 0)
        st = errmsg_set(e, STATUS_NOT_FOUND, "no image below %s", s->dir);
    return st;
}

/* Marks the samples that stay: the 1st of each class, the 2nd of each, ... until limit. Samples of
   a class stand together in the list. */
static status choose(struct train_set *s)
{
    int limit = s->opt.limit;
    if (limit <= 0 || limit >= s->n)
        return STATUS_OK;
    int classes = s->classes ? s->classes : 1;
    AUTO(mem_free) int *first = mem_zalloc((size_t)classes + 1, sizeof *first);
    AUTO(mem_free) int *take = mem_zalloc((size_t)classes, sizeof *take);
    if (!first || !take)
        return STATUS_NOMEM;
    for (int i = 0; i < s->n; i++)
        first[(s->classes ? s->sample[i].label : 0) + 1]++;
    for (int k = 0; k < classes; k++)
        first[k + 1] += first[k];
    for (int left = limit; left > 0;)
        for (int k = 0; k < classes && left > 0; k++)
            if (take[k] < first[k + 1] - first[k]) {
                take[k]++;
                left--;
            }
    int kept = 0;
    for (int k = 0; k < classes; k++)
        for (int i = first[k]; i < first[k + 1]; i++) {
            if (i - first[k] < take[k]) {
                struct sample moved = {s->sample[i].path, s->sample[i].label, NULL};
                s->sample[i].path = NULL;
                s->sample[kept].path = moved.path;
                s->sample[kept++].label = moved.label;
            } else {
                mem_free(TAKE(s->sample[i].path));
            }
        }
    s->n = kept;
    return STATUS_OK;
}

/* ---- leaving out what does not decode ---- */

struct scan {
    struct train_set *set;
    status *result; /* (n) */
    pthread_mutex_t lock;
    int first; /* guarded by lock, as is the text */
    char text[256];
};

/* Only faults of the file itself are skipped; ours, and images of a wrong size, are errors. */
static bool is_bad_file(status st)
{
    return st == STATUS_CORRUPT || st == STATUS_UNSUPPORTED || st == STATUS_LIMIT;
}

static status scan_one(void *arg, int i, struct errmsg *e)
{
    struct scan *c = arg;
    struct set_view v;
    status st = train_set_view(c->set, i, &v, e);
    if (!st)
        train_set_view_done(&v);
    if (st && !is_bad_file(st))
        return st;
    c->result[i] = st;
    if (st) {
        pthread_mutex_lock(&c->lock);
        if (i < c->first) {
            c->first = i;
            snprintf(c->text, sizeof c->text, "%.255s", errmsg_text(e, st));
        }
        pthread_mutex_unlock(&c->lock);
    }
    return STATUS_OK;
}

static status drop_bad(struct train_set *s, struct errmsg *e)
{
    AUTO(mem_free) status *result = mem_zalloc((size_t)s->n, sizeof *result);
    if (!result)
        return STATUS_NOMEM;
    struct scan c = {.set = s, .result = result, .first = s->n};
    pthread_mutex_init(&c.lock, NULL);
    status st = train_set_for_each(s, scan_one, &c, e);
    pthread_mutex_destroy(&c.lock);
    if (st)
        return st;
    int kept = 0;
    for (int i = 0; i < s->n; i++) {
        struct sample *from = &s->sample[i], *to = &s->sample[kept];
        if (result[i]) {
            mem_free(TAKE(from->path));
            s->bad++;
            continue;
        }
        kept++;
        if (to == from)
            continue;
        to->path = TAKE(from->path);
        to->label = from->label;
        atomic_store(&to->kept, atomic_exchange(&from->kept, NULL));
    }
    s->n = kept;
    memcpy(s->first_bad, c.text, sizeof s->first_bad);
    return STATUS_OK;
}

/* ---- life ---- */

/* The first sample that decodes fixes size and channels for all. */
static status find_shape(struct train_set *s, struct errmsg *e)
{
    status st = STATUS_NOT_FOUND;
    for (int i = 0; i < s->n && st; i++) {
        struct image img = IMAGE_INIT;
        st = decode(s, i, &img, e);
        if (!st) {
            s->width = s->opt.min_side ? s->opt.min_side : img.width;
            s->height = s->opt.min_side ? s->opt.min_side : img.height;
            s->channels = img.channels;
            image_done(&img);
        } else if (!s->opt.skip_bad || !is_bad_file(st)) {
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
        st = opt->flat ? list_flat(s, e) : list_classes(s, e);
    if (!st)
        st = choose(s);
    if (!st)
        st = find_shape(s, e);
    if (!st && opt->skip_bad)
        st = drop_bad(s, e);
    if (!st)
        *out = TAKE(s);
    return st;
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

status train_set_pixels(struct train_set *s, int i, uint8_t *out, struct errmsg *e)
{
    struct set_view v;
    status st = train_set_view(s, i, &v, e);
    if (st)
        return st;
    if (v.width != s->width || v.height != s->height)
        st = errmsg_set(e, STATUS_INVALID, "%s/%s is %dx%d pixels, not %dx%d", s->dir,
                        s->sample[i].path, v.width, v.height, s->width, s->height);
    else
        memcpy(out, v.pixels, (size_t)v.width * (size_t)v.height * (size_t)s->channels);
    train_set_view_done(&v);
    return st;
}

/* ---- identity ---- */

struct digest_sweep {
    struct train_set *set;
    uint64_t *sum; /* (n) checksum of pixels and size */
};

static status digest_one(void *arg, int i, struct errmsg *e)
{
    struct digest_sweep *d = arg;
    struct set_view v;
    status st = train_set_view(d->set, i, &v, e);
    if (st)
        return st;
    size_t bytes = (size_t)v.width * (size_t)v.height * (size_t)d->set->channels;
    d->sum[i] = checksum64(v.pixels, bytes) ^ ((uint64_t)v.width << 32 | (uint64_t)v.height);
    train_set_view_done(&v);
    return STATUS_OK;
}

status train_set_digest(struct train_set *s, struct digest *out, struct errmsg *e)
{
    AUTO(mem_free) uint64_t *sum = mem_zalloc((size_t)s->n, sizeof *sum);
    AUTO(buf_done) struct buf text = BUF_INIT((size_t)1 << 34);
    if (!sum)
        return STATUS_NOMEM;
    struct digest_sweep d = {s, sum};
    status st = train_set_for_each(s, digest_one, &d, e);
    for (int i = 0; i < s->n && !st; i++)
        st = buf_addf(&text, "%s\t%d\t%016llx\n", s->sample[i].path, s->sample[i].label,
                      (unsigned long long)sum[i]);
    if (st)
        return st;
    struct digest_part part = {text.data, text.len};
    return digest_sha256(&part, 1, out);
}
