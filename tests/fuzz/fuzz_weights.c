/*
 * libFuzzer: whatever bytes a weights file holds, safetensors or torch.save's, opening it ends with a status, and what
 * it then gives out can be read. tests/golden has small files of each to begin with.
 */
#include "nn/nn.h"

#include <sys/mman.h>

enum { READ_MAX = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static float out[READ_MAX];
    struct errmsg e;
    AUTO(fd_close) int fd = memfd_create("fuzz", MFD_CLOEXEC);
    AUTO(nn_file_close) struct nn_file *f = NULL;
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (fd < 0 || io_write(fd, data, len) || nn_file_open_any(path, &f, &e))
        return 0;
    struct digest d;
    CHECK(nn_file_digest(f, &d) == STATUS_OK);
    for (int i = 0; i < nn_file_count(f); i++) {
        const struct nn_file_tensor *t = nn_file_at(f, i);
        CHECK(nn_file_find(f, t->name) == t);
        CHECK((const char *)t->data + t->bytes >= (const char *)t->data);
        int64_t n = nn_shape_count(t->shape);
        if (n <= READ_MAX)
            status_ignore(nn_file_read_f32(t, out, (size_t)n), "not every dtype is a float");
    }
    for (int i = 0; i < nn_file_meta_count(f); i++)
        CHECK(nn_file_meta(f, nn_file_meta_at(f, i).key) != NULL);
    return 0;
}
