#include "report/sheet.h"

#include "pixels.h"
#include "png.h"
#include "report/lpips.h"
#include "report/similarity.h"
#include "set.h"

#include <math.h>
#include <string.h>

enum { COLUMNS_DEFAULT = 10, CELL_PX = 64, LARGE_PX = 256, GAP_PX = 4, AMPLIFY = 8, TREES = 3 };

struct sheet {
    struct train_set *tree[TREES]; /* clean, protected, purified */
    int columns, zoom, cell_w, cell_h;
    bool fitted;                        /* cells are CELL_PX squares, whatever the images are */
    struct image out[TRAIN_SHEET_ROWS]; /* RGB */
    struct lpips *lpips;
    double error[TREES], values[TREES], ssim[TREES], distance[TREES]; /* sums over columns */
};

static status open_tree(const char *dir, int limit, struct train_set **out, struct errmsg *e)
{
    return train_set_open(
        &(struct train_data_options){.dir = dir, .limit = limit, .any_size = true, .channels = 3},
        out, e);
}

/* Cells are of one size: images that differ, or would fill the page, are made to fit. */
static status lay_out(struct sheet *s, struct errmsg *e)
{
    struct train_set_info info = train_set_info(s->tree[0]);
    s->columns = info.samples;
    s->fitted = info.width > LARGE_PX || info.height > LARGE_PX;
    for (int i = 0; i < info.samples && !s->fitted; i++) {
        int w, h;
        status st = train_set_size(s->tree[0], i, &w, &h, e);
        if (st)
            return st;
        s->fitted = w != info.width || h != info.height;
    }
    int side = info.width > info.height ? info.width : info.height;
    s->zoom = s->fitted || side > CELL_PX ? 1 : CELL_PX / side;
    s->cell_w = s->fitted ? CELL_PX : info.width * s->zoom;
    s->cell_h = s->fitted ? CELL_PX : info.height * s->zoom;
    status st = STATUS_OK;
    for (int row = 0; row < TRAIN_SHEET_ROWS && !st; row++) {
        st = image_alloc(s->columns * (s->cell_w + GAP_PX) - GAP_PX, s->cell_h, 3, true,
                         &s->out[row]);
        if (st)
            break;
        /* Gaps are clear, whatever the page's colour. */
        memset(s->out[row].pixels, 0, image_pixel_bytes(&s->out[row]));
        memset(s->out[row].alpha, 0, (size_t)s->out[row].width * (size_t)s->out[row].height);
    }
    return st;
}

/* The sample with the same path up to the extension; -1 when there is none. */
static int find_same(const struct train_set *s, const char *path)
{
    size_t n = train_path_stem(path);
    for (int i = 0; i < train_set_info(s).samples; i++) {
        const char *other = train_set_path(s, i);
        if (train_path_stem(other) == n && strncmp(other, path, n) == 0)
            return i;
    }
    return -1;
}

static status read_same(struct train_set *s, const char *path, struct image *out, struct errmsg *e)
{
    struct set_view v = {0};
    int i = find_same(s, path);
    if (i < 0)
        return errmsg_set(e, STATUS_NOT_FOUND, "one of the trees has no %.*s.*",
                          (int)train_path_stem(path), path);
    status st = train_set_view(s, i, &v, e);
    if (!st)
        st = image_alloc(v.width, v.height, 3, false, out);
    if (!st)
        memcpy(out->pixels, v.pixels, image_pixel_bytes(out));
    train_set_view_done(&v);
    return st;
}

static status measure(struct sheet *s, int tree, const struct image *img, const struct image *clean,
                      struct errmsg *e)
{
    double n, ssim = NAN, distance = NAN;
    s->error[tree] += train_square_error(img, clean, &n);
    s->values[tree] += n;
    status st = train_ssim(img, clean, &ssim);
    if (!st && s->lpips)
        st = lpips_distance(s->lpips, img, clean, &distance, e);
    s->ssim[tree] += ssim;
    s->distance[tree] += distance;
    return st;
}

