/*
 * libFuzzer: whatever bytes a file holds, probing and decoding end with a status, they agree with
 * each other, and what was decoded encodes to the size that the probe promised and decodes again.
 */
#include "image/image.h"

#include <string.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static bool same(const struct image_info *a, const struct image_info *b)
{
    return a->format == b->format && a->source_format == b->source_format && a->width == b->width &&
           a->height == b->height && a->channels == b->channels && a->has_alpha == b->has_alpha &&
           a->source_bits == b->source_bits && a->orientation == b->orientation &&
           a->header_bytes == b->header_bytes && a->metadata_bytes == b->metadata_bytes &&
           a->file_size == b->file_size && a->is_label == b->is_label &&
           a->encoded_size == b->encoded_size;
}

/* The descriptor and memory give the same answer; the former may find the file too small for its
 * claims. */
static void probe_both(const uint8_t *data, size_t len, const struct image_limits *lim)
{
    struct image_info in_memory, in_file;
    status a = image_probe(data, len, len, lim, &in_memory, NULL);
    AUTO(fd_close) int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || io_write(fd, data, len))
        return;
    status b = image_probe_fd(fd, len, lim, &in_file, NULL);
    CHECK(a == b || (a == STATUS_OK && b == STATUS_CORRUPT));
    CHECK(a || b || same(&in_memory, &in_file));
}

static void recode(const struct image *img, const struct image_info *info, const uint8_t *data,
                   size_t len)
{
    AUTO(mem_free) uint8_t *meta = mem_alloc(info->metadata_bytes + 1);
    AUTO(mem_free) uint8_t *out = mem_alloc(info->encoded_size);
    AUTO(image_done) struct image back = IMAGE_INIT;
    struct image_limits lim = image_limits_default();
    struct image_info again;
    CHECK(out && meta);
    CHECK(image_metadata(data, len, info, &lim, meta, NULL) == STATUS_OK);
    CHECK(image_encode(img, info, meta, info->metadata_bytes, out, info->encoded_size, NULL) ==
          STATUS_OK);
    CHECK(image_decode(out, info->encoded_size, &lim, &back, &again, NULL) == STATUS_OK);
    CHECK(again.channels == info->channels);
    CHECK(again.format == info->format);
    /* a PNG that was made of a GIF has room for metadata of its own; a chunk with a wrong checksum
       turns into padding */
    CHECK(info->source_format != info->format || (again.encoded_size == info->encoded_size &&
                                                  again.metadata_bytes <= info->metadata_bytes));
    if (info->format != IMAGE_JPEG)
        CHECK(memcmp(back.pixels, img->pixels, image_pixel_bytes(img)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(image_done) struct image img = IMAGE_INIT;
    struct image_limits lim = image_limits_default();
    struct image_info info, probed;
    lim.max_pixels = 1 << 18;
    probe_both(data, len, &lim);
    if (image_sniff(data, len) != IMAGE_FORMAT_COUNT)
        CHECK(!image_kind_of_unsupported(data, len, "x.npz"));
    else
        image_kind_of_unsupported(data, len, "x.tar.gz");
    if (image_decode(data, len, &lim, &img, &info, NULL))
        return 0;
    CHECK(image_probe(data, info.header_bytes, len, &lim, &probed, NULL) == STATUS_OK);
    CHECK(probed.encoded_size == info.encoded_size);
    recode(&img, &info, data, len);
    return 0;
}
