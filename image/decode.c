/* Whole files to pixels. */
#include "codec.h"

status image_decode(const void *data, size_t len, const struct image_limits *lim,
                    struct image *out_img, struct image_info *out_info, struct errmsg *e)
{
    struct source s;
    struct header h;
    struct image img;
    source_init_memory(&s, data, len);
    status st = codec_scan(&s, len, lim, &h, e);
    if (!st)
        st = codec_check_bytes(&h, len, e);
    if (st)
        return st;
    const struct image_info *i = &h.info;
    st = image_alloc(i->width, i->height, i->channels, i->has_alpha, &img);
    if (st)
        return errmsg_set(e, st, "%dx%d pixels: %s", i->width, i->height, status_text(st));
    st = image_codecs[i->source_format]->decode(data, len, &h, &img, e);
    if (st) {
        image_done(&img);
        return st;
    }
    *out_img = img;
    if (out_info)
        *out_info = h.info;
    return STATUS_OK;
}

status image_load_at(int dirfd, const char *path, const struct image_limits *lim,
                     struct image *out_img, struct image_info *out_info, struct errmsg *e)
{
    AUTO(mem_free) void *data = NULL;
    size_t len = 0;
    status st = io_read_file_at(dirfd, path, (size_t)lim->max_file_bytes, &data, &len, e);
    if (st)
        return st;
    st = image_decode(data, len, lim, out_img, out_info, e);
    return st ? errmsg_prefix(e, st, "%s", path) : STATUS_OK;
}
