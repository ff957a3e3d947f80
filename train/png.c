#include "png.h"

static const size_t png_max = (size_t)1 << 31;

status train_png_bytes(const struct image *img, struct buf *out, struct errmsg *e)
{
    struct image_info info;
    status st = image_info_new(IMAGE_PNG, img, &info, e);
    if (!st)
        st = buf_reserve(out, (size_t)info.encoded_size);
    if (st)
        return st;
    st = image_encode(img, &info, NULL, 0, out->data + out->len, (size_t)info.encoded_size, e);
    if (st)
        return st;
    out->len += (size_t)info.encoded_size;
    out->data[out->len] = 0;
    return STATUS_OK;
}

status train_png_write(const char *path, const struct image *img, struct errmsg *e)
{
    AUTO(buf_done) struct buf b = BUF_INIT(png_max);
    status st = train_png_bytes(img, &b, e);
    if (st)
        return errmsg_prefix(e, st, "%s", path);
    return io_write_file(path, b.data, b.len, e);
}
