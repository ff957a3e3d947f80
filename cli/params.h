#ifndef CLI_PARAMS_H
#define CLI_PARAMS_H
/*
 * Options of a command that come from tables of parameters (base/param.h): one for each key of each
 * member (protection, recipe, …). Which member is meant is known only when everything is parsed;
 * the library that has the member reads the values.
 *
 *     struct cli_params params = {0};
 *     for (each member) cli_params_add(&params, member name, member table, "");
 *     cli_options_join(own options, n, &params, all, ARRAY_LEN(all))
 *     … cli_parse …
 *     rc = cli_params_check(&spec, &params, member, its table, "");
 *     n = cli_params_given(&params, args);
 */
#include "cli.h"

enum { CLI_PARAMS_MAX = 96 };
struct cli_params {
    int n;
    struct cli_param {
        char name[64]; /* the option's */
        const char *key;
        const char *value; /* NULL: not given */
        char help[1024];
    } row[CLI_PARAMS_MAX];
};
/* PREFIXKEY with '-' for '_': the option's name without its dashes. */
void cli_params_name(const char *key, const char *prefix, char out[64]);
/* Adds --PREFIXKEY for each row, '_' as '-'. Members that share a key share the option: its help
   has a line for each meaning, which names those that it has it for. */
void cli_params_add(struct cli_params *p, const char *member, const struct param_table *t,
                    const char *prefix);
/* Writes own options, then those of p, to all[max]; returns how many. */
size_t cli_options_join(const struct cli_option *own, size_t n, struct cli_params *p,
                        struct cli_option *all, size_t max);
/* Whether every option that was given is one of the chosen member's, which were added with prefix,
   and whether it can take each value. CLI_GO, or what cli_usage_error gives, having said what the
   member has or wants. */
int cli_params_check(const struct cli_spec *spec, const struct cli_params *p, const char *member,
                     const struct param_table *t, const char *prefix);
/* Writes what was given to out[CLI_PARAMS_MAX]; returns how many. */
int cli_params_given(const struct cli_params *p, struct param_arg *out);
/* The same for options whose names begin with prefix, at most `max` of them. */
int cli_params_given_with(const struct cli_params *p, const char *prefix, struct param_arg *out,
                          int max);

#endif
