#include "correlate.h"

#include "stream.h"

#include <string.h>

void correlate_draw(struct nn_rng r, int side, float most, float *kernel)
{
    int n = side * side;
    for (int i = 0; i < n; i++)
        kernel[i] = most * nn_rng_uniform(r, (uint64_t)i);
    kernel[stream_below(nn_rng_u32(r, (uint64_t)n), n)] = 1;
}

/* Row y of the image shifted by (dy,dx), times w, added to out. */
static void add_shifted(const uint8_t *in, int width, int height, int c, int dy, int dx, float w,
                        float *out)
{
    int x0 = dx < 0 ? -dx : 0, x1 = dx > 0 ? width - dx : width;
    for (int y = dy < 0 ? -dy : 0; y < height && y + dy < height; y++) {
        const uint8_t *from = in + ((ptrdiff_t)(y + dy) * width + dx) * c;
        float *to = out + (ptrdiff_t)y * width * c;
        for (int p = x0 * c; p < x1 * c; p++)
            to[p] += w * (float)from[p];
    }
}

void correlate_bright(const uint8_t *in, int width, int height, int channels, const float *kernel,
                      int side, float *out)
{
    size_t n = (size_t)width * (size_t)height * (size_t)channels;
    int half = side / 2;
    memset(out, 0, n * sizeof *out);
    for (int a = 0; a < side; a++)
        for (int b = 0; b < side; b++)
            add_shifted(in, width, height, channels, a - half, b - half, kernel[a * side + b], out);
    float most = 0;
    for (size_t p = 0; p < n; p++)
        most = out[p] > most ? out[p] : most;
    for (size_t p = 0; p < n && most > 0; p++)
        out[p] *= 255 / most;
}
