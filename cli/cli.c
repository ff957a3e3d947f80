#include "cli.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/banned.h"

enum { OPTIONS_MAX = 160, HELP_CODE = 1000, NO_CODE = 2000, LONG_CODE = 3000 };

int cli_fail(status st, const struct errmsg *e)
{
    fprintf(stderr, "relearn: %s\n", TEXT_SHOWN(errmsg_text(e, st)));
    return status_exit(st);
}

static int usage_line(const struct cli_spec *spec, FILE *to)
{
    fprintf(to, "usage: %s %s\n", spec->command, spec->usage);
    return 2;
}

int cli_usage_error(const struct cli_spec *spec, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fprintf(stderr, "relearn: %s\n", TEXT_SHOWN(text));
    usage_line(spec, stderr);
    fprintf(stderr, "(%s --help lists the options)\n", spec->command);
    return 2;
}

/* Columns, not bytes: an ellipsis is three bytes and one column. */
static void print_row(const char *left, const char *help)
{
    int columns = 0;
    for (const char *c = left; *c; c++)
        columns += ((unsigned char)*c & 0xc0) != 0x80;
    printf("  %s%*s", left, columns < 30 ? 30 - columns : 0, "");
    for (const char *line = help;; line++) {
        size_t len = strcspn(line, "\n");
        printf(" %.*s\n", (int)len, line);
        line += len;
        if (!*line)
            return;
        printf("%*s", 32, "");
    }
}

static void print_help(const struct cli_spec *spec)
{
    usage_line(spec, stdout);
    printf("\n%s\n", spec->about);
    if (spec->n_options)
        printf("\n");
    for (size_t i = 0; i < spec->n_options; i++) {
        const struct cli_option *o = &spec->option[i];
        char left[80];
        char letter[8] = "    ";
        if (o->letter)
            snprintf(letter, sizeof letter, "-%c, ", o->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, o->name, o->arg ? " " : "",
                 o->arg ? o->arg : "");
        print_row(left, o->help);
    }
    print_row("    --help", "this text");
}

/* "a, b or c" */
static const char *list_names(const struct cli_choice *c, char *out, size_t size)
{
    size_t len = 0;
    out[0] = 0;
    for (int i = 0; i < c->n && len < size; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s",
                                i == 0         ? ""
                                : i + 1 < c->n ? ", "
                                               : " or ",
                                c->names[i]);
    return out;
}

static const char *parse_choice(struct cli_choice *c, const char *text, char *wrong, size_t size)
{
    for (int i = 0; i < c->n; i++)
        if (strcmp(c->names[i], text) == 0) {
            c->chosen = i;
            return NULL;
        }
    return list_names(c, wrong, size);
}

/* Sets the option's value. NULL, or what the text should have been (which may be written to
   `wrong`). */
static const char *parse_value(const struct cli_option *o, const char *text, char *wrong,
                               size_t size)
{
    char *end = NULL;
    errno = 0;
    switch (o->kind) {
    case CLI_FLAG:
        return NULL;
    case CLI_INT: {
        long v = strtol(text, &end, 10);
        if (end == text || *end || errno || v < INT32_MIN || v > INT32_MAX)
            return "a whole number";
        *(int *)o->value = (int)v;
        return NULL;
    }
    case CLI_U64:
    case CLI_SIZE: {
        uint64_t v = strtoull(text, &end, 10);
        int shift = 0;
        if (o->kind == CLI_SIZE && *end) {
            const char *units = "KMGT", *u = strchr(units, *end & ~0x20);
            if (!u || (end[1] && strcmp(end + 1, "iB") != 0 && strcmp(end + 1, "B") != 0))
                return "a size such as 512M or 20G";
            shift = 10 * (int)(u - units + 1);
            end += strlen(end);
        }
        if (end == text || *end || errno || *text == '-' || (shift && v > UINT64_MAX >> shift))
            return o->kind == CLI_SIZE ? "a size such as 512M or 20G"
                                       : "a whole number of 0 or more";
        *(uint64_t *)o->value = v << shift;
        return NULL;
    }
    case CLI_DOUBLE: {
        double v = strtod(text, &end);
        if (end == text || *end || errno || !isfinite(v))
            return "a number";
        *(double *)o->value = v;
        return NULL;
    }
    case CLI_STRING:
        *(const char **)o->value = text;
        return NULL;
    case CLI_LIST: {
        struct cli_list *list = o->value;
        if (list->n == CLI_LIST_MAX)
            return "given at most 64 times";
        list->item[list->n++] = text;
        return NULL;
    }
    case CLI_CHOICE:
        return parse_choice(o->value, text, wrong, size);
    }
    return "understood";
}