static uint8_t difference(uint8_t a, uint8_t clean)
{
    int v = 128 + AMPLIFY * (a - clean);
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* Draws a cell; with `against` the amplified difference to it. */
static void draw(struct sheet *s, int row, int column, const struct image *img,
                 const struct image *against)
{
    struct image *out = &s->out[row];
    int left = column * (s->cell_w + GAP_PX);
    for (int y = 0; y < s->cell_h; y++)
        for (int x = 0; x < s->cell_w; x++) {
            size_t from = (size_t)(y / s->zoom) * (size_t)img->width + (size_t)(x / s->zoom);
            size_t to = (size_t)y * (size_t)out->width + (size_t)(left + x);
            out->alpha[to] = 255;
            for (size_t c = 0; c < 3; c++) {
                uint8_t v = img->pixels[from * 3 + c];
                out->pixels[to * 3 + c] =
                    against ? difference(v, against->pixels[from * 3 + c]) : v;
            }
        }
}

static status draw_column(struct sheet *s, int column, struct image img[TREES], struct errmsg *e)
{
    const char *path = train_set_path(s->tree[0], column);
    status st = STATUS_OK;
    for (int t = 0; t < TREES && !st; t++) {
        st = read_same(s->tree[t], path, &img[t], e);
        if (!st && (img[t].width != img[0].width || img[t].height != img[0].height))
            st = errmsg_set(e, STATUS_INVALID, "%s has different sizes in the three trees", path);
        if (!st && t)
            st = measure(s, t, &img[t], &img[0], e);
    }
    for (int t = 0; t < TREES && !st && s->fitted; t++)
        st = train_pixels_resize(&img[t], CELL_PX, CELL_PX);
    for (int t = 0; t < TREES && !st; t++)
        draw(s, TRAIN_SHEET_CLEAN + t, column, &img[t], NULL);
    for (int t = 1; t < TREES && !st; t++)
        draw(s, TRAIN_SHEET_ADDED + t - 1, column, &img[t], &img[0]);
    return st;
}

static status finish(struct sheet *s, struct train_sheet *out, struct errmsg *e)
{
    status st = STATUS_OK;
    out->columns = s->columns;
    snprintf(out->distance, sizeof out->distance, "%s", s->lpips ? lpips_name(s->lpips) : "");
    for (int t = 1; t < TREES; t++)
        out->near[t] =
            (struct train_nearness){train_psnr(s->error[t], s->values[t]), s->ssim[t] / s->columns,
                                    s->distance[t] / s->columns};
    for (int row = 0; row < TRAIN_SHEET_ROWS && !st; row++)
        st = train_png_bytes(&s->out[row], &out->png[row], e);
    return st;
}

static void done(struct sheet *s)
{
    lpips_close(s->lpips);
    for (int row = 0; row < TRAIN_SHEET_ROWS; row++)
        image_done(&s->out[row]);
    for (int t = 0; t < TREES; t++)
        train_set_free(s->tree[t]);
}

status train_sheet_make(const struct train_report_sheet *trees, int columns, const char *lpips_file,
                        struct train_sheet *out, struct errmsg *e)
{
    const char *const dir[TREES] = {trees->clean_dir, trees->protected_dir, trees->purified_dir};
    struct sheet s = {.columns = columns > 0 ? columns : COLUMNS_DEFAULT};
    for (int row = 0; row < TRAIN_SHEET_ROWS; row++)
        out->png[row] = (struct buf)BUF_INIT((size_t)1 << 28);
    status st = lpips_file ? lpips_open(lpips_file, &s.lpips, e) : STATUS_OK;
    for (int t = 0; t < TREES && !st; t++)
        st = open_tree(dir[t], t ? 0 : s.columns, &s.tree[t], e);
    if (!st)
        st = lay_out(&s, e);
    for (int i = 0; i < s.columns && !st; i++) {
        struct image img[TREES] = {IMAGE_INIT, IMAGE_INIT, IMAGE_INIT};
        st = stop_requested() ? STATUS_CANCELLED : draw_column(&s, i, img, e);
        for (int t = 0; t < TREES; t++)
            image_done(&img[t]);
    }
    if (!st)
        st = finish(&s, out, e);
    done(&s);
    return st;
}

void train_sheet_done(struct train_sheet *s)
{
    for (int row = 0; row < TRAIN_SHEET_ROWS; row++)
        buf_done(&s->png[row]);
}
