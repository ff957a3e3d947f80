/* What a network is shown, and what it is to say: images of a batch with perturbations put on. */
#include "restore.h"

#include "protect/protect.h"
#include "stream.h"

#include <math.h>
#include <string.h>

static const float least_amplitude = 4, most_amplitude = 16; /* grey levels of published bounds */

/* Words of a group's stream (STREAM_FAMILY). */
enum { WORD_IS_PAIR, WORD_FAMILY, WORD_AMPLITUDE, WORD_TRANSFER, WORD_IS_NOISY, WORD_NOISE };
/* Words of an image of a group of pairs (STREAM_PAIR); the others say where it is cut out. */
enum { WORD_PAIR, WORD_PLACE, WORDS_OF_PAIR = 4 };

static struct nn_rng group_stream(const struct restore *r, enum stream purpose, int group)
{
    return stream(r->fit.opt->seed, purpose, (uint64_t)r->fit.step << 16 | (uint64_t)group);
}

/* What is left of an image whose perturbation is larger than published bounds allow, as that of a
   blur is, counts as if it had that size: or few such images would be all of the loss. */
static void weigh(const struct restore *r, int i, const float *delta)
{
    int n = 4 * r->cfg.in_channels;
    double sum = 0;
    for (size_t p = 0; p < r->row; p++)
        sum += (double)delta[p] * delta[p];
    double most = most_amplitude / PURIFY_RESTORER_GREYS, rms = sqrt(sum / (double)r->row);
    for (int c = 0; c < n; c++)
        r->weight[i * n + c] = rms > most ? (float)(most / rms) : 1;
}

static bool is_grey(const uint8_t *image, size_t row, size_t channels)
{
    bool grey = true;
    for (size_t p = 0; p < row; p++)
        grey &= image[p] == image[p - p % channels];
    return grey;
}

/* Noise of row i, in grey levels; of a grey image it is grey. */
static void draw_noise(const struct restore *r, int i, const uint8_t *clean)
{
    size_t c = (size_t)r->cfg.in_channels;
    float deviation = r->group[i / r->opt->group].noise;
    memset(r->noise, 0, r->row * sizeof *r->noise);
    if (!(deviation > 0))
        return;
    nn_rng_normal(group_stream(r, STREAM_NOISE, i), 0, r->noise, r->row);
    bool grey = is_grey(clean, r->row, c);
    for (size_t p = 0; p < r->row; p++)
        r->noise[p] = grey && p % c ? r->noise[p - p % c] : deviation * r->noise[p];
}

/* Row i of the inputs: what carries something, and what that is, with the group's noise. */
static void put(const struct restore *r, int i, const uint8_t *clean, const uint8_t *carrying)
{
    int size = r->opt->size, c = r->cfg.in_channels;
    size_t at = (size_t)i * r->row;
    draw_noise(r, i, clean);
    for (size_t p = 0; p < r->row; p++)
        r->unfolded[p] = ((float)carrying[p] + r->noise[p]) / 127.5f - 1;
    purify_restorer_fold(r->unfolded, size, size, c, r->x + at);
    for (size_t p = 0; p < r->row; p++)
        r->unfolded[p] = ((float)(carrying[p] - clean[p]) + r->noise[p]) / PURIFY_RESTORER_GREYS;
    purify_restorer_fold(r->unfolded, size, size, c, r->target + at);
    weigh(r, i, r->unfolded);
}

/* Grey levels of a row that the loader gave as parts of 1. */
static void grey_levels(const struct restore *r, const float *row, uint8_t *out)
{
    for (size_t p = 0; p < r->row; p++)
        out[p] = (uint8_t)lroundf(row[p] * 255);
}

/* Image i of the batch with r->delta (in grey levels) put on. Who protects a grey image leaves it grey:
   it gets the perturbation of the first channel in all. */
static void put_on(const struct restore *r, int i, const uint8_t *clean)
{
    size_t c = (size_t)r->cfg.in_channels;
    bool grey = is_grey(clean, r->row, c);
    for (size_t p = 0; p < r->row; p++)
        r->carrying[p] =
            protect_quantise(clean[p], r->delta[grey ? p - p % c : p] / 255, TRAIN_ROUND);
    put(r, i, clean, r->carrying);
}