/* Long options for getopt: each option, --no-NAME for flags, --help. */
struct parser {
    struct option longs[2 * OPTIONS_MAX + 2];
    char shorts[2 * OPTIONS_MAX + 2];
    char no_name[OPTIONS_MAX][48];
};

static void parser_fill(struct parser *ps, const struct cli_spec *spec)
{
    size_t n = 0, s = 0;
    ps->shorts[s++] = ':';
    for (size_t i = 0; i < spec->n_options; i++) {
        const struct cli_option *o = &spec->option[i];
        int has_arg = o->kind == CLI_FLAG ? no_argument : required_argument;
        ps->longs[n++] = (struct option){o->name, has_arg, NULL, LONG_CODE + (int)i};
        if (o->kind == CLI_FLAG) {
            snprintf(ps->no_name[i], sizeof ps->no_name[i], "no-%s", o->name);
            ps->longs[n++] = (struct option){ps->no_name[i], no_argument, NULL, NO_CODE + (int)i};
        }
        if (o->letter) {
            ps->shorts[s++] = o->letter;
            if (has_arg)
                ps->shorts[s++] = ':';
        }
    }
    ps->longs[n++] = (struct option){"help", no_argument, NULL, HELP_CODE};
    ps->longs[n] = (struct option){NULL, 0, NULL, 0};
    ps->shorts[s] = 0;
}

static const struct cli_option *find_letter(const struct cli_spec *spec, int letter)
{
    for (size_t i = 0; i < spec->n_options; i++)
        if (spec->option[i].letter && spec->option[i].letter == letter)
            return &spec->option[i];
    return NULL;
}

int cli_parse(const struct cli_spec *spec, int argc, char **argv, int *out_first)
{
    CHECK(spec->n_options <= OPTIONS_MAX);
    struct parser ps;
    parser_fill(&ps, spec);
    optind = 0;
    opterr = 0;
    int code;
    while ((code = getopt_long(argc, argv, ps.shorts, ps.longs, NULL)) != -1) {
        if (code == HELP_CODE) {
            print_help(spec);
            return 0;
        }
        if (code == '?' || code == ':') {
            const char *word = optind > 0 && optind <= argc ? argv[optind - 1] : "";
            return cli_usage_error(spec, code == ':' ? "%s needs an argument" : "unknown option %s",
                                   word);
        }
        if (code >= NO_CODE && code < LONG_CODE) {
            *(int *)spec->option[code - NO_CODE].value = 0;
            continue;
        }
        const struct cli_option *o =
            code >= LONG_CODE ? &spec->option[code - LONG_CODE] : find_letter(spec, code);
        CHECK(o);
        if (o->kind == CLI_FLAG) {
            *(int *)o->value = 1;
            continue;
        }
        char buf[128];
        const char *wrong = parse_value(o, optarg, buf, sizeof buf);
        if (wrong)
            return cli_usage_error(spec, "--%s must be %s, not '%s'", o->name, wrong, optarg);
    }
    int n = argc - optind;
    if (n < spec->min_args)
        return cli_usage_error(spec, "too few arguments");
    if (spec->max_args >= 0 && n > spec->max_args)
        return cli_usage_error(spec, "unexpected argument '%s'", argv[optind + spec->max_args]);
    *out_first = optind;
    return CLI_GO;
}
