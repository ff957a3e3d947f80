#include "weights.h"

#include "profile.h"

status weights_read(const char *value, struct nn_file **out, struct digest *out_digest,
                    struct errmsg *e)
{
    AUTO(mem_free) char *path = NULL;
    AUTO(nn_file_close) struct nn_file *f = NULL;
    status st = profile_weights_path(value, &path);
    if (!st)
        st = nn_file_open(path, &f, e);
    if (!st)
        st = nn_file_digest(f, out_digest);
    if (!st)
        *out = TAKE(f);
    return st;
}

status weights_open(const char *value, const struct digest *expected, struct nn_file **out,
                    struct errmsg *e)
{
    AUTO(nn_file_close) struct nn_file *f = NULL;
    struct digest digest;
    status st = weights_read(value, &f, &digest, e);
    if (!st && !digest_equal(&digest, expected))
        st = errmsg_set(e, STATUS_CORRUPT, "%s changed after the profile was read", value);
    if (!st)
        *out = TAKE(f);
    return st;
}
