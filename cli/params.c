#include "params.h"

#include <string.h>

void cli_params_name(const char *key, const char *prefix, char out[64])
{
    snprintf(out, 64, "%s%s", prefix, key);
    for (char *c = out; *c; c++)
        if (*c == '_')
            *c = '-';
}

static struct cli_param *row_for(struct cli_params *p, const char *name, const char *key)
{
    for (int i = 0; i < p->n; i++)
        if (strcmp(p->row[i].name, name) == 0)
            return &p->row[i];
    CHECK(p->n < CLI_PARAMS_MAX);
    struct cli_param *r = &p->row[p->n++];
    snprintf(r->name, sizeof r->name, "%s", name);
    r->key = key;
    return r;
}

/* Help is a line for each meaning: "MEMBER, MEMBER: what it is there". */
static void add_meaning(struct cli_param *r, const char *member, const char *meaning)
{
    size_t used = strlen(r->help), n = strlen(meaning);
    for (char *line = r->help; *line;) {
        size_t len = strcspn(line, "\n");
        bool same = len > n + 2 && strncmp(line + len - n - 2, ": ", 2) == 0 &&
                    strncmp(line + len - n, meaning, n) == 0;
        if (same) {
            char *colon = line + len - n - 2;
            size_t more = strlen(member) + 2;
            CHECK(used + more < sizeof r->help);
            memmove(colon + more, colon, strlen(colon) + 1);
            memcpy(colon, ", ", 2);
            memcpy(colon + 2, member, more - 2);
            return;
        }
        line += len + (line[len] == '\n');
    }
    int added = snprintf(r->help + used, sizeof r->help - used, "%s%s: %s", used ? "\n" : "",
                         member, meaning);
    CHECK(added > 0 && (size_t)added < sizeof r->help - used);
}

void cli_params_add(struct cli_params *p, const char *member, const struct param_table *t,
                    const char *prefix)
{
    for (int i = 0; i < t->n; i++) {
        char name[64];
        AUTO(buf_done) struct buf help = BUF_INIT(1024);
        cli_params_name(t->row[i].key, prefix, name);
        struct cli_param *r = row_for(p, name, t->row[i].key);
        if (param_help(&t->row[i], &help) == STATUS_OK)
            add_meaning(r, member, help.data);
    }
}

size_t cli_options_join(const struct cli_option *own, size_t n, struct cli_params *p,
                        struct cli_option *all, size_t max)
{
    CHECK(n + (size_t)p->n <= max);
    memcpy(all, own, n * sizeof *own);
    for (int i = 0; i < p->n; i++)
        all[n + (size_t)i] = (struct cli_option){p->row[i].name,   0,   CLI_STRING,
                                                 &p->row[i].value, "X", p->row[i].help};
    return n + (size_t)p->n;
}

int cli_params_given_with(const struct cli_params *p, const char *prefix, struct param_arg *out,
                          int max)
{
    int n = 0;
    for (int i = 0; i < p->n && n < max; i++)
        if (p->row[i].value && strncmp(p->row[i].name, prefix, strlen(prefix)) == 0)
            out[n++] = (struct param_arg){p->row[i].key, p->row[i].value};
    return n;
}

int cli_params_given(const struct cli_params *p, struct param_arg *out)
{
    return cli_params_given_with(p, "", out, CLI_PARAMS_MAX);
}

static int has_not(const struct cli_spec *spec, const struct cli_param *given, const char *member,
                   const struct param_table *t, const char *prefix)
{
    AUTO(buf_done) struct buf list = BUF_INIT(1 << 16);
    status st = STATUS_OK;
    for (int i = 0; i < t->n && !st; i++) {
        char name[64];
        cli_params_name(t->row[i].key, prefix, name);
        st = buf_addf(&list, "%s--%s", i ? ", " : "", name);
    }
    return cli_usage_error(spec, "%s has no --%s; it has %s", member, given->name,
                           t->n && !st ? list.data : "no options of its own");
}

/* The row whose option was given; NULL: another member's. */
static const struct param *row_of(const struct cli_param *given, const struct param_table *t,
                                  const char *prefix)
{
    char name[64];
    cli_params_name(given->key, prefix, name);
    return strcmp(name, given->name) == 0 ? param_find(t, given->key) : NULL;
}

int cli_params_check(const struct cli_spec *spec, const struct cli_params *p, const char *member,
                     const struct param_table *t, const char *prefix)
{
    AUTO(mem_free) void *values = mem_alloc(t->size + 1);
    if (!values)
        return cli_fail(STATUS_NOMEM, &(struct errmsg){""});
    param_defaults(t, values);
    for (int i = 0; i < p->n; i++) {
        const struct cli_param *given = &p->row[i];
        const struct param *row = given->value ? row_of(given, t, prefix) : NULL;
        struct errmsg e = {""};
        if (given->value && !row)
            return has_not(spec, given, member, t, prefix);
        if (!row || param_set_row(row, values, given->value, &e) == STATUS_OK)
            continue;
        AUTO(buf_done) struct buf wanted = BUF_INIT(4096);
        if (row->kind == PARAM_TEXT || param_wanted(row, &wanted))
            return cli_usage_error(spec, "--%s: %s", given->name, e.text);
        return cli_usage_error(spec, "--%s must be %s, not '%s'", given->name, wanted.data,
                               given->value);
    }
    return CLI_GO;
}
