#include "cmd_restore.h"

int cmd_restore(int argc, char **argv)
{
    static const struct cli_command commands[] = {
        {"train", cmd_restore_train, "train a restorer, or go on training one on pairs"},
    };
    return cli_dispatch("relearn restore",
                        "Restorers: networks that predict what a protection added to an image.",
                        commands, ARRAY_LEN(commands), argc, argv);
}
