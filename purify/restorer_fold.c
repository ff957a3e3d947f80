/* Images as 2x2 pixels a position, and back. */
#include "purify/purify.h"

#include <string.h>

/* A row of 2x2 pixels is two rows of the image; of each, two pixels in a row are one piece. */
enum { PIECES = 2 };

void purify_restorer_fold(const float *image, int height, int width, int channels, float *out)
{
    size_t piece = 2 * (size_t)channels, half = (size_t)width / 2;
    for (size_t y = 0; y < (size_t)height; y++)
        for (size_t j = 0; j < half; j++)
            memcpy(out + ((y / 2 * half + j) * PIECES + y % 2) * piece,
                   image + (y * half + j) * piece, piece * sizeof *out);
}

void purify_restorer_unfold(const float *folded, int height, int width, int channels, float *out)
{
    size_t piece = 2 * (size_t)channels, half = (size_t)width / 2;
    for (size_t y = 0; y < (size_t)height; y++)
        for (size_t j = 0; j < half; j++)
            memcpy(out + (y * half + j) * piece,
                   folded + ((y / 2 * half + j) * PIECES + y % 2) * piece, piece * sizeof *out);
}
