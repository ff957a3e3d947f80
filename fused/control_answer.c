/* The answer to a request. */
#include "control.h"

#include "fs.h"
#include "json_name.h"
#include "sweep.h"
#include <string.h>

#include "base/banned.h"

static const unsigned names_per_page =
    1000; /* below 64 MiB even if each is as long as a path gets */

#define N(x) ((json_int_t)(x))

static json_t *groups_json(const uint64_t group[FUSED_GROUP_COUNT])
{
    json_t *j = json_object();
    for (int g = 0; g < FUSED_GROUP_COUNT; g++)
        json_object_set_new(j, fused_group_name((enum fused_group)g), json_integer(N(group[g])));
    return j;
}

/* What was handed to the cache counts once it is written, or was not. */
static json_t *warm_state_json(struct fs *fs)
{
    struct fused_warm_state w;
    struct pipeline_stats ps;
    sweep_warm_state(fs->sweep, &w);
    if (w.done == w.total && fs->stack.cache)
        status_ignore(cache_flush(fs->stack.cache), "each image is counted by itself");
    pipeline_stats(fs->pipeline, &ps);
    return json_pack("{s:b,s:I,s:I,s:I,s:I,s:o}", "ok", 1, "total", N(w.total), "done", N(w.done),
                     "failed", N(w.failed), "not_stored",
                     N(w.not_stored + ps.no_space + ps.not_stored), "group", groups_json(w.group));
}

struct page {
    json_t *names;
    uint64_t last;
    bool failed;
};

static void page_add(void *arg, const struct name_list_entry *en)
{
    struct page *p = arg;
    json_t *j = json_object();
    p->failed |= json_name_set(j, "path", en->name) || json_name_set(j, "why", en->why) ||
                 json_array_append(p->names, j) < 0;
    p->last = en->number;
    json_decref(j);
}

static json_t *names_json(struct fs *fs, const struct control_request *r, status *st)
{
    struct page p = {.names = json_array(), .last = r->after};
    struct name_list *n =
        r->group == FUSED_GROUP_COUNT ? fs->lists.failures : fs->lists.group[r->group];
    name_list_page(n, r->after, names_per_page, page_add, &p);
    if (p.failed)
        *st = STATUS_NOMEM;
    return json_pack("{s:b,s:o,s:I}", "ok", !p.failed, "names", p.names, "last", N(p.last));
}

static status each_path(struct fs *fs, const struct control_request *r, struct fused_warm_check *io,
                        struct errmsg *e)
{
    static char root[] = ".", *whole[] = {root};
    char *const *path = r->all ? whole : r->path;
    status st = STATUS_OK;
    for (size_t i = 0; !st && i < (r->all ? 1 : r->n); i++)
        st = io ? sweep_check(fs->sweep, path[i], io, e) : sweep_warm(fs->sweep, path[i], e);
    return st;
}

static json_t *run_command(struct fs *fs, const struct control_request *r, status *st,
                           struct errmsg *e)
{
    struct fused_warm_check c = {0};
    switch (r->command) {
    case CONTROL_WARM:
        *st = each_path(fs, r, NULL, e);
        return *st ? NULL : warm_state_json(fs);
    case CONTROL_WARM_STATE:
        return warm_state_json(fs);
    case CONTROL_WARM_CHECK:
        *st = each_path(fs, r, &c, e);
        return *st ? NULL
                   : json_pack("{s:b,s:I,s:I,s:I,s:I,s:o}", "ok", 1, "files", N(c.files), "cached",
                               N(c.cached), "absent", N(c.absent), "missing", N(c.missing), "group",
                               groups_json(c.group));
    case CONTROL_NAMES:
        return names_json(fs, r, st);
    case CONTROL_STOP:
        return json_pack("{s:b}", "ok", 1);
    default:
        *st = STATUS_INTERNAL;
        return NULL;
    }
}

static status add_json(struct buf *out, json_t *j)
{
    char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    status st = text ? buf_add(out, text, strlen(text)) : STATUS_NOMEM;
    free(text);
    return st;
}

static status answer_request(struct fs *fs, const struct control_request *r, struct buf *out)
{
    struct errmsg e = {""};
    status st = STATUS_OK;
    if (r->command == CONTROL_STATUS) {
        st = report_json(fs, out);
        if (!st && out->len && out->data[out->len - 1] == '\n')
            out->data[--out->len] = 0;
        return st;
    }
    json_t *answer = run_command(fs, r, &st, &e);
    if (!answer)
        answer = json_pack("{s:b,s:s}", "ok", 0, "error", TEXT_SHOWN(errmsg_text(&e, st)));
    return add_json(out, answer);
}

status control_answer(struct fs *fs, const char *line, size_t len, struct buf *out, int *out_stop)
{
    struct control_request r;
    struct errmsg e = {""};
    status st = control_parse(line, len, &r, &e);
    if (st)
        return add_json(out, json_pack("{s:b,s:s}", "ok", 0, "error", errmsg_text(&e, st)));
    *out_stop = r.command == CONTROL_STOP;
    st = answer_request(fs, &r, out);
    control_request_done(&r);
    return st;
}
