#include "window.h"

#include <math.h>
#include <string.h>

struct window_run {
    const struct purifier_ops *ops;
    struct purifier_job job;
    struct window w;
    int height, passes, pass, y;
    int loaded;  /* rows of this pass that have been read */
    int slots;   /* rows in the ring */
    size_t line; /* floats of a padded row */
    float *ring; /* (slots,line): row y is in slot y % slots */
    float *made; /* (W,C) */
    float *mid;  /* (H,W,C) between passes; NULL: there is only one */
    int64_t turn_rows;
};

int window_mirror(int i, int n)
{
    int period = 2 * (n - 1);
    if (n == 1)
        return 0;
    i = (i < 0 ? -i : i) % period;
    return i < n ? i : period - i;
}

static int margin_of(const struct purifier *p)
{
    return p->ops->margin ? p->ops->margin(p->values) : 0;
}

static int64_t rows_of_a_turn(const struct purifier *p, int width)
{
    return purifier_turn_steps(width * p->ops->pixel_ns);
}

static int64_t turns(const struct purifier *p, int width, int height, int channels)
{
    (void)channels;
    return purifier_turns((int64_t)height * purifier_passes(p), rows_of_a_turn(p, width));
}

static size_t row_floats(const struct image *img)
{
    return (size_t)img->width * (size_t)img->channels;
}

static size_t line_floats(const struct image *img, int margin)
{
    return row_floats(img) + 2 * (size_t)margin * (size_t)img->channels;
}

static size_t bytes(const struct purifier *p, const struct image *img)
{
    int margin = margin_of(p);
    size_t rows = (size_t)(2 * margin + 1 < img->height ? 2 * margin + 1 : img->height);
    size_t mid = purifier_passes(p) > 1 ? image_pixel_bytes(img) : 0;
    return (mid + (rows + 1) * line_floats(img, margin) + row_floats(img)) * sizeof(float) +
           (size_t)img->width;
}

static void drop(void *run)
{
    struct window_run *r = run;
    if (r) {
        mem_free(r->ring);
        mem_free(r->w.line);
        mem_free(r->w.bytes);
        mem_free(r->made);
        mem_free(r->mid);
    }
    mem_free(r);
}
DEFINE_FREEP(struct window_run *, drop)

static status begin(const struct purifier *p, const struct purifier_job *job, void **out_run,
                    struct errmsg *e)
{
    (void)e;
    AUTO(drop) struct window_run *r = mem_zalloc(1, sizeof *r);
    if (!r)
        return STATUS_NOMEM;
    const struct image *in = job->in;
    int margin = margin_of(p);
    CHECK(margin <= WINDOW_MARGIN_MAX);
    r->ops = p->ops;
    r->job = *job;
    r->w = (struct window){.values = p->values,
                           .plan = p->plan,
                           .margin = margin,
                           .width = in->width,
                           .channels = in->channels};
    r->height = in->height;
    r->passes = purifier_passes(p);
    r->slots = 2 * margin + 1 < in->height ? 2 * margin + 1 : in->height;
    r->line = line_floats(in, margin);
    r->turn_rows = rows_of_a_turn(p, in->width);
    r->ring = mem_alloc((size_t)r->slots * r->line * sizeof *r->ring);
    r->made = mem_alloc(row_floats(in) * sizeof *r->made);
    r->w.line = mem_alloc(r->line * sizeof *r->w.line);
    r->w.bytes = mem_alloc((size_t)in->width);
    if (r->passes > 1)
        r->mid = mem_alloc(image_pixel_bytes(in) * sizeof *r->mid);
    if (!r->ring || !r->made || !r->w.line || !r->w.bytes || (r->passes > 1 && !r->mid))
        return STATUS_NOMEM;
    *out_run = TAKE(r);
    return STATUS_OK;
}

/* The index of the pixel that stands for i beyond the edge. */
static int beyond(const struct window_run *r, int i, int n)
{
    if (r->ops->repeats_edge)
        return i < 0 ? 0 : i < n ? i : n - 1;
    return window_mirror(i, n);
}

/* Row y as it is before this pass, with its margins, into the ring. */
static void load(struct window_run *r, int y)
{
    int channels = r->w.channels, width = r->w.width, margin = r->w.margin;
    size_t n = (size_t)width * (size_t)channels;
    float *to = r->ring + (size_t)(y % r->slots) * r->line, *row = to + margin * channels;
    if (r->pass == 0) {
        const uint8_t *from = r->job.in->pixels + (size_t)y * n;
        for (size_t k = 0; k < n; k++)
            row[k] = from[k];
    } else {
        memcpy(row, r->mid + (size_t)y * n, n * sizeof *row);
    }
    for (int x = 1; x <= margin; x++)
        for (int c = 0; c < channels; c++) {
            row[-x * channels + c] = row[beyond(r, -x, width) * channels + c];
            row[(width - 1 + x) * channels + c] =
                row[beyond(r, width - 1 + x, width) * channels + c];
        }
}

/* What this pass made of row y. */
static void store(struct window_run *r, int y)
{
    size_t n = (size_t)r->w.width * (size_t)r->w.channels;
    if (r->pass < r->passes - 1) {
        memcpy(r->mid + (size_t)y * n, r->made, n * sizeof *r->made);
        return;
    }
    uint8_t *to = r->job.out + (size_t)y * n;
    for (size_t k = 0; k < n; k++) {
        float v = r->made[k] > 0 ? r->made[k] : 0;
        to[k] = (uint8_t)rintf(v < 255 ? v : 255);
    }
}

static void make_row(struct window_run *r)
{
    int margin = r->w.margin, y = r->y;
    while (r->loaded < r->height && r->loaded <= y + margin)
        load(r, r->loaded++);
    for (int d = -margin; d <= margin; d++) {
        int at = beyond(r, y + d, r->height);
        r->w.row[d + margin] = r->ring + (size_t)(at % r->slots) * r->line + margin * r->w.channels;
    }
    r->ops->row(&r->w, r->made);
    store(r, y);
}

static int64_t rows_left(const struct window_run *r)
{
    return (int64_t)(r->passes - r->pass) * r->height - r->y;
}

static int64_t left(const void *run)
{
    const struct window_run *r = run;
    return (rows_left(r) + r->turn_rows - 1) / r->turn_rows;
}

static status step(void *const *worker, const struct team *team, void *run,
                   const struct engine_hooks *hooks, uint64_t *evaluations, struct errmsg *e)
{
    struct window_run *r = run;
    (void)worker;
    (void)team;
    (void)evaluations;
    (void)e;
    if (engine_stopped(hooks))
        return STATUS_CANCELLED;
    for (int64_t i = 0; i < r->turn_rows && r->pass < r->passes; i++) {
        make_row(r);
        if (++r->y == r->height) {
            r->y = r->loaded = 0;
            r->pass++;
        }
    }
    return STATUS_OK;
}

const struct purifier_kind purifier_window = {
    .turns = turns,
    .bytes = bytes,
    .begin = begin,
    .left = left,
    .step = step,
    .drop = drop,
};
