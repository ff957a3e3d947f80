/*
 * Two small networks against PyTorch: loss, every gradient, running statistics, and the losses of
 * the first steps of an optimiser. tests/torch/parity.py says what is in the files and made those
 * in tests/golden; where PyTorch is installed it also makes larger ones here.
 */
#include "nn/nn.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define TOLERANCE 3e-5 /* of the largest number in a tensor */
#define PYTHON "/usr/bin/python3"

struct model {
    const struct nn_file *file;
    struct nn_params *params;
    struct nn_graph *g;
    struct nn_val x, dx, loss;
    int groups;
};

/* ---- the networks, layer names as in parity.py ---- */

static struct nn_val param(struct model *m, const char *layer, const char *kind)
{
    char name[NN_NAME_MAX], in_file[NN_NAME_MAX + 8];
    snprintf(name, sizeof name, "%s.%s", layer, kind);
    snprintf(in_file, sizeof in_file, "param.%s", name);
    const struct nn_file_tensor *t = nn_file_find(m->file, in_file);
    if (!t)
        return NN_NONE; /* no bias, say; what is missing by mistake fails in the op that wants it */
    if (!strncmp(kind, "running", 7))
        return nn_buffer(m->g, name, t->shape, NN_INIT_ZERO);
    return nn_param(m->g, name, t->shape, NN_INIT_ZERO);
}

static const char *join(char *out, size_t size, const char *layer, const char *part)
{
    snprintf(out, size, "%s.%s", layer, part);
    return out;
}
#define PART(layer, part) join((char[NN_NAME_MAX]){0}, NN_NAME_MAX, layer, part)

static struct nn_val conv(struct model *m, struct nn_val x, const char *layer, struct nn_conv attr)
{
    return nn_conv2d(m->g, x, param(m, layer, "weight"), param(m, layer, "bias"), attr);
}

static struct nn_val linear(struct model *m, struct nn_val x, const char *layer)
{
    return nn_linear(m->g, x, param(m, layer, "weight"), param(m, layer, "bias"));
}

static struct nn_val norm(struct model *m, struct nn_val x, const char *layer)
{
    return nn_group_norm(m->g, x, param(m, layer, "weight"), param(m, layer, "bias"), m->groups,
                         1e-6f);
}

static struct nn_val silu(struct model *m, struct nn_val x)
{
    return nn_act(m->g, x, NN_SILU);
}

static struct nn_val block(struct model *m, struct nn_val x, struct nn_val temb, const char *layer)
{
    struct nn_conv same = nn_conv_same(3, 1);
    struct nn_val h =
        conv(m, silu(m, norm(m, x, PART(layer, "norm1"))), PART(layer, "conv1"), same);
    h = nn_add_nc(m->g, h, linear(m, silu(m, temb), PART(layer, "temb")));
    h = conv(m, silu(m, norm(m, h, PART(layer, "norm2"))), PART(layer, "conv2"), same);
    if (param(m, PART(layer, "skip"), "weight").id)
        x = conv(m, x, PART(layer, "skip"), nn_conv_same(1, 1));
    return nn_add(m->g, x, h);
}

static struct nn_val attention(struct model *m, struct nn_val x, const char *layer, int heads)
{
    struct nn_conv one = nn_conv_same(1, 1);
    struct nn_val h = norm(m, x, PART(layer, "norm"));
    struct nn_val q = conv(m, h, PART(layer, "q"), one), k = conv(m, h, PART(layer, "k"), one);
    struct nn_val v = conv(m, h, PART(layer, "v"), one);
    h = nn_attention(m->g, q, k, v, heads);
    return nn_add(m->g, x, conv(m, h, PART(layer, "out"), one));
}

static struct nn_val input(struct model *m, const char *name, enum nn_dtype type)
{
    const struct nn_file_tensor *t = nn_file_find(m->file, name);
    assert_non_null(t);
    return nn_input(m->g, name, type, t->shape);
}

