/*
 * CUDA, convolution-based unlearnable data (Sadasivan et al., CVPR 2023). Each class has one small
 * kernel, shared by the channels: entries of U(0, blur), and 1 at one position drawn at random. An
 * image becomes its correlation with its class's kernel, of the same size, zero beyond the border,
 * divided by the largest value it then has. So it is no bounded perturbation: the change follows
 * the image. Here values are grey levels throughout: 255 is the largest that an image then has.
 */
#include "protect/protect.h"

#include "correlate.h"
#include "stream.h"

struct cuda_param {
    double blur;
    int side;
};
static const struct param params[] = {
    {"blur", PARAM_DOUBLE, offsetof(struct cuda_param, blur), .lo = 0, .hi = 1, .standard = "0.3",
     .about = "the largest of the kernel's other entries"},
    {"side", PARAM_INT, offsetof(struct cuda_param, side), .lo = 1, .hi = 31, .standard = "3",
     .unit = "pixels", .about = "of the kernel, odd"},
};

struct cuda {
    int side;
    float *kernel; /* (K,side,side) */
};

static status prepare(struct protect_job *j, struct errmsg *e)
{
    const struct cuda_param *param = j->param;
    struct cuda *m = j->state = mem_zalloc(1, sizeof *m);
    if (!m)
        return STATUS_NOMEM;
    if (param->side % 2 == 0)
        return errmsg_set(e, STATUS_INVALID, "--side must be odd, not %d", param->side);
    int n = param->side * param->side;
    m->side = param->side;
    m->kernel = mem_alloc((size_t)j->info.classes * (size_t)n * sizeof *m->kernel);
    if (!m->kernel)
        return STATUS_NOMEM;
    for (int k = 0; k < j->info.classes; k++) {
        struct nn_rng r = stream(j->opt->seed, STREAM_KERNEL, (uint64_t)k);
        float *kernel = m->kernel + (size_t)k * (size_t)n;
        correlate_draw(r, m->side, (float)param->blur, kernel);
    }
    return STATUS_OK;
}

static status pixels(const struct protect_job *j, int i, const uint8_t *in, float *out,
                     struct errmsg *e)
{
    const struct cuda *m = j->state;
    size_t area = (size_t)m->side * (size_t)m->side;
    const float *kernel = m->kernel + (size_t)train_set_label(j->set, i) * area;
    (void)e;
    correlate_bright(in, j->width[i], j->height[i], j->info.channels, kernel, m->side, out);
    return STATUS_OK;
}

static void describe(const struct protect_job *j, json_t *out)
{
    const struct cuda *m = j->state;
    json_t *kernels = json_array();
    for (int k = 0; k < j->info.classes; k++) {
        json_t *kernel = json_array();
        for (int i = 0; i < m->side * m->side; i++)
            json_array_append_new(
                kernel, json_real((double)m->kernel[(size_t)(k * m->side * m->side + i)]));
        json_array_append_new(kernels, kernel);
    }
    json_object_set_new(out, "kernels", kernels); /* in the order of the classes, row by row */
}

static void done(struct protect_job *j)
{
    struct cuda *m = j->state;
    if (!m)
        return;
    mem_free(m->kernel);
    mem_free(m);
}

const struct protect_method protect_cuda = {
    .name = "cuda",
    .summary = "class-wise convolution with a small random kernel; no bound on the change",
    .quantise = TRAIN_TRUNCATE,
    .any_size = true,
    .params = PARAM_TABLE(params, struct cuda_param),
    .prepare = prepare,
    .pixels = pixels,
    .describe = describe,
    .done = done,
};
