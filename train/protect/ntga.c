/*
 * NTGA, neural tangent generalization attack (Yuan and Wu, "Neural Tangent Generalization Attacks",
 * ICML 2021): every image moves up the loss, on images held out, of a network of infinite width that
 * learned from a block of them. The network is the fully connected one of the authors' code, 5 layers of
 * erf with variances 1.76 of weights and .18 of biases, trained until time 64 (ntk.h, ntk_flow.h). Their
 * convolutional one is not here.
 *
 * One signed step of eps. The paper has ten of 1.1 eps/10; the authors' code begins each of these from
 * the images as they are, with all of eps, so that what it makes are the images after one (--steps 1,
 * the default; --steps 10 is the paper's).
 *
 * The authors set 10,000 images aside, which stay unprotected, and leave out those that do not fill a
 * block. Here, in an order that the seed decides, the images held out for a block are the next ones
 * after it, so that all are protected, and the last block takes in some of the one before. Of few
 * images a block is a half.
 */
#include "protect/floats.h"
#include "protect/ntk_images.h"
#include "protect/protect.h"

#include "clamp.h"
#include "set.h"
#include "stream.h"

#include <string.h>

static const double weight_variance = 1.76, bias_variance = .18, ridge = 1e-4;

struct ntga_param {
    int block, held_out, layers, steps;
    double time;
};
static const struct param params[] = {
    {"block", PARAM_INT, offsetof(struct ntga_param, block), .lo = 1, .hi = 4096, .standard = "512",
     .about = "images that are protected together"},
    {"held_out", PARAM_INT, offsetof(struct ntga_param, held_out), .lo = 1, .hi = 1 << 20,
     .standard = "10000", .about = "images held out whose loss rises; memory and time go by them"},
    {"layers", PARAM_INT, offsetof(struct ntga_param, layers), .lo = 1, .hi = NTK_LAYERS_MAX,
     .standard = "5", .about = "of the network"},
    {"time", PARAM_DOUBLE, offsetof(struct ntga_param, time), .lo = 0, .hi = 4096, .standard = "64",
     .about = "for which it is trained at rate 1"},
    {"steps", PARAM_INT, offsetof(struct ntga_param, steps), .lo = 1, .hi = 1000, .standard = "1",
     .about = "of ascent, as released; published: 10, at ten times the cost"},
};

struct ntga {
    struct floats delta; /* (N,row) */
    int *order;          /* (N) samples */
    float *x;            /* (block,row): images in [0,1] as they are */
    int block, held;
    size_t row;
    struct ntk_images *network;
    struct ntk_loss before, after; /* summed over blocks, then the mean */
};

static void shuffle(const struct protect_job *j, int *order)
{
    const struct nn_rng r = stream(j->opt->seed, STREAM_SUBSET, 0);
    for (int i = 0; i < j->info.samples; i++) {
        int to = stream_below(nn_rng_u32(r, (uint64_t)i), i + 1);
        order[i] = order[to];
        order[to] = i;
    }
}

static status open_network(struct protect_job *j, struct ntga *m, struct errmsg *e)
{
    const struct ntga_param *param = j->param;
    int n = j->info.samples;
    /* A set has two images or more. */
    m->block = param->block < n / 2 ? param->block : n / 2;
    m->held = param->held_out < n - m->block ? param->held_out : n - m->block;
    m->row = (size_t)j->info.width * (size_t)j->info.height * (size_t)j->info.channels;
    const struct ntk_images_options o = {.kernel = {param->layers, weight_variance, bias_variance},
                                         .n = m->block,
                                         .held = m->held,
                                         .classes = j->info.classes,
                                         .values = (int)m->row,
                                         .time = param->time,
                                         .ridge = ridge,
                                         .threads = j->threads};
    AUTO(mem_free) char *folder = protect_folder(j);
    m->order = mem_alloc((size_t)n * sizeof *m->order);
    m->x = mem_alloc((size_t)m->block * m->row * sizeof *m->x);
    if (!folder || !m->order || !m->x)
        return STATUS_NOMEM;
    shuffle(j, m->order);
    status st = ntk_images_new(&o, &m->network, e);
    return st ? st : floats_init(&m->delta, (size_t)n * m->row, FLOATS_MEMORY, folder, e);
}

