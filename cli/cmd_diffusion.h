#ifndef CLI_CMD_DIFFUSION_H
#define CLI_CMD_DIFFUSION_H
/* The subcommands of `relearn diffusion` that have a file of their own. */
#include "cli.h"

int cmd_diffusion_train(int argc, char **argv);
int cmd_diffusion_finetune(int argc, char **argv);

#endif
