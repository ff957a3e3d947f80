#ifndef CLI_CLI_H
#define CLI_CLI_H
/*
 * cli: the command `relearn`. One file per subcommand (cli/cmd_NAME.c), one row in the table of
 * cli/relearn_main.c. A command parses, calls the library that does the work, prints, and returns
 * its exit status: that of status.h. Results go to stdout, messages and progress to stderr.
 *
 *     int cmd_eval(int argc, char **argv)          // argv[0] is "eval"
 *     {
 *         const char *data = NULL; int json = 0;
 *         const struct cli_option options[] = {
 *             {"data", 'd', CLI_STRING, &data, "DIR", "ImageFolder tree to evaluate on"},
 *             {"json", 0, CLI_FLAG, &json, NULL, "print a JSON object"},
 *         };
 *         const struct cli_spec spec = {
 *             "relearn eval", "--data DIR --weights FILE", "What it does.",
 *             options, ARRAY_LEN(options), 0, 0};
 *         int first, rc = cli_parse(&spec, argc, argv, &first);
 *         if (rc != CLI_GO) return rc;
 *         ...
 *         return st ? cli_fail(st, &e) : 0;
 *     }
 *
 * Values keep what they were set to before the call when the option is absent: that is the default.
 */
#include "base/base.h"

#include <jansson.h>
#include <stdint.h>

enum cli_kind {
    CLI_FLAG,   /* int: set to 1; --no-NAME sets it to 0 */
    CLI_INT,    /* int */
    CLI_U64,    /* uint64_t */
    CLI_SIZE,   /* uint64_t bytes: 10M, 2G, 512K; powers of 1024 */
    CLI_DOUBLE, /* double */
    CLI_STRING, /* const char *, into argv */
    CLI_LIST,   /* struct cli_list: may be given more than once */
    CLI_CHOICE, /* struct cli_choice: one of some names */
};

enum { CLI_LIST_MAX = 64 };
struct cli_list {
    const char *item[CLI_LIST_MAX];
    int n;
};
/* A table of names, as enums have them, and the position of the one chosen. */
struct cli_choice {
    const char *const *names;
    int n, chosen;
};

struct cli_option {
    const char *name; /* long name without dashes */
    char letter;      /* short name or 0 */
    enum cli_kind kind;
    void *value;
    const char *arg; /* what the argument is called in --help; NULL for flags */
    const char *help;
};

/* Rows that several commands have. */
#define CLI_ROW_JSON(flag)                                                                         \
    {                                                                                              \
        "json", 0, CLI_FLAG, &(flag), NULL, "print a JSON object"                                  \
    }
#define CLI_ROW_QUIET(flag)                                                                        \
    {                                                                                              \
        "quiet", 'q', CLI_FLAG, &(flag), NULL, "no progress"                                       \
    }
#define CLI_ROW_PROFILE(name)                                                                      \
    {                                                                                              \
        "profile", 'p', CLI_STRING, &(name), "P", "what is done to an image (default: default)"    \
    }
#define CLI_ROW_CACHE(dir)                                                                         \
    {                                                                                              \
        "cache", 'c', CLI_STRING, &(dir), "DIR", "where purified pixels are kept"                  \
    }
#define CLI_ROW_THREADS(n)                                                                         \
    {                                                                                              \
        "threads", 'j', CLI_INT, &(n), "N", "of the purifier (default: one per CPU)"               \
    }

struct cli_spec {
    const char *command; /* "relearn eval" */
    const char *usage;   /* what follows it on the usage line */
    const char *about;   /* a sentence or a few lines */
    const struct cli_option *option;
    size_t n_options;
    int min_args, max_args; /* positional arguments; max < 0: any number */
};

/* Returned by cli_parse when the command should go on; any other value is an exit status. */
#define CLI_GO (-1)
/* *out_first: index of the first positional argument (positionals are moved to the end). --help
   prints and gives 0; a mistake prints the sentence and the usage line and gives 2. */
int cli_parse(const struct cli_spec *spec, int argc, char **argv, int *out_first);
/* Prints "relearn: <what e says>" and gives the exit status of st. */
int cli_fail(status st, const struct errmsg *e);
/* A mistake in how the command was called: prints it with a hint to --help, gives 2. */
int cli_usage_error(const struct cli_spec *spec, const char *fmt, ...) PRINTF_LIKE(2, 3);

/*
 * The rule for what every command writes: nothing that exists is overwritten without --force. Call
 * it before any work is done; it creates nothing. A file must not exist, and its directory must be
 * writable (so that hours of work are not lost); a directory must not exist, or be empty. A
 * directory in the place of a file, or a file in that of a directory, is refused even with force.
 */
enum cli_output { CLI_OUTPUT_FILE, CLI_OUTPUT_DIR };
status cli_output_check(const char *path, enum cli_output kind, int force,
                        struct errmsg *e) MUST_USE;

typedef int cli_run_fn(int argc, char **argv);
struct cli_command {
    const char *name;
    cli_run_fn *run;
    const char *help; /* one line */
};
/* Runs the row named argv[1] with argc-1, argv+1; prints the list for --help or when it is missing.
 */
int cli_dispatch(const char *command, const char *about, const struct cli_command *table, size_t n,
                 int argc, char **argv);

/* What --help says of it in the commands that have it. */
#define CLI_PRECISION_ABOUT                                                                        \
    "With --precision bf16 activations and what convolutions and attention multiply are 16-bit\n"  \
    "numbers, where the CPU has AVX512-BF16 or AMX; weights, their gradients, optimiser state,\n"  \
    "batch statistics and losses stay f32."

/* Prints it to standard output and releases it. */
void cli_print_json(json_t *json);
/* null for what is not finite, which JSON cannot say. */
json_t *cli_json_real(double v);
/* Appends {"path":name,"why":why}. A name that is not UTF-8 has U+FFFD where it is not, and its
   bytes in "path_hex". why "": left out. */
status cli_json_name(json_t *array, const char *name, const char *why) MUST_USE;

cli_run_fn cmd_mount, cmd_umount, cmd_status, cmd_warm, cmd_purify, cmd_scan, cmd_cache,
    cmd_profile, cmd_profile_new, cmd_profile_rm, cmd_model, cmd_model_import, cmd_diffusion,
    cmd_restore, cmd_deconvolve, cmd_train, cmd_eval, cmd_protect, cmd_unpack, cmd_report,
    cmd_bench, cmd_audit;

#endif