/* The block from `at` of the order on, and those held out for it. */
static status load(const struct protect_job *j, struct ntga *m, int at, struct errmsg *e)
{
    for (int i = 0; i < m->block + m->held; i++) {
        int sample = m->order[(at + i) % j->info.samples];
        float *x = m->network->image + (size_t)i * m->row;
        struct set_view v;
        status st = train_set_view(j->set, sample, &v, e);
        if (st)
            return st;
        for (size_t p = 0; p < m->row; p++)
            x[p] = (float)v.pixels[p] / 255;
        m->network->label[i] = train_set_label(j->set, sample);
        train_set_view_done(&v);
    }
    memcpy(m->x, m->network->image, (size_t)m->block * m->row * sizeof *m->x);
    return STATUS_OK;
}

/* One step of image i of the block, by its gradient; the network is shown it. */
static void ascend(const struct protect_job *j, struct ntga *m, int i, float *delta)
{
    const struct ntga_param *param = j->param;
    float eps = (float)(j->eps / 255), step = 1.1f * eps / (float)param->steps;
    const float *grad = m->network->grad + (size_t)i * m->row, *x = m->x + (size_t)i * m->row;
    float *shown = m->network->image + (size_t)i * m->row;
    for (size_t p = 0; p < m->row; p++) {
        float sign = (float)((grad[p] > 0) - (grad[p] < 0));
        delta[p] = clamp(delta[p] + step * sign, -eps, eps);
        shown[p] = clamp(x[p] + delta[p], 0, 1);
    }
}

static status craft(struct protect_job *j, struct ntga *m, int at, struct errmsg *e)
{
    const struct ntga_param *param = j->param;
    struct ntk_loss loss = {0, 0};
    status st = load(j, m, at, e);
    for (int i = 0; i < m->block; i++)
        memset(m->delta.v + (size_t)m->order[at + i] * m->row, 0, m->row * sizeof(float));
    for (int step = 0; step < param->steps && !st; step++) {
        st = ntk_images_loss(m->network, true, &loss);
        m->before.loss += step ? 0 : loss.loss;
        m->before.error += step ? 0 : loss.error;
        for (int i = 0; i < m->block && !st; i++)
            ascend(j, m, i, m->delta.v + (size_t)m->order[at + i] * m->row);
    }
    if (!st)
        st = ntk_images_loss(m->network, false, &loss);
    m->after.loss += loss.loss;
    m->after.error += loss.error;
    return st;
}

static status prepare(struct protect_job *j, struct errmsg *e)
{
    struct ntga *m = j->state = mem_zalloc(1, sizeof *m);
    status st = m ? open_network(j, m, e) : STATUS_NOMEM;
    if (st)
        return st;
    int n = j->info.samples, blocks = (n + m->block - 1) / m->block;
    struct progress p;
    progress_init(&p, "crafting", 0, (uint64_t)blocks, j->opt->quiet);
    for (int b = 0; b < blocks && !st; b++) {
        int at = b * m->block;
        st = craft(j, m, at < n - m->block ? at : n - m->block, e);
        progress_update(&p, (uint64_t)b + 1, NULL);
    }
    if (st)
        return st;
    progress_done(&p, (uint64_t)blocks, NULL);
    m->before = (struct ntk_loss){m->before.loss / blocks, m->before.error / blocks};
    m->after = (struct ntk_loss){m->after.loss / blocks, m->after.error / blocks};
    return STATUS_OK;
}

static status row(const struct protect_job *j, int i, float *out, struct errmsg *e)
{
    const struct ntga *m = j->state;
    (void)e;
    memcpy(out, m->delta.v + (size_t)i * m->row, m->row * sizeof *out);
    return STATUS_OK;
}

static void describe(const struct protect_job *j, json_t *out)
{
    const struct ntga *m = j->state;
    json_object_set_new(out, "block", json_integer(m->block));
    json_object_set_new(out, "held_out", json_integer(m->held));
    json_object_set_new(out, "held_out_loss_clean", json_real(m->before.loss));
    json_object_set_new(out, "held_out_loss", json_real(m->after.loss));
    json_object_set_new(out, "held_out_error_clean", json_real(m->before.error));
    json_object_set_new(out, "held_out_error", json_real(m->after.error));
}

static void done(struct protect_job *j)
{
    struct ntga *m = j->state;
    if (!m)
        return;
    ntk_images_free(m->network);
    floats_done(&m->delta);
    mem_free(m->order);
    mem_free(m->x);
    mem_free(m);
}

const struct protect_method protect_ntga = {
    .name = "ntga",
    .summary = "against an infinitely wide network's generalisation; at most 8/255 a value",
    .eps = 8,
    .quantise = TRAIN_ROUND,
    .params = PARAM_TABLE(params, struct ntga_param),
    .prepare = prepare,
    .shape = protect_sample_shape,
    .row = row,
    .describe = describe,
    .done = done,
};
