/* The pixels of one sample: decoded, and kept while the memory cap allows. */
#include "set_state.h"

#include "pixels.h"
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static status convert(const struct train_set *s, const char *path, struct image *img,
                      struct errmsg *e)
{
    int want = s->opt.channels ? s->opt.channels : s->channels;
    if (!want)
        return STATUS_OK;
    if (want == 1 && img->channels == 3 && !s->opt.channels)
        return errmsg_set(e, STATUS_INVALID,
                          "%s/%s is a colour image, the first one is grey (use %s)", s->dir, path,
                          s->opt.keys ? "channels = 1 or 3 in [bench]" : "--channels 1 or 3");
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
                      "%s/%s is %dx%d pixels, the first image is %dx%d (use %s to resize)", s->dir,
                      path, img->width, img->height, s->width, s->height,
                      s->opt.keys ? "size = N in [bench]" : "--size");
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

status set_decode(const struct train_set *s, int i, struct image *out, struct errmsg *e)
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
        status st = set_decode(s, i, &img, e);
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

struct augment_placing set_view_place(const struct set_view *v, int size, bool flip,
                                      struct nn_rng r, uint64_t at)
{
    return (struct augment_placing){.x = stream_below(nn_rng_u32(r, at), v->width - size + 1),
                                    .y = stream_below(nn_rng_u32(r, at + 1), v->height - size + 1),
                                    .mirror = flip && nn_rng_u32(r, at + 2) & 1};
}

void set_view_cut(const struct set_view *v, struct augment_placing at, int size, int channels,
                  uint8_t *out)
{
    size_t c = (size_t)channels;
    for (int y = 0; y < size; y++) {
        const uint8_t *row = v->pixels + ((size_t)(at.y + y) * (size_t)v->width + (size_t)at.x) * c;
        for (int x = 0; x < size; x++, out += c)
            memcpy(out, row + (size_t)(at.mirror ? size - 1 - x : x) * c, c);
    }
}
