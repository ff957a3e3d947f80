#include "plan/plan.h"

#include <string.h>

const struct nn_device nn_device_reference = {.name = "reference"};

/* Best first: the default is the first. */
static const struct nn_device *const devices[] = {
#ifdef NN_ONEDNN /* the Makefile's, where it is built in */
    &nn_device_onednn,
#endif
    &nn_device_openblas, &nn_device_reference};

const char *const *nn_devices(void)
{
    static const char *const names[] = {
#ifdef NN_ONEDNN
        "onednn",
#endif
        "openblas", "reference", NULL};
    _Static_assert(ARRAY_LEN(names) == ARRAY_LEN(devices) + 1, "a name for every device");
    return names;
}

const struct nn_device *nn_device_find(const char *name)
{
    if (!name)
        return devices[0];
    for (size_t i = 0; i < ARRAY_LEN(devices); i++)
        if (!strcmp(devices[i]->name, name))
            return devices[i];
    return NULL;
}

bool nn_precision_supported(const char *device, enum nn_precision precision)
{
    const struct nn_device *d = nn_device_find(device);
    if (!d || (precision != NN_PREC_F32 && precision != NN_PREC_BF16))
        return false;
    if (!device && d == &nn_device_openblas) /* left to us, the choice is for speed */
        return precision == NN_PREC_F32;
    return precision == NN_PREC_F32 || (d->precision && d->precision(precision));
}

static bool supported(const struct nn_kernel *k, const struct nn_step *s)
{
    return k->op == s->op && (k->supports ? k->supports(s) : nn_plain_step(s));
}

const struct nn_kernel *nn_kernel_pick(const struct nn_device *d, const struct nn_step *s,
                                       const struct nn_kernel *after, int *out_depth)
{
    int depth = 0;
    for (; d; d = d->next, depth++) {
        const struct nn_kernel *const *k;
        for (int i = 0; d->list && (k = d->list(i, s->precision)) != NULL; i++)
            for (; *k; k++) {
                if (after) {
                    if (*k == after)
                        after = NULL;
                } else if (supported(*k, s)) {
                    *out_depth = depth;
                    return *k;
                }
            }
    }
    const struct nn_kernel *k = &nn_op_row(s->op)->reference;
    *out_depth = depth;
    return k->run && k != after && supported(k, s) ? k : NULL;
}
