#include "names.h"

#include <string.h>

const char *const purify_beta_names[PURIFY_BETA_COUNT + 1] = {
    [PURIFY_BETA_LINEAR] = "linear",
    [PURIFY_BETA_COSINE] = "cosine",
};
const char *const purify_variance_names[PURIFY_VARIANCE_COUNT + 1] = {
    [PURIFY_FIXED_LARGE] = "fixedlarge",
    [PURIFY_FIXED_SMALL] = "fixedsmall",
};
const char *const purify_guidance_names[PURIFY_GUIDE_COUNT + 1] = {
    [PURIFY_GUIDE_NONE] = "none",
    [PURIFY_GUIDE_JOINT] = "joint",
    [PURIFY_GUIDE_PHASED] = "phased",
};

int purify_name_find(const char *const *names, int n, const char *text)
{
    for (int i = 0; i < n; i++)
        if (strcmp(names[i], text) == 0)
            return i;
    return -1;
}

bool purify_beta_parse(const char *text, enum purify_beta *out)
{
    int i = purify_name_find(purify_beta_names, PURIFY_BETA_COUNT, text);
    if (i >= 0)
        *out = (enum purify_beta)i;
    return i >= 0;
}
