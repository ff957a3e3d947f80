#ifndef PURIFY_NAMES_H
#define PURIFY_NAMES_H
/* Spelling of the enums in profiles and in the metadata of weights files; NULL ends them. */
#include "purify/purify.h"

extern const char *const purify_beta_names[PURIFY_BETA_COUNT + 1];
extern const char *const purify_variance_names[PURIFY_VARIANCE_COUNT + 1];
extern const char *const purify_guidance_names[PURIFY_GUIDE_COUNT + 1];

/* Index of text in names; -1 when it is none of them. */
int purify_name_find(const char *const *names, int n, const char *text);

#endif
