/*
 * Two vectors' width of outputs stay in registers: a panel of two vectors, or two panels of one; of
 * the shortest vectors, a panel of four.
 * Forward, as many rows as there are registers for stay while the inner dimension passes, a block
 * of it at a time, so that u's block stays in the first cache for all rows; the first of them fetch
 * the next block, as u comes from memory and each of its lines is used by few rows. Backward, some of
 * the inner dimension stays while the rows pass.
 */
#include "kernels/panels.h"
#include "kernels/lanes.h"

enum {
    LANES = NN_PANEL,
    PER_PANEL = NN_PANEL / NN_LANES, /* vectors */
    VECTORS = PER_PANEL > 2 ? PER_PANEL : 2,
    GROUP = VECTORS / PER_PANEL,    /* panels that are computed together */
    ROWS = NN_LANES == 16 ? 12 : 6, /* 24 of 32 registers, 12 of 16 */
    DEPTH = NN_LANES == 16 ? 8 : 4, /* backward */
    DEPTH_BLOCK = 128 /* of the inner dimension: 8 KiB of u a panel, and as much that is fetched */
};
_Static_assert(NN_PANEL_ROWS % ROWS == 0 && NN_PANEL_GROUP % GROUP == 0, "blocks have no tail");

/* One panel or GROUP of them; u and m of the next panel are so many floats further. */
struct product {
    const float *v, *u;
    float *m;
    int64_t v_panel, u_panel, m_panel;
    int inner;
    bool add;
    const float *next; /* u's next block */
};

/* Where vector j of them begins, counted from a panel's first float. */
#define AT(j, panel) ((j) / PER_PANEL * (panel) + (j) % PER_PANEL * NN_LANES)

/* rows and vectors are constants where this is used. */
static inline __attribute__((always_inline)) void multiply_rows(int rows, int vectors, bool fetch,
                                                                const struct product *p)
{
    nn_lanes sum[ROWS][VECTORS] = {{{0}}};
    const float *v = p->v, *u = p->u;
    float *m = p->m;
    int64_t u_panel = p->u_panel, m_panel = p->m_panel, v_panel = p->v_panel;
    if (p->add)
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++)
                sum[r][j] = nn_lanes_load(m + r * LANES + AT(j, m_panel));
    for (int i = 0; i < p->inner; i += LANES, v += v_panel)
        for (int k = 0; k < LANES; k++, u += LANES) {
            nn_lanes w[VECTORS];
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++)
                w[j] = nn_lanes_load(u + AT(j, u_panel));
            if (fetch)
#pragma GCC unroll 4
                for (int j = 0; j < vectors; j += PER_PANEL)
                    __builtin_prefetch(p->next + (u - p->u) + AT(j, u_panel));
#pragma GCC unroll 12
            for (int r = 0; r < rows; r++) {
                nn_lanes f = nn_lanes_all(v[r * LANES + k]);
#pragma GCC unroll 4
                for (int j = 0; j < vectors; j++)
                    sum[r][j] = nn_lanes_fma(f, w[j], sum[r][j]);
            }
        }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            nn_lanes_store(m + r * LANES + AT(j, m_panel), sum[r][j]);
}

/* The remaining rows, by halves, so that there are few copies of the loop above. */
static inline __attribute__((always_inline)) void multiply_tail(int rows, int vectors, bool fetch,
                                                                struct product *p)
{
    static const int sizes[] = {8, 4, 2, 1};
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        if (sizes[i] > ROWS || !(rows & sizes[i]))
            continue;
        multiply_rows(sizes[i], vectors, fetch, p);
        fetch = false;
        p->v += sizes[i] * LANES, p->m += sizes[i] * LANES;
    }
}

static inline __attribute__((always_inline)) void multiply_block(int vectors, struct product p,
                                                                 int rows)
{
    bool fetch = true;
    if (rows >= ROWS) { /* apart from the loop: one copy of the code fetches, one does not */
        multiply_rows(ROWS, vectors, true, &p);
        rows -= ROWS, p.v += ROWS * LANES, p.m += ROWS * LANES, fetch = false;
    }
    for (; rows >= ROWS; rows -= ROWS, p.v += ROWS * LANES, p.m += ROWS * LANES)
        multiply_rows(ROWS, vectors, false, &p);
    if (fetch)
        multiply_tail(rows, vectors, true, &p);
    else
        multiply_tail(rows, vectors, false, &p);
}

