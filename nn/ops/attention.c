/* Scaled dot-product self-attention, Vaswani et al. 2017 eq. 1, over the L = H*W positions of each
   sample; q k v (N,H,W,C), head h owns channels h*D .. h*D+D-1 with D = C/heads. */
#include "ops/op.h"

#include <math.h>
#include <string.h>

struct nn_val nn_attention(struct nn_graph *g, struct nn_val q, struct nn_val k, struct nn_val v,
                           int heads)
{
    struct nn_val in[] = {q, k, v};
    if (!nn_usable(g, "attention", in, 3))
        return NN_NONE;
    struct nn_shape s = nn_val_shape(g, q);
    char tq[NN_SHAPE_TEXT], tk[NN_SHAPE_TEXT], tv[NN_SHAPE_TEXT];
    if (s.rank != 4 || heads < 1 || s.dim[3] % heads || !nn_shape_equal(s, nn_val_shape(g, k)) ||
        !nn_shape_equal(s, nn_val_shape(g, v)) || (int64_t)s.dim[1] * s.dim[2] > 1 << 16)
        return nn_fail(g, STATUS_INVALID, "attention: q %s, k %s, v %s with %d heads do not fit",
                       nn_shape_text(s, tq), nn_shape_text(nn_val_shape(g, k), tk),
                       nn_shape_text(nn_val_shape(g, v), tv), heads);
    return nn_emit1(g, NN_OP_ATTENTION, in, 3, (struct nn_attr){.groups = heads}, s);
}

static void attention_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    struct nn_graph *g = nn_grad_graph(gr);
    struct nn_node back = {.op = NN_OP_ATTENTION_BACK, .n_in = 4, .attr = node->attr};
    back.in[0] = nn_grad_of(gr, node->out[0]).id;
    struct nn_shape out[3] = {0};
    for (int i = 0; i < 3; i++) {
        back.in[1 + i] = node->in[i];
        if (nn_grad_wanted(gr, node->in[i]))
            out[i] = g->values[node->in[i]].shape;
    }
    nn_emit(g, &back, out, 3);
    for (int i = 0; i < 3; i++)
        nn_grad_add(gr, node->in[i], (struct nn_val){back.out[i]});
}

struct head {
    int l, c, d;   /* positions, channels of a position, channels of a head */
    int64_t start; /* offset of the head's first channel at position 0 */
    float scale;
};

static struct head head_of(struct nn_shape s, int heads, int n, int h)
{
    struct head a = {.l = s.dim[1] * s.dim[2], .c = s.dim[3], .d = s.dim[3] / heads};
    a.start = (int64_t)n * a.l * a.c + (int64_t)h * a.d;
    a.scale = 1 / sqrtf((float)a.d);
    return a;
}