static struct nn_val unet(struct model *m)
{
    struct nn_conv same = nn_conv_same(3, 1),
                   shrink = {.stride = 2, .pad_bottom = 1, .pad_right = 1};
    struct nn_val t = input(m, "in.t", NN_F32), target = input(m, "in.target", NN_F32);
    int c = (int)strtol(nn_file_meta(m->file, "channels"), NULL, 10);
    struct nn_val temb = silu(m, linear(m, nn_timestep_embedding(m->g, t, c, 1), "temb0"));
    temb = linear(m, temb, "temb1");
    struct nn_val h0 = conv(m, m->x, "conv_in", same);
    struct nn_val h1 = block(m, h0, temb, "down0");
    struct nn_val h2 = conv(m, h1, "shrink", shrink);
    struct nn_val h3 = attention(m, block(m, h2, temb, "down1"), "down1_attn", 1);
    struct nn_val h = attention(m, block(m, h3, temb, "mid0"), "mid_attn", 2);
    h = block(m, nn_concat(m->g, h, h3), temb, "up1a");
    h = block(m, nn_concat(m->g, h, h2), temb, "up1b");
    h = conv(m, nn_upsample2(m->g, h), "grow", same);
    h = block(m, nn_concat(m->g, h, h1), temb, "up0a");
    h = block(m, nn_concat(m->g, h, h0), temb, "up0b");
    h = conv(m, silu(m, norm(m, h, "norm_out")), "conv_out", same);
    return nn_mse(m->g, h, target);
}

static struct nn_val batch_norm(struct model *m, struct nn_val x, const char *layer)
{
    return nn_batch_norm(m->g, x, param(m, layer, "weight"), param(m, layer, "bias"),
                         param(m, layer, "running_mean"), param(m, layer, "running_var"), 0.1f,
                         1e-5f, true);
}

static struct nn_val basic(struct model *m, struct nn_val x, const char *layer, int stride)
{
    struct nn_val h = conv(m, x, PART(layer, "conv1"), nn_conv_same(3, stride));
    h = nn_act(m->g, batch_norm(m, h, PART(layer, "bn1")), NN_RELU);
    h = batch_norm(m, conv(m, h, PART(layer, "conv2"), nn_conv_same(3, 1)), PART(layer, "bn2"));
    if (param(m, PART(layer, "skip"), "weight").id)
        x = batch_norm(m, conv(m, x, PART(layer, "skip"), nn_conv_same(1, stride)),
                       PART(layer, "skip_bn"));
    return nn_act(m->g, nn_add(m->g, h, x), NN_RELU);
}

static struct nn_val resnet(struct model *m)
{
    struct nn_val labels = input(m, "in.labels", NN_I32);
    struct nn_val h = batch_norm(m, conv(m, m->x, "conv", nn_conv_same(3, 1)), "bn");
    h = nn_max_pool(m->g, nn_act(m->g, h, NN_RELU),
                    (struct nn_pool){.kernel = 3, .stride = 2, .pad = 1});
    h = basic(m, basic(m, h, "block0", 1), "block1", 2);
    return nn_softmax_xent(m->g, linear(m, nn_global_avg_pool(m->g, h), "fc"), labels);
}

/* ---- comparing ---- */

static void model_donep(struct model *m)
{
    nn_graph_free(m->g);
    nn_params_free(m->params);
}
#define MODEL __attribute__((cleanup(model_donep))) struct model

static struct model new_model(const struct nn_file *f, struct nn_val (*network)(struct model *))
{
    struct model m = {.file = f};
    struct errmsg e = {""};
    const char *groups = nn_file_meta(f, "groups");
    m.groups = groups ? (int)strtol(groups, NULL, 10) : 0;
    assert_int_equal(nn_params_new(&m.params), STATUS_OK);
    assert_int_equal(nn_graph_new(m.params, &m.g), STATUS_OK);
    m.x = input(&m, "in.x", NN_F32);
    m.loss = network(&m);
    nn_output(m.g, m.loss, "loss");
    nn_param_gradients(m.g, nn_mean(m.g, m.loss), &m.x, 1, &m.dx);
    nn_output(m.g, m.dx, "dx");
    if (nn_graph_status(m.g, &e) || nn_params_load(m.params, f, "param.", &e))
        fail_msg("%s", e.text);
    return m;
}

