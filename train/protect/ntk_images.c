#include "protect/ntk_images.h"

#include <string.h>

/* One plan for both ways: the products of images, and, by the sum of these with weights, what weights
   of products are as gradients of images. */
static status build(struct ntk_images *m, struct errmsg *e)
{
    const struct ntk_images_options *o = &m->is;
    int all = o->n + o->held;
    const struct nn_plan_options po = {.threads = o->threads};
    status st = nn_params_new(&m->params);
    if (!st)
        st = nn_graph_new(m->params, &m->graph);
    if (st)
        return st;
    struct nn_graph *g = m->graph;
    struct nn_val x = nn_input(g, "learned", NN_F32, nn_shape2(o->n, o->values)), grad = NN_NONE;
    struct nn_val y = nn_input(g, "image", NN_F32, nn_shape2(all, o->values));
    struct nn_val w = nn_input(g, "weight", NN_F32, nn_shape2(o->n, all));
    struct nn_val product = nn_linear(g, x, y, NN_NONE);
    nn_output(g, product, "product");
    nn_gradients(g, nn_sum(g, nn_mul(g, product, w)), &x, 1, &grad);
    nn_output(g, grad, "grad");
    st = nn_plan_new(g, &po, &m->plan, e);
    if (st)
        return st;
    m->learned = nn_plan_data(m->plan, x);
    m->image = nn_plan_data(m->plan, y);
    m->weight = nn_plan_data(m->plan, w);
    m->product = nn_plan_data(m->plan, product);
    m->grad = nn_plan_data(m->plan, grad);
    return STATUS_OK;
}

status ntk_images_new(const struct ntk_images_options *o, struct ntk_images **out, struct errmsg *e)
{
    AUTO(ntk_images_free) struct ntk_images *m = mem_zalloc(1, sizeof *m);
    if (!m)
        return STATUS_NOMEM;
    m->is = *o;
    size_t n = (size_t)o->n, all = n + (size_t)o->held, layers = (size_t)o->kernel.layers;
    m->label = mem_zalloc(all, sizeof *m->label);
    m->theta = mem_alloc(n * all * sizeof *m->theta);
    m->by_theta = mem_alloc(n * all * sizeof *m->by_theta);
    m->self = mem_alloc(all * layers * sizeof *m->self);
    m->by_self = mem_alloc(all * layers * sizeof *m->by_self);
    if (!m->label || !m->theta || !m->by_theta || !m->self || !m->by_self)
        return STATUS_NOMEM;
    status st = build(m, e);
    if (!st)
        *out = TAKE(m);
    return st;
}

void ntk_images_free(struct ntk_images *m)
{
    if (!m)
        return;
    nn_plan_free(m->plan);
    nn_graph_free(m->graph);
    nn_params_free(m->params);
    mem_free(m->label);
    mem_free(m->theta);
    mem_free(m->by_theta);
    mem_free(m->self);
    mem_free(m->by_self);
    mem_free(m);
}

static double mean_square(const float *x, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum / n;
}

static status make_kernel(struct ntk_images *m)
{
    const struct ntk_images_options *o = &m->is;
    size_t n = (size_t)o->n, all = n + (size_t)o->held, layers = (size_t)o->kernel.layers;
    memcpy(m->learned, m->image, n * (size_t)o->values * sizeof *m->image);
    status st = nn_plan_run(m->plan);
    for (size_t i = 0; i < all; i++)
        ntk_self(&o->kernel, mean_square(m->image + i * (size_t)o->values, o->values),
                 m->self + i * layers);
    for (size_t i = 0; i < n && !st; i++) {
        st = stop_requested() ? STATUS_CANCELLED : STATUS_OK;
        for (size_t j = 0; j < all; j++)
            m->theta[i * all + j] =
                ntk_pair(&o->kernel, (double)m->product[i * all + j] / o->values,
                         m->self + i * layers, m->self + j * layers);
    }
    return st;
}

/* From m->by_theta: weights of the mean products of two images, into m->weight. */
static status through_pairs(struct ntk_images *m)
{
    const struct ntk_images_options *o = &m->is;
    size_t n = (size_t)o->n, all = n + (size_t)o->held, layers = (size_t)o->kernel.layers;
    memset(m->by_self, 0, all * layers * sizeof *m->by_self);
    for (size_t i = 0; i < n; i++) {
        if (stop_requested())
            return STATUS_CANCELLED;
        for (size_t j = 0; j < all; j++)
            m->weight[i * all + j] = (float)ntk_pair_gradient(
                &o->kernel, (double)m->product[i * all + j] / o->values, m->self + i * layers,
                m->self + j * layers, m->by_theta[i * all + j], m->by_self + i * layers,
                m->by_self + j * layers);
    }
    return STATUS_OK;
}

/* The plan takes the images of the second dimension for constants. So the weight of (i,j) has that of
   (j,i), too, where both are learned from, and that of (i,i) is that of a square. */
static status differentiate(struct ntk_images *m)
{
    const struct ntk_images_options *o = &m->is;
    size_t n = (size_t)o->n, all = n + (size_t)o->held, layers = (size_t)o->kernel.layers;
    status st = through_pairs(m);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            float both = m->weight[i * all + j] + m->weight[j * all + i];
            m->weight[i * all + j] = m->weight[j * all + i] = both;
        }
        double square =
            ntk_self_gradient(&o->kernel, m->self + i * layers, m->by_self + i * layers);
        m->weight[i * all + i] = 2 * (m->weight[i * all + i] + (float)square);
    }
    for (size_t i = 0; i < n * all; i++)
        m->weight[i] /= (float)o->values;
    return st ? st : nn_plan_run(m->plan);
}

status ntk_images_loss(struct ntk_images *m, bool gradient, struct ntk_loss *out)
{
    const struct ntk_images_options *o = &m->is;
    struct ntk_loss loss;
    status st = make_kernel(m);
    const struct ntk_flow flow = {.n = o->n,
                                  .held = o->held,
                                  .classes = o->classes,
                                  .time = o->time,
                                  .ridge = o->ridge,
                                  .label = m->label,
                                  .theta = m->theta};
    if (!st)
        st = ntk_flow_loss(&flow, gradient ? m->by_theta : NULL, &loss);
    if (!st && gradient)
        st = differentiate(m);
    if (!st)
        *out = loss;
    return st;
}