static double dot(const float *a, const float *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

/* Row i of softmax(scale q k'): p[0..l-1]. */
static void probabilities(const struct head *a, const float *q, const float *k, int i, float *p)
{
    double max = -INFINITY, sum = 0;
    for (int j = 0; j < a->l; j++) {
        p[j] = (float)(a->scale * dot(q + (int64_t)i * a->c, k + (int64_t)j * a->c, a->d));
        max = fmax(max, p[j]);
    }
    for (int j = 0; j < a->l; j++)
        sum += exp(p[j] - max);
    for (int j = 0; j < a->l; j++)
        p[j] = (float)(exp(p[j] - max) / sum);
}

static status attention_prepare(struct nn_step *s, struct errmsg *e)
{
    (void)e;
    struct nn_shape q = s->in[0].shape;
    s->scratch_bytes = 2 * (size_t)q.dim[1] * (size_t)q.dim[2] * sizeof(float);
    return STATUS_OK;
}

static status attention_run(const struct nn_step *s)
{
    struct nn_shape qs = s->in[0].shape;
    float *p = s->scratch;
    for (int n = 0; n < qs.dim[0]; n++)
        for (int h = 0; h < s->attr.groups; h++) {
            struct head a = head_of(qs, s->attr.groups, n, h);
            const float *q = nn_f32(&s->in[0]) + a.start, *k = nn_f32(&s->in[1]) + a.start;
            const float *v = nn_f32(&s->in[2]) + a.start;
            float *y = nn_f32(&s->out[0]) + a.start;
            for (int i = 0; i < a.l; i++) {
                probabilities(&a, q, k, i, p);
                for (int d = 0; d < a.d; d++) {
                    double sum = 0;
                    for (int j = 0; j < a.l; j++)
                        sum += (double)p[j] * v[(int64_t)j * a.c + d];
                    y[(int64_t)i * a.c + d] = (float)sum;
                }
            }
        }
    return STATUS_OK;
}

/* out[0..n-1] += f * x[0..n-1]; nothing for an output that is not wanted. */
static void add_scaled(float *out, double f, const float *x, int n)
{
    for (int i = 0; out && i < n; i++)
        out[i] += (float)(f * x[i]);
}

static float *head_out(const struct nn_step *s, int i, int64_t at)
{
    return s->out[i].data ? nn_f32(&s->out[i]) + at : NULL;
}

/* Row i: with g = dy v', dp = p (g - sum p g):  dq = scale dp k, dk += scale dp q, dv += p dy. */
static void row_back(const struct nn_step *s, const struct head *a, int i)
{
    int64_t at = a->start + (int64_t)i * a->c;
    const float *dy = nn_f32(&s->in[0]) + at, *q = nn_f32(&s->in[1]);
    const float *k = nn_f32(&s->in[2]), *v = nn_f32(&s->in[3]);
    float *p = s->scratch, *g = p + a->l;
    probabilities(a, q + a->start, k + a->start, i, p);
    double mean = 0;
    for (int j = 0; j < a->l; j++) {
        g[j] = (float)dot(dy, v + a->start + (int64_t)j * a->c, a->d);
        mean += (double)p[j] * g[j];
    }
    for (int j = 0; j < a->l; j++) {
        int64_t to = a->start + (int64_t)j * a->c;
        double dp = p[j] * (g[j] - mean) * a->scale;
        add_scaled(head_out(s, 0, at), dp, k + to, a->d);
        add_scaled(head_out(s, 1, to), dp, q + at, a->d);
        add_scaled(head_out(s, 2, to), p[j], dy, a->d);
    }
}

static status attention_back_run(const struct nn_step *s)
{
    struct nn_shape qs = s->in[0].shape;
    for (int i = 0; i < 3; i++)
        if (s->out[i].data)
            memset(s->out[i].data, 0, (size_t)nn_shape_count(qs) * sizeof(float));
    for (int n = 0; n < qs.dim[0]; n++)
        for (int h = 0; h < s->attr.groups; h++) {
            struct head a = head_of(qs, s->attr.groups, n, h);
            for (int i = 0; i < a.l; i++)
                row_back(s, &a, i);
        }
    return STATUS_OK;
}

static double attention_flops(const struct nn_step *s)
{
    struct nn_shape q = s->in[0].shape;
    double l = (double)q.dim[1] * q.dim[2];
    return (s->op == NN_OP_ATTENTION ? 4.0 : 10.0) * q.dim[0] * q.dim[3] * l * l;
}

const struct nn_op_impl nn_op_attention = {
    .op = NN_OP_ATTENTION,
    .name = "attention",
    .gradient = attention_gradient,
    .products = 1u << 0 | 1u << 1 | 1u << 2,
    .flops = attention_flops,
    .reference = {.op = NN_OP_ATTENTION,
                  .name = "reference.attention",
                  .prepare = attention_prepare,
                  .run = attention_run},
};
const struct nn_op_impl nn_op_attention_back = {
    .op = NN_OP_ATTENTION_BACK,
    .name = "attention_back",
    .products = 1u << 0 | 1u << 1 | 1u << 2 | 1u << 3,
    .flops = attention_flops,
    .reference = {.op = NN_OP_ATTENTION_BACK,
                  .name = "reference.attention_back",
                  .prepare = attention_prepare,
                  .run = attention_back_run},
};
