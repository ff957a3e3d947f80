#ifndef TRAIN_AUDIT_OUT_H
#define TRAIN_AUDIT_OUT_H
/* out: where trainings of an audit are kept, and what these have in common. Private to train. */
#include "train.h"

extern const char *const audit_arch; /* the network of a training that names none */
/* INVALID: out_dir lies in one of n folders, any of which may be NULL; what is audited is never
   written. */
status audit_check_out(const char *out_dir, const char *const *dir, size_t n,
                       struct errmsg *e) MUST_USE;

#endif
