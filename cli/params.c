#include "params.h"

#include <string.h>

static void option_name(const char *prefix, const char *key, char out[64])
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

void cli_params_add(struct cli_params *p, const char *member, const struct param_table *t,
                    const char *prefix)
{
    for (int i = 0; i < t->n; i++) {
        char name[64];
        AUTO(buf_done) struct buf help = BUF_INIT(1024);
        option_name(prefix, t->row[i].key, name);
        struct cli_param *r = row_for(p, name, t->row[i].key);
        size_t used = strlen(r->help);
        if (param_help(&t->row[i], &help) == STATUS_OK)
            snprintf(r->help + used, sizeof r->help - used, "%s%s: %s", used ? ". " : "", member,
                     help.data);
    }
}

size_t cli_options_join(const struct cli_option *own, size_t n, struct cli_params *p,
                        struct cli_option *all, size_t room)
{
    CHECK(n + (size_t)p->n <= room);
    memcpy(all, own, n * sizeof *own);
    for (int i = 0; i < p->n; i++)
        all[n + (size_t)i] = (struct cli_option){p->row[i].name,   0,   CLI_STRING,
                                                 &p->row[i].value, "X", p->row[i].help};
    return n + (size_t)p->n;
}

int cli_params_given_with(const struct cli_params *p, const char *prefix, struct param_arg *out,
                          int room)
{
    int n = 0;
    for (int i = 0; i < p->n && n < room; i++)
        if (p->row[i].value && strncmp(p->row[i].name, prefix, strlen(prefix)) == 0)
            out[n++] = (struct param_arg){p->row[i].key, p->row[i].value};
    return n;
}

int cli_params_given(const struct cli_params *p, struct param_arg *out)
{
    return cli_params_given_with(p, "", out, CLI_PARAMS_MAX);
}