static float *read_tensor(const struct nn_file *f, const char *name, size_t count)
{
    const struct nn_file_tensor *t = nn_file_find(f, name);
    float *v = mem_alloc(count * sizeof *v);
    if (!v || !t || nn_file_read_f32(t, v, count))
        fail_msg("%s is not in the file as %zu floats", name, count);
    return v;
}

static double largest(const float *v, size_t n)
{
    double top = 0;
    for (size_t i = 0; i < n; i++)
        top = fmax(top, fabs((double)v[i]));
    return top;
}

struct judge {
    const struct nn_file *file;
    const char *where; /* device and threads */
    double floor;      /* of a scale: a key's bias has gradient 0, and rounding is all there is */
    double worst;
    char worst_name[NN_NAME_MAX];
};

static void compare(struct judge *j, const char *name, const float *got, size_t n)
{
    AUTO(mem_free) float *want = read_tensor(j->file, name, n);
    double scale = fmax(largest(want, n), j->floor), far = 0;
    for (size_t i = 0; i < n; i++)
        far = fmax(far, fabs((double)got[i] - want[i]));
    if (far / scale > j->worst) {
        j->worst = far / scale;
        snprintf(j->worst_name, sizeof j->worst_name, "%s", name);
    }
    if (!(far <= TOLERANCE * scale))
        fail_msg("%s: %s is off by %g of %g", j->where, name, far, scale);
}

static void compare_entries(struct judge *j, struct nn_params *p)
{
    char name[NN_NAME_MAX + 8];
    for (int i = 0; i < nn_params_count(p); i++) {
        const struct nn_param_entry *e = nn_params_at(p, i);
        if (e->trainable)
            j->floor = fmax(j->floor, 1e-3 * largest(e->grad, (size_t)nn_shape_count(e->shape)));
    }
    for (int i = 0; i < nn_params_count(p); i++) {
        const struct nn_param_entry *e = nn_params_at(p, i);
        snprintf(name, sizeof name, "%s.%s", e->trainable ? "grad" : "after", e->name);
        compare(j, name, e->trainable ? e->grad : e->value, (size_t)nn_shape_count(e->shape));
    }
}

static void feed(struct nn_plan *plan, const struct nn_file *f)
{
    for (int i = 0; i < nn_file_count(f); i++) {
        const struct nn_file_tensor *t = nn_file_at(f, i);
        if (!strncmp(t->name, "in.", 3))
            memcpy(nn_plan_data_named(plan, t->name), t->data, t->bytes);
    }
}

static struct nn_optim_options optim_options(const char *name)
{
    if (!strcmp(name, "adam"))
        return (struct nn_optim_options){.kind = NN_ADAM};
    if (!strcmp(name, "adamw"))
        return (struct nn_optim_options){.kind = NN_ADAMW, .weight_decay = 0.5f};
    return (struct nn_optim_options){
        .kind = NN_SGD, .momentum = 0.9f, .nesterov = true, .weight_decay = 5e-4f};
}

/* The mean loss before each step of the optimiser. */
static void compare_steps(struct judge *j, struct model *m, struct nn_plan *plan)
{
    AUTO(nn_optim_free) struct nn_optim *optim = NULL;
    struct nn_optim_options opt = optim_options(nn_file_meta(m->file, "optimiser"));
    float lr = strtof(nn_file_meta(m->file, "lr"), NULL), steps[16];
    int n = nn_file_find(m->file, "steps")->shape.dim[0];
    int samples = nn_val_shape(m->g, m->loss).dim[0];
    assert_in_range(n, 1, ARRAY_LEN(steps));
    assert_int_equal(nn_optim_new(m->params, &opt, &optim), STATUS_OK);
    for (int i = 0; i < n; i++) {
        assert_int_equal(nn_plan_run(plan), STATUS_OK);
        const float *loss = nn_plan_data(plan, m->loss);
        steps[i] = 0;
        for (int k = 0; k < samples; k++)
            steps[i] += loss[k] / (float)samples;
        nn_optim_step(optim, lr);
        assert_int_equal(nn_plan_refresh(plan), STATUS_OK);
    }
    compare(j, "steps", steps, (size_t)n);
}

