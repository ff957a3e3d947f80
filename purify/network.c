#include "network.h"

status network_takes(const struct image *img, int channels, struct errmsg *e)
{
    if (img->channels > channels)
        return errmsg_set(e, STATUS_UNSUPPORTED,
                          "the image is in colour, the model purifies grey images only");
    return STATUS_OK;
}

status network_noise_key(const struct image *img, const struct digest *profile, uint64_t *out)
{
    struct digest d;
    status st = purify_pixel_digest(img, &d);
    struct digest_part parts[2] = {{&d, sizeof d}, {profile, sizeof *profile}};
    if (!st)
        st = digest_sha256(parts, 2, &d);
    if (st)
        return st;
    *out = 0;
    for (int i = 7; i >= 0; i--)
        *out = *out << 8 | d.byte[i];
    return STATUS_OK;
}

status network_is_sane(const float *x, size_t n, struct errmsg *e)
{
    float sum = 0; /* x - x is 0, or NaN for NaN and infinity */
    for (size_t k = 0; k < n; k++)
        sum += x[k] - x[k];
    return sum == 0 ? STATUS_OK
                    : errmsg_set(e, STATUS_INTERNAL, "the network gave no finite numbers");
}
