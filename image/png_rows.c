/* A row of a PNG: filters undone, samples to pixels. */
#include "png_job.h"

#include <string.h>

/* ---- filters ---- */

static uint8_t paeth(int a, int b, int c)
{
    int pa = b - c, pb = a - c, pc = pa + pb;
    pa = pa < 0 ? -pa : pa;
    pb = pb < 0 ? -pb : pb;
    pc = pc < 0 ? -pc : pc;
    return (uint8_t)(pa <= pb && pa <= pc ? a : pb <= pc ? b : c);
}

status png_unfilter(uint8_t *row, const uint8_t *above, size_t n, size_t bpp, struct errmsg *e)
{
    uint8_t filter = *row++;
    above++;
    switch (filter) {
    case 0:
        return STATUS_OK;
    case 1:
        for (size_t i = bpp; i < n; i++)
            row[i] = (uint8_t)(row[i] + row[i - bpp]);
        return STATUS_OK;
    case 2:
        for (size_t i = 0; i < n; i++)
            row[i] = (uint8_t)(row[i] + above[i]);
        return STATUS_OK;
    case 3:
        for (size_t i = 0; i < n && i < bpp; i++)
            row[i] = (uint8_t)(row[i] + above[i] / 2);
        for (size_t i = bpp; i < n; i++)
            row[i] = (uint8_t)(row[i] + (row[i - bpp] + above[i]) / 2);
        return STATUS_OK;
    case 4:
        for (size_t i = 0; i < n && i < bpp; i++)
            row[i] = (uint8_t)(row[i] + above[i]);
        for (size_t i = bpp; i < n; i++)
            row[i] = (uint8_t)(row[i] + paeth(row[i - bpp], above[i], above[i - bpp]));
        return STATUS_OK;
    default:
        return errmsg_set(e, STATUS_CORRUPT, "PNG: the image data is damaged: filter %d", filter);
    }
}

/* ---- samples to pixels ---- */

static unsigned sample(const struct png_job *job, const uint8_t *row, size_t i)
{
    if (job->bits == 8)
        return row[i];
    if (job->bits == 16)
        return read_be16(row + 2 * i);
    size_t bit = i * (size_t)job->bits;
    return row[bit / 8] >> (8 - (unsigned)job->bits - bit % 8) & ((1u << job->bits) - 1);
}

static uint8_t to_8_bits(const struct png_job *job, unsigned v)
{
    return (uint8_t)(job->bits == 16 ? v >> 8 : v * 255 / ((1u << job->bits) - 1));
}

void png_to_pixels(const struct png_job *job, const uint8_t *row, size_t n, uint8_t *out,
                   uint8_t *alpha)
{
    int channels = job->img->channels, samples = job->samples;
    if (job->bits == 8 && samples == channels && !alpha) {
        memcpy(out, row, n * (size_t)samples);
        return;
    }
    for (size_t x = 0; x < n; x++, out += channels) {
        unsigned v[4];
        for (int c = 0; c < samples; c++)
            v[c] = sample(job, row, x * (size_t)samples + (size_t)c);
        if (job->look.color == PNG_PALETTE) {
            memcpy(out, job->palette[v[0]], 3);
            if (alpha)
                alpha[x] = job->palette_alpha[v[0]];
            continue;
        }
        bool is_key = job->has_key;
        for (int c = 0; c < channels; c++) {
            out[c] = to_8_bits(job, v[c]);
            is_key = is_key && v[c] == job->key[c];
        }
        if (alpha)
            alpha[x] = samples > channels ? to_8_bits(job, v[channels]) : is_key ? 0 : 255;
    }
}
