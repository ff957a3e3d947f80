/* Announcing files to a mount, and asking what became of them. */
#include "client.h"

#include <limits.h>
#include <string.h>

#include "base/banned.h"

static const size_t batch_bytes_max =
    512u << 10; /* of names in one request, far below CONTROL_LINE_MAX */

/* What follows the mountpoint in an absolute name; other names as they are. */
static const char *path_inside(const char *mount, const char *path)
{
    size_t len = mount ? strlen(mount) : 0;
    if (len && strncmp(path, mount, len) == 0 && path[len] == '/')
        path += len;
    while (*path == '/')
        path++;
    return *path ? path : ".";
}

static json_t *request_new(const char *cmd, const char *mountpoint, const char *const *paths,
                           size_t n)
{
    json_t *j = json_pack("{s:s}", "cmd", cmd);
    if (n == 0)
        return j;
    char full[PATH_MAX];
    const char *mount = realpath(mountpoint, full);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        if (json_array_append_new(list, json_name_new(path_inside(mount, paths[i])))) {
            json_decref(list);
            json_decref(j);
            return NULL;
        }
    json_object_set_new(j, "paths", list);
    return j;
}

/* Sends cmd for all paths in batches; takes each answer to fn. */
static status ask_in_batches(const char *cmd, const char *mountpoint, const char *const *paths,
                             size_t n, void (*fn)(void *arg, const json_t *answer), void *arg,
                             struct errmsg *e)
{
    size_t at = 0;
    do {
        size_t batch = 0;
        for (size_t bytes = 0;
             batch < FUSED_WARM_BATCH && at + batch < n && bytes < batch_bytes_max; batch++)
            bytes += strlen(paths[at + batch]);
        AUTO(json_decref) json_t *answer = NULL;
        json_t *request = request_new(cmd, mountpoint, paths + at, batch);
        status st = client_ask(mountpoint, request, &answer, e);
        if (st)
            return st;
        fn(arg, answer);
        at += batch;
    } while (at < n);
    return STATUS_OK;
}

static void ignore_answer(void *arg, const json_t *answer)
{
    (void)arg, (void)answer;
}

/* Adds the counts by group that an answer has. */
static void add_groups(uint64_t group[FUSED_GROUP_COUNT], const json_t *answer)
{
    const json_t *groups = json_object_get(answer, "group");
    for (int g = 0; g < FUSED_GROUP_COUNT; g++)
        group[g] += client_number(groups, fused_group_name((enum fused_group)g));
}

static void add_check(void *arg, const json_t *answer)
{
    struct fused_warm_check *io = arg;
    add_groups(io->group, answer);
    io->files += client_number(answer, "files");
    io->cached += client_number(answer, "cached");
    io->absent += client_number(answer, "absent");
    io->missing += client_number(answer, "missing");
}

status fused_warm(const char *mountpoint, const char *const *paths, size_t n, struct errmsg *e)
{
    return ask_in_batches("warm", mountpoint, paths, n, ignore_answer, NULL, e);
}

status fused_warm_check(const char *mountpoint, const char *const *paths, size_t n,
                        struct fused_warm_check *io, struct errmsg *e)
{
    return ask_in_batches("warm-check", mountpoint, paths, n, add_check, io, e);
}

status fused_warm_state(const char *mountpoint, struct fused_warm_state *out, struct errmsg *e)
{
    AUTO(json_decref) json_t *answer = NULL;
    status st = client_ask(mountpoint, json_pack("{s:s}", "cmd", "warm-state"), &answer, e);
    if (st)
        return st;
    *out = (struct fused_warm_state){.total = client_number(answer, "total"),
                                     .done = client_number(answer, "done"),
                                     .failed = client_number(answer, "failed"),
                                     .not_stored = client_number(answer, "not_stored")};
    add_groups(out->group, answer);
    return STATUS_OK;
}
