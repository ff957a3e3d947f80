#ifndef CLI_SHIPPED_H
#define CLI_SHIPPED_H
/* shipped: files that came with the program, which a name alone means. */
#include "base/base.h"

/* A file as it is given; or, of a name without a slash that is no file here, the one that came with the
   program as FOLDER/NAME.SUFFIX, if there is one ("models", "safetensors"). A new string for mem_free.
   NOMEM. */
status shipped_file(const char *name, const char *folder, const char *suffix, char **out,
                    struct errmsg *e) MUST_USE;

#endif
