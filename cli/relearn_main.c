#include "cli.h"

#include <string.h>
#include <sys/prctl.h>

#include "base/banned.h"

static const struct cli_command commands[] = {
    {"mount", cmd_mount, "mount a purified view of an image directory"},
    {"umount", cmd_umount, "unmount it"},
    {"status", cmd_status, "what a mount is doing, and what could not be purified"},
    {"warm", cmd_warm, "purify ahead, in the order a job will read"},
    {"purify", cmd_purify, "purify files or trees without a mount"},
    {"scan", cmd_scan, "what would be purified, what not, and what it costs"},
    {"cache", cmd_cache, "look at and look after the cache of purified pixels"},
    {"profile", cmd_profile, "list, show and make purification profiles"},
    {"model", cmd_model, "show what a weights file holds"},
    {"diffusion", cmd_diffusion, "train, fine-tune and sample diffusion models"},
    {"restore", cmd_restore, "train restorers, which predict what a protection added"},
    {"deconvolve", cmd_deconvolve, "train filter estimators, which say how an image was filtered"},
    {"train", cmd_train, "train a classifier on an ImageFolder tree"},
    {"eval", cmd_eval, "evaluate a classifier"},
    {"protect", cmd_protect, "write an unlearnable version of a tree"},
    {"unpack", cmd_unpack, "turn IDX and CIFAR files into an ImageFolder tree"},
    {"audit", cmd_audit, "whether the images of a directory are protected"},
    {"bench", cmd_bench, "measure protections and countermeasures: a table of experiments"},
    {"report", cmd_report, "an HTML page about training runs"},
};

/*
 * OpenMP's threads spin at every barrier before they sleep: hundreds of thousands of turns by
 * default, which on a busy machine burns the very CPU the other threads wait for (measured: 12
 * images/s of training instead of 71). The runtime reads the number when it is loaded, so it is set
 * and the program started again. If the user has set either variable, nothing is changed.
 */
static void spin_less(char **argv)
{
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY"))
        return;
    if (setenv("GOMP_SPINCOUNT", "10000", 1) == 0)
        execv("/proc/self/exe", argv); /* on failure we go on as we are */
}

int main(int argc, char **argv)
{
    int rc = cpu_check("relearn");
    if (rc)
        return rc;
    spin_less(argv);
    (void)prctl(PR_SET_NAME, "relearn"); /* started again it would be called "exe" */
    log_init("relearn");
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("relearn " RELEARN_VERSION);
        return 0;
    }
    return cli_dispatch("relearn",
                        "Purifies image directories of protective perturbations, and measures it.",
                        commands, ARRAY_LEN(commands), argc, argv);
}
