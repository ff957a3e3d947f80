/* The contact sheet: the same few images clean, protected, purified, and what was added, amplified.
 */
#include "png.h"
#include "set.h"

#include <string.h>

enum { COLUMNS_DEFAULT = 10, CELL_PX = 64, LARGE_PX = 256, GAP_PX = 4, AMPLIFY = 8, ROWS = 5 };

struct sheet {
    struct train_set *clean, *protected, *purified;
    struct train_set_info info; /* of the clean tree */
    int columns, zoom, cell_w, cell_h;
    struct image out; /* RGB */
};

static status open_tree(const char *dir, int limit, int size, struct train_set **out,
                        struct errmsg *e)
{
    return train_set_open(
        &(struct train_data_options){
            .dir = dir, .limit = limit, .size = size, .any_size = true, .channels = 3},
        out, e);
}

/* Cells are of one size: images that differ, or would fill the page, are made to fit (*out_size).
 */
static status choose_size(const struct train_set *s, int *out_size, struct errmsg *e)
{
    struct train_set_info info = train_set_info(s);
    *out_size = info.width > LARGE_PX || info.height > LARGE_PX ? CELL_PX : 0;
    for (int i = 0; i < info.samples && !*out_size; i++) {
        int w, h;
        status st = train_set_size(s, i, &w, &h, e);
        if (st)
            return st;
        if (w != info.width || h != info.height)
            *out_size = CELL_PX;
    }
    return STATUS_OK;
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
    struct train_set_info info = train_set_info(s);
    int i = find_same(s, path);
    if (i < 0)
        return errmsg_set(e, STATUS_NOT_FOUND, "one of the trees has no %.*s.*",
                          (int)train_path_stem(path), path);
    status st = image_alloc(info.width, info.height, info.channels, false, out);
    return st ? st : train_set_pixels(s, i, out->pixels, e);
}

static uint8_t value(const struct image *img, int x, int y, int c)
{
    size_t at = (size_t)y * (size_t)img->width + (size_t)x;
    return img->channels == 3 ? img->pixels[at * 3 + (size_t)c] : img->pixels[at];
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
    int left = GAP_PX + column * (s->cell_w + GAP_PX), top = GAP_PX + row * (s->cell_h + GAP_PX);
    for (int y = 0; y < s->cell_h; y++)
        for (int x = 0; x < s->cell_w; x++)
            for (int c = 0; c < 3; c++) {
                uint8_t v = value(img, x / s->zoom, y / s->zoom, c);
                if (against)
                    v = difference(v, value(against, x / s->zoom, y / s->zoom, c));
                s->out.pixels[((size_t)(top + y) * (size_t)s->out.width + (size_t)(left + x)) * 3 +
                              (size_t)c] = v;
            }
}

static status draw_column(struct sheet *s, int column, struct errmsg *e)
{
    const char *path = train_set_path(s->clean, column);
    AUTO(image_done) struct image clean = IMAGE_INIT;
    AUTO(image_done) struct image protected = IMAGE_INIT;
    AUTO(image_done) struct image purified = IMAGE_INIT;
    status st = read_same(s->clean, path, &clean, e);
    if (!st)
        st = read_same(s->protected, path, &protected, e);
    if (!st)
        st = read_same(s->purified, path, &purified, e);
    if (st)
        return st;
    if (protected.width != clean.width || protected.height != clean.height ||
        purified.width != clean.width || purified.height != clean.height)
        return errmsg_set(e, STATUS_INVALID, "%s has different sizes in the three trees", path);
    draw(s, 0, column, &clean, NULL);
    draw(s, 1, column, &protected, NULL);
    draw(s, 2, column, &purified, NULL);
    draw(s, 3, column, &protected, &clean);
    draw(s, 4, column, &purified, &clean);
    return STATUS_OK;
}

static status lay_out(struct sheet *s)
{
    int side = s->info.width > s->info.height ? s->info.width : s->info.height;
    s->zoom = CELL_PX / side > 1 ? CELL_PX / side : 1;
    s->cell_w = s->info.width * s->zoom;
    s->cell_h = s->info.height * s->zoom;
    status st = image_alloc(GAP_PX + s->columns * (s->cell_w + GAP_PX),
                            GAP_PX + ROWS * (s->cell_h + GAP_PX), 3, false, &s->out);
    if (!st)
        memset(s->out.pixels, 255, image_pixel_bytes(&s->out));
    return st;
}

status train_contact_sheet(const char *clean_dir, const char *protected_dir,
                           const char *purified_dir, int columns, struct buf *out_png,
                           struct errmsg *e)
{
    struct sheet s = {.columns = columns > 0 ? columns : COLUMNS_DEFAULT};
    int size = 0;
    status st = open_tree(clean_dir, s.columns, 0, &s.clean, e);
    if (!st)
        st = choose_size(s.clean, &size, e);
    if (!st && size) {
        train_set_free(TAKE(s.clean));
        st = open_tree(clean_dir, s.columns, size, &s.clean, e);
    }
    if (!st)
        st = open_tree(protected_dir, 0, size, &s.protected, e);
    if (!st)
        st = open_tree(purified_dir, 0, size, &s.purified, e);
    if (!st) {
        s.info = train_set_info(s.clean);
        s.columns = s.info.samples;
        st = lay_out(&s);
    }
    for (int i = 0; i < s.columns && !st; i++)
        st = stop_requested() ? STATUS_CANCELLED : draw_column(&s, i, e);
    if (!st)
        st = train_png_bytes(&s.out, out_png, e);
    image_done(&s.out);
    train_set_free(s.clean);
    train_set_free(s.protected);
    train_set_free(s.purified);
    return st;
}