/* What group g is to carry. */
static void draw_group(struct restore *r, int g)
{
    struct nn_rng rng = group_stream(r, STREAM_FAMILY, g);
    float noise = nn_rng_uniform(rng, WORD_IS_NOISY) < r->opt->noise_share
                      ? stream_uniform(rng, WORD_NOISE, 0, r->opt->noise)
                      : 0;
    if (r->pairs.n && nn_rng_uniform(rng, WORD_IS_PAIR) < r->opt->pair_share) {
        bool shared =
            r->opt->group > 1 && nn_rng_uniform(rng, WORD_TRANSFER) < r->opt->pair_transfer;
        r->group[g] = (struct restore_group){.kind = r->mix.n, .shared = shared, .noise = noise};
        return;
    }
    r->group[g] = (struct restore_group){
        .kind = family_mix_pick(&r->mix, (double)nn_rng_uniform(rng, WORD_FAMILY)),
        .shared = true,
        .noise = noise,
        .draw = {.r = group_stream(r, STREAM_DELTA, g),
                 .amplitude =
                     stream_uniform(rng, WORD_AMPLITUDE, least_amplitude, most_amplitude)}};
}

static float *crafted(const struct restore *r, int g)
{
    return r->crafted + (size_t)g * r->row;
}

/* All groups of a family that makes them at once. */
static status craft(struct restore *r, const struct train_batch *b, int kind, struct errmsg *e)
{
    const struct family_entry *family = &r->mix.entry[kind];
    struct family_step step = {.number = (uint64_t)r->fit.step, .batch = b, .group = r->crafted_of};
    for (int g = 0; g < restore_groups(r); g++)
        if (r->group[g].kind == kind)
            r->crafted_of[step.groups++] = (struct family_group){
                .first = g * r->opt->group, .draw = r->group[g].draw, .out = crafted(r, g)};
    status st = step.groups ? family->ops->make_step(family->state, &step, e) : STATUS_OK;
    return st ? errmsg_prefix(e, st, "family %s", family->ops->is.name) : st;
}

static status load_family(struct restore *r, const struct train_batch *b, int g, struct errmsg *e)
{
    const struct family_entry *family = &r->mix.entry[r->group[g].kind];
    const struct family_ops *ops = family->ops;
    status st = STATUS_OK;
    if (ops->make_step)
        memcpy(r->delta, crafted(r, g), r->row * sizeof *r->delta);
    for (int k = 0; k < r->opt->group && !st; k++) {
        int i = g * r->opt->group + k;
        grey_levels(r, b->x + (size_t)i * r->row, r->clean);
        if (ops->make && (k == 0 || ops->of_image))
            st = ops->make(family->state, r->frame, r->group[g].draw,
                           ops->of_image ? r->clean : NULL, r->delta);
        if (!st)
            put_on(r, i, r->clean);
    }
    return st ? errmsg_prefix(e, st, "family %s", ops->is.name) : st;
}

/* Cuts out of a pair what image k of a group is to be. */
static status cut_pair(struct restore *r, int g, int k, struct errmsg *e)
{
    struct nn_rng rng = group_stream(r, STREAM_PAIR, g);
    uint64_t at = (uint64_t)k * WORDS_OF_PAIR;
    int pair = stream_below(nn_rng_u32(rng, WORD_PAIR), r->pairs.n);
    if (k > 0)
        pair = pairs_beside(&r->pairs, pair, nn_rng_u32(rng, at + WORD_PAIR));
    return pairs_cut(&r->pairs, pair, rng, at + WORD_PLACE, r->fit.opt->flip, r->opt->size,
                     r->clean, r->carrying, e);
}

static status load_pairs(struct restore *r, const struct train_batch *b, int g, struct errmsg *e)
{
    int first = g * r->opt->group;
    status st = STATUS_OK;
    for (int k = 0; k < r->opt->group && !st; k++) {
        if (k > 0 && r->group[g].shared) {
            grey_levels(r, b->x + (size_t)(first + k) * r->row, r->clean);
            put_on(r, first + k, r->clean);
            continue;
        }
        st = cut_pair(r, g, k, e);
        if (st)
            return st;
        put(r, first + k, r->clean, r->carrying);
        for (size_t p = 0; p < r->row; p++)
            r->delta[p] = (float)(r->carrying[p] - r->clean[p]);
    }
    return st;
}

status train_restore_load(void *arg, const struct train_batch *b, struct errmsg *e)
{
    struct restore *r = arg;
    status st = STATUS_OK;
    for (int g = 0; g < restore_groups(r); g++)
        draw_group(r, g);
    for (int kind = 0; kind < r->mix.n && !st; kind++)
        if (r->mix.entry[kind].ops->make_step)
            st = craft(r, b, kind, e);
    for (int g = 0; g < restore_groups(r) && !st; g++)
        st = r->group[g].kind == r->mix.n ? load_pairs(r, b, g, e) : load_family(r, b, g, e);
    return st;
}
