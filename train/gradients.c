#include "gradients.h"

#include <math.h>

status train_check_gradients(struct nn_params *p, double loss, float clip, int threads,
                             long long step, struct errmsg *e)
{
    const char *what = isfinite(loss) ? "the gradient's norm" : "the loss";
    if (isfinite(loss) && isfinite(nn_clip_grad_norm(p, clip > 0 ? clip : INFINITY, threads)))
        return STATUS_OK;
    return errmsg_set(
        e, STATUS_CORRUPT,
        "%s is not a number any more at step %lld: training diverged, or its input or "
        "weights hold no numbers (try a lower --lr)",
        what, step);
}
