#ifndef CLI_CMD_RESTORE_H
#define CLI_CMD_RESTORE_H
/* The subcommands of `relearn restore` that have a file of their own. */
#include "cli.h"

int cmd_restore_train(int argc, char **argv);

#endif
