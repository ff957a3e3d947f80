/*
 * The first frame of a GIF to pixels, through giflib, which unpacks the rows. What is around the
 * frame on the screen is transparent, or where there is no transparent index, of index 0, as PIL
 * shows it.
 *
 * giflib is given the screen's header and the frame only, not what is between them: it allocates
 * memory for each extension.
 */
#include "gif_format.h"

#include <gif_lib.h>

struct feed {
    const uint8_t *data;
    size_t len;
    size_t at;
    size_t skip_from, skip_to; /* bytes that giflib is not given */
};

static int on_read(GifFileType *gif, GifByteType *to, int n)
{
    struct feed *f = gif->UserData;
    for (int i = 0; i < n; i++) {
        if (f->at == f->skip_from)
            f->at = f->skip_to;
        /* Behind the end of the file giflib reads zeros, which end the blocks: an error when image
           data is missing, none when only the trailer is. */
        to[i] = f->at < f->len ? f->data[f->at] : 0;
        f->at++;
    }
    return n;
}

static status gif_status(int code, struct errmsg *e)
{
    if (code == D_GIF_ERR_NOT_ENOUGH_MEM)
        return errmsg_set(e, STATUS_NOMEM, "GIF: %s", status_text(STATUS_NOMEM));
    return errmsg_set(e, STATUS_CORRUPT, "GIF: the image data is damaged or cut short");
}

/* The row of the frame that is the n-th to be stored. */
struct order {
    int row, pass;
};

static void next_row(struct order *o, const struct gif_layout *l)
{
    static const int first[] = {0, 4, 2, 1}, step[] = {8, 8, 4, 2};
    if (!l->interlaced) {
        o->row++;
        return;
    }
    o->row += step[o->pass];
    while (o->row >= l->height && o->pass < 3)
        o->row = first[++o->pass];
}

struct painter {
    const struct gif_layout *l;
    struct image *img;
    uint8_t palette[256][3];
};

static void read_palette(struct painter *p, const uint8_t *data)
{
    memset(p->palette, 0, sizeof p->palette);
    for (int i = 0; i < 256; i++)
        if (!p->l->palette_off)
            memset(p->palette[i], i, 3);
        else if (i < p->l->colors)
            memcpy(p->palette[i], data + p->l->palette_off + 3 * i, 3);
}

static void paint(const struct painter *p, size_t at, unsigned index)
{
    struct image *img = p->img;
    if (img->channels == 1)
        img->pixels[at] = (uint8_t)index;
    else
        memcpy(img->pixels + 3 * at, p->palette[index], 3);
    if (img->alpha)
        img->alpha[at] = (int)index == p->l->transparent ? 0 : 255;
}

static bool read_rows(GifFileType *gif, const struct painter *p, GifPixelType *line)
{
    const struct gif_layout *l = p->l;
    struct order o = {0, 0};
    for (int n = 0; n < l->height; n++, next_row(&o, l)) {
        if (DGifGetLine(gif, line, l->width) != GIF_OK)
            return false;
        size_t at = (size_t)(l->top + o.row) * (size_t)p->img->width + (size_t)l->left;
        for (int x = 0; x < l->width; x++)
            paint(p, at + (size_t)x, line[x]);
    }
    return true;
}

static bool read_frame(GifFileType *gif, const struct painter *p, GifPixelType *line)
{
    GifRecordType type;
    return DGifGetRecordType(gif, &type) == GIF_OK && type == IMAGE_DESC_RECORD_TYPE &&
           DGifGetImageDesc(gif) == GIF_OK && gif->Image.Width == p->l->width &&
           gif->Image.Height == p->l->height && read_rows(gif, p, line);
}

static void paint_screen(const struct painter *p)
{
    size_t n = (size_t)p->img->width * (size_t)p->img->height;
    for (size_t i = 0; i < n; i++)
        paint(p, i, p->l->transparent >= 0 ? (unsigned)p->l->transparent : 0);
}

status image_gif_decode(const uint8_t *data, size_t len, const struct header *h, struct image *img,
                        struct errmsg *e)
{
    (void)h;
    struct source s;
    struct gif_layout l;
    struct image_info info;
    source_init_memory(&s, data, len);
    status st = image_gif_layout(&s, &l, &info, e);
    if (st)
        return st;
    struct painter p = {.l = &l, .img = img};
    AUTO(mem_free) GifPixelType *line = mem_alloc((size_t)l.width);
    if (!line)
        return errmsg_set(e, STATUS_NOMEM, "GIF: %s", status_text(STATUS_NOMEM));
    read_palette(&p, data);
    paint_screen(&p);
    size_t head = GIF_HEAD + (data[10] & 0x80 ? (size_t)3 << ((data[10] & 7) + 1) : 0);
    struct feed feed = {data, len, 0, head, (size_t)l.frame_off};
    int code = 0;
    GifFileType *gif = DGifOpen(&feed, on_read, &code);
    if (!gif)
        return gif_status(code, e);
    bool done = read_frame(gif, &p, line);
    code = gif->Error;
    DGifCloseFile(gif, NULL);
    return done ? STATUS_OK : gif_status(code, e);
}

static const uint8_t magic[] = {'G', 'I', 'F', '8'};

static bool is_gif(const uint8_t *head, size_t len)
{
    return len >= 6 && (head[4] == '7' || head[4] == '9') && head[5] == 'a';
}

const struct image_codec image_gif_codec = {
    .name = "GIF",
    .magic = magic,
    .magic_len = sizeof magic,
    .is = is_gif,
    .scan = image_gif_scan,
    .decode = image_gif_decode,
};