static size_t count(const struct model *m, struct nn_val v)
{
    return (size_t)nn_shape_count(nn_val_shape(m->g, v));
}

static void check_on(const struct nn_file *f, struct nn_val (*network)(struct model *),
                     const struct nn_plan_options *opt)
{
    AUTO(nn_plan_free) struct nn_plan *plan = NULL;
    MODEL m = new_model(f, network);
    struct errmsg e = {""};
    char where[64];
    snprintf(where, sizeof where, "%s, %d threads%s", opt->device, opt->threads,
             opt->no_fusion ? ", no fusion" : "");
    struct judge j = {.file = f, .where = where};
    if (nn_plan_new(m.g, opt, &plan, &e))
        fail_msg("%s: %s", where, e.text);
    feed(plan, f);
    assert_int_equal(nn_plan_run(plan), STATUS_OK);
    compare(&j, "loss", nn_plan_data(plan, m.loss), count(&m, m.loss));
    compare(&j, "grad_x", nn_plan_data(plan, m.dx), count(&m, m.dx));
    compare_entries(&j, m.params);
    assert_int_equal(nn_params_load(m.params, f, "param.", &e), STATUS_OK);
    assert_int_equal(nn_plan_refresh(plan), STATUS_OK);
    compare_steps(&j, &m, plan);
    print_message("# %s: at most %.1e off (%s)\n", where, j.worst, j.worst_name);
}

static void check_file(const char *dir, const char *name, bool slow_ones)
{
    char path[128];
    AUTO(nn_file_close) struct nn_file *f = NULL;
    struct errmsg e = {""};
    snprintf(path, sizeof path, "%s/%s.safetensors", dir, name);
    if (nn_file_open(path, &f, &e))
        fail_msg("%s", e.text);
    struct nn_val (*network)(struct model *) = strcmp(name, "unet") ? resnet : unet;
    for (const char *const *d = nn_devices(); *d; d++)
        for (int variant = 0; variant < 3; variant++) {
            struct nn_plan_options opt = {
                .device = *d, .threads = variant == 1 ? 2 : 1, .no_fusion = variant == 2};
            if (strcmp(*d, "reference") != 0 || (slow_ones && variant == 0))
                check_on(f, network, &opt);
        }
}

static void golden(void **state)
{
    check_file("tests/golden", *state, true);
}

/* ---- with PyTorch at hand ---- */

static char dir[] = "/tmp/nn-parity-XXXXXX";
static bool fresh;

static int make_fresh(void **state)
{
    (void)state;
    char command[256];
    if (!mkdtemp(dir))
        return -1;
    if (system(PYTHON " -c 'import torch' 2>/dev/null") != 0)
        return 0;
    snprintf(command, sizeof command,
             PYTHON " -B tests/torch/parity.py %s --channels 16 --size 16 --batch 3 --seed 2", dir);
    fresh = system(command) == 0;
    return fresh ? 0 : -1;
}

static int remove_fresh(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static void larger(void **state)
{
    if (!fresh) {
        print_message("PyTorch is not installed for " PYTHON "\n");
        skip();
    }
    check_file(dir, *state, false);
}

int main(void)
{
    char unet_name[] = "unet", resnet_name[] = "resnet", adamw_name[] = "adamw";
    const struct CMUnitTest tests[] = {
        {"golden unet", golden, NULL, NULL, unet_name},
        {"golden resnet", golden, NULL, NULL, resnet_name},
        {"larger unet", larger, NULL, NULL, unet_name},
        {"larger resnet", larger, NULL, NULL, resnet_name},
        {"larger resnet, AdamW", larger, NULL, NULL, adamw_name},
    };
    return cmocka_run_group_tests(tests, make_fresh, remove_fresh);
}