void nn_panel_multiply(const float *v, const float *u, float *m, int rows, int inner, int panels)
{
    struct product p = {.v_panel = (int64_t)rows * LANES,
                        .m_panel = (int64_t)rows * LANES,
                        .u_panel = (int64_t)inner * LANES};
    for (int at = 0; at < panels; at += GROUP) {
        int i = 0;
        do { /* once for an empty inner dimension, too: m becomes 0 */
            p.inner = inner - i < DEPTH_BLOCK ? inner - i : DEPTH_BLOCK;
            p.add = i > 0;
            p.v = v + i / LANES * p.v_panel;
            p.u = u + at * p.u_panel + (int64_t)i * LANES;
            p.m = m + at * p.m_panel;
            p.next = i + p.inner < inner ? p.u + p.inner * LANES : u + (at + GROUP) * p.u_panel;
            if (panels - at >= GROUP)
                multiply_block(VECTORS, p, rows);
            else
                multiply_block(PER_PANEL, p, rows);
            i += p.inner;
        } while (i < inner);
    }
}

/* ---- backward ---- */

static inline __attribute__((always_inline)) void
put_sums(int vectors, nn_lanes sum[DEPTH][VECTORS], float *u, int64_t u_panel, bool add)
{
#pragma GCC unroll 8
    for (int r = 0; r < DEPTH; r++)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) {
            float *to = u + r * LANES + AT(j, u_panel);
            nn_lanes_store(to, add ? nn_lanes_load(to) + sum[r][j] : sum[r][j]);
        }
}

static inline __attribute__((always_inline)) void correlate_rows(int vectors, const float *v,
                                                                 const float *z, float *u, int rows,
                                                                 int64_t u_panel, bool add)
{
    nn_lanes sum[DEPTH][VECTORS] = {{{0}}};
    int64_t z_panel = (int64_t)rows * LANES;
    for (int t = 0; t < rows; t++, v += LANES, z += LANES) {
        nn_lanes w[VECTORS];
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            w[j] = nn_lanes_load(z + AT(j, z_panel));
#pragma GCC unroll 8
        for (int r = 0; r < DEPTH; r++) {
            nn_lanes f = nn_lanes_all(v[r]);
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++)
                sum[r][j] = nn_lanes_fma(f, w[j], sum[r][j]);
        }
    }
    put_sums(vectors, sum, u, u_panel, add);
}

void nn_panel_correlate(const float *v, const float *z, float *u, int rows, int inner, int panels,
                        bool add)
{
    int64_t u_panel = (int64_t)inner * LANES, z_panel = (int64_t)rows * LANES;
    for (int at = 0; at < panels; at += GROUP, z += GROUP * z_panel, u += GROUP * u_panel)
        for (int i = 0; i < inner; i += DEPTH) {
            const float *from = v + i / LANES * (int64_t)rows * LANES + i % LANES;
            if (panels - at >= GROUP)
                correlate_rows(VECTORS, from, z, u + (int64_t)i * LANES, rows, u_panel, add);
            else
                correlate_rows(PER_PANEL, from, z, u + (int64_t)i * LANES, rows, u_panel, add);
        }
}

/* ---- backward, bf16 ---- */

#if defined(__AVX512BF16__)
static inline __attribute__((always_inline)) void
correlate_vnni_rows(int vectors, const uint16_t *v, const uint16_t *z, float *u, int pairs,
                    int64_t u_panel, bool add)
{
    enum { VNNI_LANES = 2 * LANES };
    nn_lanes sum[DEPTH][GROUP] = {{{0}}};
    int64_t z_panel = (int64_t)pairs * VNNI_LANES;
    for (int t = 0; t < pairs; t++, v += VNNI_LANES, z += VNNI_LANES) {
        __m512i w[GROUP];
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            w[j] = _mm512_loadu_si512(z + j * z_panel);
#pragma GCC unroll 8
        for (int r = 0; r < DEPTH; r++) {
            int pair;
            memcpy(&pair, v + 2 * r, sizeof pair);
            __m512i f = _mm512_set1_epi32(pair);
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++)
                sum[r][j] =
                    (nn_lanes)_mm512_dpbf16_ps((__m512)sum[r][j], (__m512bh)f, (__m512bh)w[j]);
        }
    }
    put_sums(vectors, sum, u, u_panel, add);
}

void nn_panel_correlate_vnni(const uint16_t *v, const uint16_t *z, float *u, int pairs, int inner,
                             int panels, bool add)
{
    int64_t u_panel = (int64_t)inner * LANES, panel = 2 * (int64_t)pairs * LANES;
    for (int at = 0; at < panels; at += GROUP, z += GROUP * panel, u += GROUP * u_panel)
        for (int i = 0; i < inner; i += DEPTH) {
            const uint16_t *from = v + i / LANES * panel + 2 * (i % LANES);
            float *to = u + (int64_t)i * LANES;
            if (panels - at >= GROUP)
                correlate_vnni_rows(GROUP, from, z, to, pairs, u_panel, add);
            else
                correlate_vnni_rows(1, from, z, to, pairs, u_panel, add);
        }
}
#endif
