#include "arrays.h"

status array_batch_parse(struct array_batch *b, struct errmsg *e)
{
    if (array_is_idx(&b->data))
        return array_parse_idx(b, e);
    if (array_is_pickle(&b->data))
        return array_parse_pickle(b, e);
    return array_parse_cifar(b, e);
}

void array_batch_done(struct array_batch *b)
{
    buf_done(&b->data);
    mem_free(b->label);
    mem_free(b->coarse);
    *b = (struct array_batch){.label = NULL};
}

struct array_batch *array_add_batch(struct image_array *a)
{
    struct array_batch *more = mem_realloc(a->batch, (a->n_batches + 1) * sizeof *more);
    if (!more)
        return NULL;
    a->batch = more;
    more[a->n_batches] = (struct array_batch){.data = BUF_INIT(ARRAY_BYTES_MAX)};
    return &more[a->n_batches++];
}
