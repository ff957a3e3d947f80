#ifndef CLI_FAMILY_PRINT_H
#define CLI_FAMILY_PRINT_H
/* family_print: of which family relearn audit says a protection is, for people and for programs. It is a
   guess by looks, and neither the verdict rests on it nor anything that is said of removing it. */
#include "cli.h"
#include "train/train.h"

/* Nothing, and null, where the verdict is not "protected". */
void family_print(const struct train_audit_family *f);
json_t *family_json(const struct train_audit_family *f);

#endif
