/* A request line, taken apart: nothing here looks at the mount. */
#include "control.h"

#include "json_name.h"
#include <assert.h>
#include <string.h>

#include "base/banned.h"

static const char *const command_name[] = {
    [CONTROL_STATUS] = "status",         [CONTROL_WARM] = "warm",
    [CONTROL_WARM_STATE] = "warm-state", [CONTROL_WARM_CHECK] = "warm-check",
    [CONTROL_NAMES] = "names",           [CONTROL_STOP] = "stop",
};
static_assert(ARRAY_LEN(command_name) == CONTROL_COMMAND_COUNT, "a name for each");

static_assert(ARRAY_LEN(command_name) == CONTROL_COMMAND_COUNT, "a name for each");

void control_request_done(struct control_request *r)
{
    for (size_t i = 0; i < r->n; i++)
        mem_free(r->path[i]);
    mem_free(r->path);
    *r = (struct control_request){.n = 0};
}

static status parse_paths(const json_t *paths, struct control_request *r, struct errmsg *e)
{
    size_t n = json_array_size(paths);
    r->all = !paths;
    if (!paths)
        return STATUS_OK;
    if (!json_is_array(paths))
        return errmsg_set(e, STATUS_INVALID, "paths must be an array");
    r->path = mem_zalloc(n, sizeof *r->path);
    if (!r->path)
        return STATUS_NOMEM;
    for (; r->n < n; r->n++) {
        status st = json_name_read(json_array_get(paths, r->n), &r->path[r->n]);
        if (st)
            return errmsg_set(e, st, "path %zu is no file name", r->n);
    }
    return STATUS_OK;
}

/* NAMES: whose, and from where on. */
static status parse_group(const json_t *j, struct control_request *r, struct errmsg *e)
{
    const char *name = json_string_value(json_object_get(j, "group"));
    json_int_t after = json_integer_value(json_object_get(j, "after"));
    if (!name || after < 0)
        return errmsg_set(e, STATUS_INVALID, "names need a group");
    r->after = (uint64_t)after;
    r->group = strcmp(name, "failures") == 0 ? FUSED_GROUP_COUNT : FUSED_GROUP_IMAGE;
    for (int g = 0; g < FUSED_GROUP_COUNT; g++)
        if (strcmp(name, fused_group_name((enum fused_group)g)) == 0)
            r->group = g;
    return r->group == FUSED_GROUP_IMAGE ? errmsg_set(e, STATUS_INVALID, "no such group of names")
                                         : STATUS_OK;
}

static status parse_object(const json_t *j, struct control_request *r, struct errmsg *e)
{
    const json_t *cmd = json_object_get(j, "cmd");
    for (int i = 0; i < CONTROL_COMMAND_COUNT; i++) {
        const char *name = json_string_value(cmd);
        if (!name || strcmp(name, command_name[i]) != 0 || strlen(name) != json_string_length(cmd))
            continue;
        r->command = (enum control_command)i;
        if (i == CONTROL_NAMES)
            return parse_group(j, r, e);
        return parse_paths(json_object_get(j, "paths"), r, e);
    }
    return errmsg_set(e, STATUS_INVALID, "unknown command");
}

status control_parse(const char *line, size_t len, struct control_request *out, struct errmsg *e)
{
    struct control_request r = {.n = 0};
    json_error_t jerr;
    json_t *j = json_loadb(line, len, JSON_REJECT_DUPLICATES, &jerr);
    status st = j ? parse_object(j, &r, e) : errmsg_set(e, STATUS_INVALID, "not JSON");
    json_decref(j);
    if (st)
        control_request_done(&r);
    else
        *out = r;
    return st;
}
