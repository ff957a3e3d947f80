/*
 * Disentangling (Yu et al. 2024, "Purify Unlearnable Examples via Rate-Constrained Variational
 * Autoencoders", ICML 2024, called D-VAE): two autoencoders are trained on the training images, and what
 * they leave of these is learned from, by the standard recipe with whatever augmentations are asked for.
 * They use the labels, and no clean image. Test images stay as they are.
 *
 * As published (the released code's options for CIFAR-10): both networks, their losses, Adam with rate
 * 0.005 that falls along half a cosine, 60 epochs of batches of 128, gradients clipped at a norm of 5,
 * noise in the middle also where images are taken through, and 8 bits after each. Ours: where theirs
 * doubles the resolution by a transposed convolution of 4x4, nearest neighbours and a convolution of
 * 3x3 do; convolutions of the encoder begin as He et al. 2015 say.
 *
 * It was published for 50,000 images. Of 2,000, 60 epochs are few steps: behind it a small network learned
 * 28 % of LSP's images (25 as they are, 42 behind a restorer), and 33 with batches of 32 and width 16.
 *
 * RUNDIR/images.npy holds what is left, (n,H,W,C) in the order of the set: a run that is resumed reads
 * it. A run that is stopped before it is there has to begin anew.
 */
#include "recipe.h"
#include "recipes/dvae.h"
#include "run.h"

#include <string.h>

static const struct param rows[] = {
    {"epochs", PARAM_INT, offsetof(struct dvae_options, epochs), .lo = 1, .hi = 10000,
     .standard = "60", .about = "of each autoencoder"},
    {"batch", PARAM_INT, offsetof(struct dvae_options, batch), .lo = 1, .hi = 1 << 16,
     .standard = "128", .unit = "images", .about = "of a step of theirs"},
    {"lr", PARAM_FLOAT, offsetof(struct dvae_options, lr), .lo = 1e-6, .hi = 1, .standard = "0.005",
     .about = "their learning rate at the start"},
    {"rate", PARAM_FLOAT, offsetof(struct dvae_options, rate), .lo = 0, .hi = 1000, .standard = "3",
     .unit = "nats", .about = "what the second may tell of a place of an image"},
    {"width", PARAM_INT, offsetof(struct dvae_options, width), .lo = 4, .hi = 512, .standard = "64",
     .about = "channels of their first layer"},
};

#define IMAGES "images.npy"
enum { HEADER = 128 };

struct disentangled {
    uint8_t *file; /* the header, then the pixels */
    size_t row;    /* bytes of an image */
};

static void write_header(const struct train_set_info *i, uint8_t out[HEADER])
{
    static const char magic[] = "\x93NUMPY\x01\x00\x76\x00"; /* version 1, 118 bytes follow */
    enum { BEGIN = sizeof magic - 1 };
    memcpy(out, magic, BEGIN);
    memset(out + BEGIN, ' ', HEADER - BEGIN);
    int n = snprintf((char *)out + BEGIN, HEADER - BEGIN,
                     "{'descr': '|u1', 'fortran_order': False, 'shape': (%d, %d, %d, %d), }",
                     i->samples, i->height, i->width, i->channels);
    out[BEGIN + n] = ' ';
    out[HEADER - 1] = '\n';
}

/* What an earlier process left; NOT_FOUND: nothing. */
static status read_images(struct disentangled *d, const char *path, const uint8_t header[HEADER],
                          size_t bytes, struct errmsg *e)
{
    AUTO(mem_free) void *file = NULL;
    size_t len = 0;
    if (!train_run_file_exists(path))
        return STATUS_NOT_FOUND;
    status st = io_read_file(path, bytes, &file, &len, e);
    if (st)
        return st;
    if (len != bytes || memcmp(file, header, HEADER) != 0)
        return errmsg_set(e, STATUS_CORRUPT,
                          "%s does not hold the images of this run (without it they are made anew)",
                          path);
    d->file = TAKE(file);
    return STATUS_OK;
}

static status make_images(struct run *r, const char *path, const uint8_t header[HEADER],
                          size_t bytes, struct errmsg *e)
{
    struct disentangled *d = r->state;
    const struct dvae_how how = {r->opt->seed, r->threads, r->opt->precision, r->opt->quiet};
    d->file = mem_alloc(bytes);
    if (!d->file)
        return STATUS_NOMEM;
    memcpy(d->file, header, HEADER);
    status st = dvae_disentangle(r->set, r->params, &how, d->file + HEADER, e);
    return st ? st : io_write_file(path, d->file, bytes, e);
}

static status begin(struct run *r, struct errmsg *e)
{
    struct disentangled *d = r->state;
    struct train_set_info info = train_set_info(r->set);
    AUTO(mem_free) char *path = train_run_path(r, IMAGES);
    uint8_t header[HEADER];
    d->row = (size_t)info.width * (size_t)info.height * (size_t)info.channels;
    size_t bytes = HEADER + (size_t)info.samples * d->row;
    write_header(&info, header);
    status st = !path            ? STATUS_NOMEM
                : r->opt->resume ? read_images(d, path, header, bytes, e)
                                 : STATUS_NOT_FOUND;
    return st == STATUS_NOT_FOUND ? make_images(r, path, header, bytes, e) : st;
}

static void close_disentangled(struct run *r)
{
    struct disentangled *d = r->state;
    mem_free(d->file);
}

static void image(const struct run *r, int sample, float *x)
{
    const struct disentangled *d = r->state;
    const uint8_t *pixels = d->file + HEADER + (size_t)sample * d->row;
    for (size_t i = 0; i < d->row; i++)
        x[i] = (float)pixels[i] / 255;
}

const struct recipe_ops recipe_disentangle = {
    .is = {.name = "disentangle",
           .summary = "standard, on what autoencoders leave that part images from their labels",
           .params = PARAM_TABLE(rows, struct dvae_options)},
    .state_size = sizeof(struct disentangled),
    .close = close_disentangled,
    .begin = begin,
    .image = image,
};
