#include "cover.h"

static int64_t round_up(int64_t n, int unit)
{
    return (n + unit - 1) / unit * unit;
}

/* The least length of `count` tiles: their inner regions make up the axis, and between two regions
   either tile goes on for the reach. */
static int64_t tile_of(const struct cover_axis *a, int64_t count)
{
    int64_t all = a->length + 2 * (int64_t)a->reach * (count - 1);
    return round_up((all + count - 1) / count, a->unit);
}

/* The least number of tiles that are no longer than `most`; 0: no number is enough. */
static int64_t count_of(const struct cover_axis *a, int64_t most)
{
    int64_t margins = 2 * (int64_t)a->reach, inner = most / a->unit * a->unit - margins;
    if (a->length <= most)
        return 1;
    return inner <= 0 ? 0 : (a->length - margins + inner - 1) / inner;
}

struct cover cover_of(int width, int height, int unit, int reach, int64_t area_max)
{
    struct cover c = {.x = {.unit = unit, .reach = reach}, .y = {.unit = unit, .reach = reach}};
    int64_t least = INT64_MAX;
    c.x.length = (int)round_up(width, unit);
    c.y.length = (int)round_up(height, unit);
    /* more columns than these cost more by their margins alone */
    for (int64_t columns = 1; columns * tile_of(&c.x, columns) * c.y.length < least; columns++) {
        int64_t w = tile_of(&c.x, columns), rows = count_of(&c.y, area_max / w);
        int64_t h = rows ? tile_of(&c.y, rows) : 0, area = columns * w * rows * h;
        if (rows && area < least) {
            least = area;
            c.x.count = (int)columns;
            c.x.tile = (int)w;
            c.y.count = (int)rows;
            c.y.tile = (int)h;
        }
    }
    return c;
}

/* Evenly spaced; the first and the last end where the axis ends. */
int cover_origin(const struct cover_axis *a, int i)
{
    int64_t steps = (a->length - a->tile) / a->unit;
    return a->count == 1 ? 0 : (int)(steps * i / (a->count - 1)) * a->unit;
}

int cover_first(const struct cover_axis *a, int i)
{
    return i == 0 ? 0 : cover_origin(a, i) + a->reach;
}

int cover_end(const struct cover_axis *a, int i)
{
    return i == a->count - 1 ? a->length : cover_first(a, i + 1);
}
