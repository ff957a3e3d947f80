#ifndef CLI_CERTIFY_PRINT_H
#define CLI_CERTIFY_PRINT_H
/* certify_print: what relearn eval --certify found, for people and for programs. */
#include "train/train.h"

void certify_print(const struct train_certify_options *o, const struct train_certify_result *r);
void certify_print_json(const struct train_certify_options *o,
                        const struct train_certify_result *r);

#endif
