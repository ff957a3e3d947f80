/*
 * libFuzzer: whatever bytes an array file holds, opening it ends with a status, and every image and
 * label that it then claims to have can be read. The first byte says where the file of labels
 * begins (0: there is none).
 */
#include "image/image.h"

#include <string.h>
#include <sys/mman.h>

/* What a mount would make of it: images and what is between them are the file, once. */
static void read_list(int fd, uint64_t size)
{
    struct image_limits lim = image_limits_default();
    struct image_list l;
    uint64_t own = 0, gaps = 0;
    if (image_list_probe_fd(fd, size, &lim, &l, NULL) || !l.count)
        return;
    for (uint64_t at = 0, end; image_list_gap(&l, size, &at, &end); at = end)
        gaps += end - at;
    own = l.count * l.bytes;
    CHECK(own + gaps == size);
    AUTO(mem_free) uint8_t *bytes = mem_alloc(l.bytes), *again = mem_alloc(l.bytes);
    AUTO(image_done) struct image img = IMAGE_INIT;
    size_t n;
    CHECK(bytes && again &&
          io_pread(fd, bytes, l.bytes, (off_t)(image_list_at(&l, l.count - 1)), &n) == STATUS_OK);
    CHECK(n == l.bytes && image_list_decode(&l, bytes, &img) == STATUS_OK);
    image_list_encode(&l, img.pixels, again);
    CHECK(memcmp(bytes, again, l.bytes) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { IMAGES_MAX = 64 };

static int file_of(const uint8_t *data, size_t len, char path[64])
{
    AUTO(fd_close) int fd = memfd_create("fuzz", MFD_CLOEXEC);
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    if (fd < 0 || io_write(fd, data, len))
        return -1;
    return TAKE_FD(fd);
}

static void read_all(const struct image_array *a)
{
    size_t n = image_array_count(a);
    size_t step = n > IMAGES_MAX ? n / IMAGES_MAX : 1;
    CHECK(n > 0);
    for (size_t i = n - 1;; i -= step) {
        AUTO(image_done) struct image img = IMAGE_INIT;
        CHECK(image_array_get(a, i, &img) == STATUS_OK);
        CHECK(img.width == image_array_width(a) && img.height == image_array_height(a));
        CHECK(img.channels == image_array_channels(a));
        CHECK((image_array_label(a, i) >= 0) == image_array_has_labels(a));
        CHECK(image_array_coarse_label(a, i) >= -1);
        if (i < step)
            break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(image_array_close) struct image_array *a = NULL;
    char images_path[64], labels_path[64];
    if (len == 0)
        return 0;
    size_t split = data[0] && data[0] < len ? data[0] : len;
    AUTO(fd_close) int images = file_of(data + 1, split - 1, images_path);
    AUTO(fd_close) int labels = file_of(data + split, len - split, labels_path);
    if (images < 0 || labels < 0)
        return 0;
    read_list(images, split - 1);
    if (!image_array_open(images_path, split < len ? labels_path : NULL, IMAGE_ARRAY_ALL, &a, NULL))
        read_all(a);
    return 0;
}
