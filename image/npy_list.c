/* Arrays that numpy.save wrote: which of them are images, and in which order their axes are. */
#include "list.h"

#include <limits.h>
#include <string.h>

#include "base/banned.h"

/* Labels, of whatever type: nothing that could be shown as a picture. */
static bool is_line(const struct npy_header *h)
{
    int longer = 0;
    if (h->rank > NPY_RANK_MAX)
        return false;
    for (int i = 0; i < h->rank; i++)
        longer += h->dim[i] > 1;
    return longer <= 1;
}

static bool is_side(uint64_t dim)
{
    return dim >= IMAGE_LIST_SIDE_MIN && dim <= INT_MAX / 4;
}

static bool is_channels(uint64_t dim)
{
    return dim == 1 || dim == 3;
}

/* Which axis has the channels must be beyond doubt, since all of them would come out wrong. */
static status read_axes(const struct npy_header *h, struct image_list *out, struct errmsg *e)
{
    const uint64_t *d = h->dim;
    bool last = h->rank == 4 && is_side(d[1]) && is_side(d[2]) && is_channels(d[3]);
    bool planar = h->rank == 4 && is_channels(d[1]) && is_side(d[2]) && is_side(d[3]);
    if (!last && !planar)
        return errmsg_set(e, STATUS_UNSUPPORTED, "a NumPy array, but not (N,H,W,C) or (N,C,H,W)");
    out->planar = planar;
    out->count = d[0];
    out->channels = (int)(planar ? d[1] : d[3]);
    out->height = (int)(planar ? d[2] : d[1]);
    out->width = (int)(planar ? d[3] : d[2]);
    return STATUS_OK;
}

static status npy_probe(const uint8_t *head, size_t len, uint64_t file_size, struct image_list *out,
                        struct errmsg *e)
{
    struct npy_header h;
    if (!npy_is(head, len))
        return STATUS_NOT_FOUND;
    status st = npy_parse(head, len, &h, NULL);
    if (st)
        return errmsg_set(e, st, "a NumPy array whose header is not read");
    if (is_line(&h))
        return STATUS_OK;
    if (strcmp(h.type, "|u1") != 0)
        return errmsg_set(e, STATUS_UNSUPPORTED, "a NumPy array of %s, not of 8-bit numbers",
                          h.type[0] ? h.type : "records");
    if (h.fortran)
        return errmsg_set(e, STATUS_UNSUPPORTED, "a NumPy array in Fortran's order");
    st = read_axes(&h, out, e);
    if (st)
        return st;
    uint64_t total = npy_count(&h);
    if (total > file_size || h.data_at != file_size - total)
        return errmsg_set(e, STATUS_CORRUPT, "a NumPy array that is %s than its header says",
                          total > file_size || h.data_at > file_size - total ? "shorter"
                                                                             : "longer");
    out->first = h.data_at;
    out->bytes = (uint64_t)out->width * (uint64_t)out->height * (uint64_t)out->channels;
    out->step = out->bytes;
    return STATUS_OK;
}

const struct image_container image_npy_container = {
    .name = "npy",
    .probe = npy_probe,
};
