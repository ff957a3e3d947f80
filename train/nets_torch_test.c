/*
 * The larger networks of nets/ against plain PyTorch (tests/torch/nets.py says what is in a file):
 * logits in both modes, loss, gradients, running statistics. Skipped where PyTorch is not
 * installed.
 */
#include "nets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>
#include <unistd.h>

#define PYTHON "/usr/bin/python3"
/*
 * How far from PyTorch's doubles, of a tensor's L2 norm. Between f32 and double a ReLU here and
 * there is on the other side of 0, which a gradient shows and batch statistics of few pixels
 * enlarge: PyTorch's own f32 is 1e-2 from its doubles (fixed statistics), 6e-2 (the batch's). A
 * mistake is about 1.
 */
#define VALUES 5e-4
static const double gradients[2] = {.05, .25}; /* by mode */

static const char *const names[] = {"resnet50", "vgg16", "mobilenetv2", "densenet121", "vit"};

static const char *const modes[2] = {"eval", "train"};

struct side {
    const struct nn_file *file;
    int mode;
    struct nn_params *params;
    struct nn_graph *g;
    struct nn_plan *plan;
    struct nn_val logits, loss, dx;
    double value, gradient; /* the worst so far */
};

static void side_donep(struct side *s)
{
    nn_plan_free(s->plan);
    nn_graph_free(s->g);
    nn_params_free(s->params);
}
#define SIDE __attribute__((cleanup(side_donep))) struct side

static void feed(struct nn_plan *plan, const struct nn_file *f, const char *name)
{
    const struct nn_file_tensor *t = nn_file_find(f, name);
    memcpy(nn_plan_data_named(plan, name), t->data, t->bytes);
}

static void side_run(struct side *s, const char *name, const char *device)
{
    struct errmsg e = {""};
    struct nn_shape xs = nn_file_find(s->file, "in.x")->shape;
    struct train_net_shape shape = {xs.dim[2], xs.dim[1], xs.dim[3],
                                    nn_file_find(s->file, "eval.logits")->shape.dim[1]};
    assert_int_equal(nn_params_new(&s->params), STATUS_OK);
    assert_int_equal(nn_graph_new(s->params, &s->g), STATUS_OK);
    struct nn_val x = nn_input(s->g, "in.x", NN_F32, xs), stage[TRAIN_STAGES_MAX];
    struct nn_val labels = nn_input(s->g, "in.labels", NN_I32, nn_shape1(xs.dim[0]));
    s->logits = train_net_find(name)->build(s->g, shape, x, s->mode, stage);
    s->loss = nn_softmax_xent(s->g, s->logits, labels);
    nn_output(s->g, s->logits, "logits");
    nn_output(s->g, s->loss, "loss");
    nn_param_gradients(s->g, nn_mean(s->g, s->loss), &x, 1, &s->dx);
    nn_output(s->g, s->dx, "dx");
    const struct nn_plan_options opt = {.threads = 2, .device = device};
    if (nn_plan_new(s->g, &opt, &s->plan, &e) || nn_params_load(s->params, s->file, "param.", &e) ||
        nn_plan_refresh(s->plan))
        fail_msg("%s: %s", name, e.text);
    feed(s->plan, s->file, "in.x");
    feed(s->plan, s->file, "in.labels");
    assert_int_equal(nn_plan_run(s->plan), STATUS_OK);
}

/* floor: of the norm; where a gradient is 0 by nature, rounding is all there is. */
static void compare(struct side *s, const char *kind, const char *name, const float *got,
                    double floor, bool gradient)
{
    char full[NN_NAME_MAX + 32];
    snprintf(full, sizeof full, "%s.%s%s", modes[s->mode], kind, name);
    const struct nn_file_tensor *t = nn_file_find(s->file, full);
    if (!t)
        fail_msg("%s is not in the file", full);
    size_t n = (size_t)nn_shape_count(t->shape);
    AUTO(mem_free) float *want = mem_alloc(n * sizeof *want);
    assert_non_null(want);
    assert_int_equal(nn_file_read_f32(t, want, n), STATUS_OK);
    double norm = 0, error = 0;
    for (size_t i = 0; i < n; i++) {
        norm += (double)want[i] * want[i];
        error += ((double)want[i] - got[i]) * ((double)want[i] - got[i]);
    }
    double off = sqrt(error) / fmax(sqrt(norm), floor);
    double *worst = gradient ? &s->gradient : &s->value;
    *worst = fmax(*worst, off);
    if (!(off <= (gradient ? gradients[s->mode] : VALUES)))
        fail_msg("%s is off by %g of its norm, %g", full, off, sqrt(norm));
}

static double norm_of(const struct nn_param_entry *e)
{
    double sum = 0;
    for (int64_t i = 0; i < nn_shape_count(e->shape); i++)
        sum += (double)e->grad[i] * e->grad[i];
    return sqrt(sum);
}

static void compare_entries(struct side *s)
{
    double top = 0;
    for (int i = 0; i < nn_params_count(s->params); i++)
        if (nn_params_at(s->params, i)->trainable)
            top = fmax(top, norm_of(nn_params_at(s->params, i)));
    for (int i = 0; i < nn_params_count(s->params); i++) {
        const struct nn_param_entry *e = nn_params_at(s->params, i);
        if (e->trainable)
            compare(s, "grad.", e->name, e->grad, 1e-2 * top, true);
        else
            compare(s, "after.", e->name, e->value, 1e-3, false);
    }
}

/* Training mode on the default device only: the op tests compare devices. */
static void check(const struct nn_file *f, const char *name, const char *device)
{
    int n = device == nn_devices()[0] ? 2 : 1;
    for (int mode = 0; mode < n; mode++) {
        SIDE s = {.file = f, .mode = mode};
        side_run(&s, name, device);
        compare(&s, "", "logits", nn_plan_data(s.plan, s.logits), 0, false);
        compare(&s, "", "loss", nn_plan_data(s.plan, s.loss), 0, false);
        compare(&s, "", "grad_x", nn_plan_data(s.plan, s.dx), 0, true);
        compare_entries(&s);
        print_message("# %s on %s, %s: values %.1e off, gradients %.1e\n", name, device,
                      modes[mode], s.value, s.gradient);
    }
}

static void as_pytorch(void **state)
{
    const char *name = *state;
    char path[] = "/tmp/train-nets-XXXXXX", command[256];
    AUTO(nn_file_close) struct nn_file *f = NULL;
    struct errmsg e = {""};
    if (system(PYTHON " -c 'import torch' 2>/dev/null") != 0) {
        print_message("PyTorch is not installed for " PYTHON "\n");
        skip();
    }
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    snprintf(command, sizeof command, PYTHON " -B tests/torch/nets.py %s %s", name, path);
    int rc = system(command);
    status st = rc == 0 ? nn_file_open(path, &f, &e) : STATUS_OK;
    unlink(path); /* it stays mapped */
    assert_int_equal(rc, 0);
    if (st)
        fail_msg("%s", e.text);
    for (const char *const *d = nn_devices(); *d; d++)
        if (strcmp(*d, "reference") != 0)
            check(f, name, *d);
}

int main(void)
{
    struct CMUnitTest tests[ARRAY_LEN(names)];
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        tests[i] =
            (struct CMUnitTest){names[i], as_pytorch, NULL, NULL, (void *)(uintptr_t)names[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
