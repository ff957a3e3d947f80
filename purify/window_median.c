/*
 * A sliding histogram (Huang et al. 1979): from one pixel to the next a column leaves the window
 * and another enters; the median moves by a few values.
 */
#include "window_median.h"

struct sliding {
    int count[256];
    int median, below; /* values below it */
    int half;          /* as many are below or at most equal */
};

static void put(struct sliding *s, int v, int n)
{
    s->count[v] += n;
    s->below += v < s->median ? n : 0;
}

static void put_column(struct sliding *s, const struct window *w, int x, int c, int n)
{
    for (int d = 0; d <= 2 * w->margin; d++)
        put(s, (int)w->row[d][x * w->channels + c], n);
}

static void settle(struct sliding *s)
{
    while (s->below > s->half)
        s->below -= s->count[--s->median];
    while (s->below + s->count[s->median] <= s->half)
        s->below += s->count[s->median++];
}

void window_median(const struct window *w, int c, uint8_t *out)
{
    int side = 2 * w->margin + 1;
    struct sliding s = {.half = side * side / 2};
    for (int x = -w->margin; x < w->margin; x++)
        put_column(&s, w, x, c, 1);
    for (int x = 0; x < w->width; x++) {
        put_column(&s, w, x + w->margin, c, 1);
        settle(&s);
        out[x] = (uint8_t)s.median;
        put_column(&s, w, x - w->margin, c, -1);
    }
}
