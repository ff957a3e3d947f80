#ifndef PURIFY_WHOLE_H
#define PURIFY_WHOLE_H
/* Purifiers that take an image at once, in one turn: their whole() fills out. */
#include "purifier.h"

extern const struct purifier_kind purifier_whole;

struct whole {
    const void *values, *plan;
    struct purifier_job job;
    struct engine_hooks hooks;
};
/* To be asked every few milliseconds where that is easy: CANCELLED, it is to stop. */
status whole_ask(const struct whole *w) MUST_USE;

#endif
