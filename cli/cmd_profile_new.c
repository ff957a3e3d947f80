/* relearn profile new, rm: profiles of the user's own. */
#include "cli.h"
#include "purify/purify.h"

#include <string.h>

#include "base/banned.h"

static status set_all(struct purify_profile *p, const struct cli_list *sets, struct errmsg *e)
{
    for (int i = 0; i < sets->n; i++) {
        char key[64];
        const char *eq = strchr(sets->item[i], '=');
        if (!eq || (size_t)(eq - sets->item[i]) >= sizeof key)
            return errmsg_set(e, STATUS_INVALID, "--set wants KEY=VALUE, not '%s'", sets->item[i]);
        snprintf(key, sizeof key, "%.*s", (int)(eq - sets->item[i]), sets->item[i]);
        status st = purify_profile_set(p, key, eq + 1, e);
        if (st)
            return st;
    }
    return STATUS_OK;
}

static void print_path(const char *name, const char *path, int json)
{
    if (json)
        cli_print_json(json_pack("{s:s, s:s}", "name", name, "path", path));
    else
        puts(path);
}

/* What can be in a chain, out of the tables that say it. */
static status add_purifiers(struct buf *out)
{
    struct purify_about a;
    status st = STATUS_OK;
    for (int i = 0; !st && purify_about(i, &a); i++) {
        st = buf_addf(out, "\n  %-10s %s", a.name, a.summary);
        for (int k = 0; !st && k < a.params->n; k++) {
            st = buf_addf(out, "\n    %-17s ", a.params->row[k].key);
            if (!st)
                st = param_help(&a.params->row[k], out);
        }
    }
    return st;
}

int cmd_profile_new(int argc, char **argv)
{
    const char *from = "default";
    struct cli_list sets = {{0}, 0};
    int force = 0, json = 0, first;
    const struct cli_option options[] = {
        {"from", 'f', CLI_STRING, &from, "PROFILE", "the profile to begin with; default: default"},
        {"set", 's', CLI_LIST, &sets, "KEY=VALUE",
         "change a value (again for another): chain=A,B or KEY=VALUE of one of its purifiers, "
         "A.KEY=VALUE where several have it"},
        {"force", 0, CLI_FLAG, &force, NULL, "replace a profile of that name"},
        CLI_ROW_JSON(json),
    };
    AUTO(buf_done) struct buf about = BUF_INIT(1 << 16);
    status st =
        buf_addf(&about, "Writes a profile of your own, NAME.ini, and prints where. What is "
                         "done to an image is a chain of\npurifiers, each with values of "
                         "its own:\n");
    if (!st)
        st = add_purifiers(&about);
    if (st)
        return cli_fail(st, NULL);
    const struct cli_spec spec = {"relearn profile new",
                                  "[--from PROFILE] [--set KEY=VALUE]… NAME",
                                  about.data,
                                  options,
                                  ARRAY_LEN(options),
                                  1,
                                  1};
    int rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    struct purify_profile p;
    struct errmsg e = {""};
    AUTO(mem_free) char *path = NULL;
    st = purify_profile_load(from, &p, &e);
    if (!st)
        st = set_all(&p, &sets, &e);
    if (!st)
        st = purify_profile_finish(&p, &e);
    if (!st)
        st = purify_profile_create(&p, argv[first], force, &path, &e);
    if (st)
        return cli_fail(st, &e);
    print_path(argv[first], path, json);
    return 0;
}

/* ---- rm ---- */

int cmd_profile_rm(int argc, char **argv)
{
    int json = 0, first;
    const struct cli_option options[] = {
        CLI_ROW_JSON(json),
    };
    const struct cli_spec spec = {
        "relearn profile rm",
        "[--json] NAME",
        "Removes a profile of your own, and prints the file that was it. Those that came with the\n"
        "program stay, and what the cache holds for a profile does: relearn cache rm removes that.",
        options,
        ARRAY_LEN(options),
        1,
        1};
    int rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    struct errmsg e = {""};
    AUTO(mem_free) char *path = NULL;
    status st = purify_profile_remove(argv[first], &path, &e);
    if (st)
        return cli_fail(st, &e);
    print_path(argv[first], path, json);
    return 0;
}
