#ifndef CLI_RUN_CMD_H
#define CLI_RUN_CMD_H
/* For tests: commands run in this process, in a scratch directory that is also where configuration
   and shipped files are looked for. Include after <cmocka.h>. */
#include "cli.h"

#include <string.h>

enum { RUN_OUT_MAX = 1 << 16 };
static char run_dir[64];

__attribute__((unused)) static int run_set_up(void)
{
    snprintf(run_dir, sizeof run_dir, "/tmp/cli-XXXXXX");
    if (!mkdtemp(run_dir))
        return -1;
    return setenv("XDG_CONFIG_HOME", run_dir, 1) || setenv("RELEARN_DATA_DIR", run_dir, 1);
}

__attribute__((unused)) static int run_tear_down(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", run_dir);
    return system(command);
}

/* Runs a command line of blank-separated words; its standard output is in out. */
__attribute__((unused)) static int run_cmd(cli_run_fn *fn, const char *line, char out[RUN_OUT_MAX])
{
    char words[1024], path[128], *argv[24], *save = NULL;
    int argc = 0;
    snprintf(words, sizeof words, "%s", line);
    for (char *w = strtok_r(words, " ", &save); w && argc < 23; w = strtok_r(NULL, " ", &save))
        argv[argc++] = w;
    argv[argc] = NULL;
    snprintf(path, sizeof path, "%s/stdout", run_dir);
    fflush(stdout);
    int kept = dup(1);
    assert_non_null(freopen(path, "w", stdout));
    int rc = fn(argc, argv);
    fflush(stdout);
    dup2(kept, 1);
    close(kept);
    clearerr(stdout);
    AUTO(mem_free) void *data = NULL;
    size_t len = 0;
    assert_int_equal(io_read_file(path, RUN_OUT_MAX - 1, &data, &len, NULL), STATUS_OK);
    memcpy(out, data, len + 1);
    return rc;
}

struct run_bad {
    const char *line;
    int rc; /* that it must end with */
};

__attribute__((unused)) static void run_refuses(cli_run_fn *fn, const struct run_bad *bad, size_t n)
{
    char out[RUN_OUT_MAX];
    for (size_t i = 0; i < n; i++) {
        int rc = run_cmd(fn, bad[i].line, out);
        if (rc != bad[i].rc)
            fail_msg("%s: exit %d, not %d", bad[i].line, rc, bad[i].rc);
    }
}

__attribute__((unused)) static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in:\n%s", part, text);
}

#endif
