/*
 * What the cache's memo table remembers of a file's bytes: an image's pixel digest, or that its
 * body is damaged although its header is not. Sizes are not remembered: they are computed from the
 * header each time.
 *
 *     format 1: an image           info: version
 *     format 2: served as it is    info: version, reason (text, no NUL)
 *
 * The version goes up when the decoder's pixels change; older entries are then not believed.
 */
#include "pipeline.h"

#include <string.h>

#include "base/banned.h"

enum { MEMO_IMAGE = 1, MEMO_DAMAGED = 2, MEMO_VERSION = 2 };
_Static_assert((int)FUSED_REASON_MAX <= (int)CACHE_MEMO_INFO_MAX, "version and reason fit");

void verdict_unpurified(struct fused_verdict *v, const char *why)
{
    v->group = FUSED_GROUP_UNPURIFIED;
    v->has_pixels = false;
    snprintf(v->reason, sizeof v->reason, "%s", why);
}

status memo_read(struct cache *c, struct fused_verdict *v)
{
    if (!c)
        return STATUS_NOT_FOUND;
    struct cache_memo m;
    status st = cache_memo_get(c, &v->source, &m);
    if (st)
        return st;
    if (m.info_len < 1 || m.info_len > sizeof m.info || m.info[0] != MEMO_VERSION)
        return STATUS_NOT_FOUND;
    if (m.format == MEMO_DAMAGED) {
        char why[CACHE_MEMO_INFO_MAX];
        snprintf(why, sizeof why, "%.*s", (int)m.info_len - 1, (const char *)m.info + 1);
        verdict_unpurified(v, why);
        return STATUS_OK;
    }
    if (m.format != MEMO_IMAGE || m.shape.width != (uint32_t)v->info.width ||
        m.shape.height != (uint32_t)v->info.height ||
        m.shape.channels != (uint32_t)v->info.channels)
        return STATUS_NOT_FOUND;
    v->has_pixels = true;
    v->pixels = m.pixels;
    return STATUS_OK;
}

void memo_write(struct cache *c, const struct fused_verdict *v)
{
    if (!c)
        return;
    bool damaged = v->group != FUSED_GROUP_IMAGE;
    struct cache_memo m = {
        .format = damaged ? MEMO_DAMAGED : MEMO_IMAGE,
        .shape = {(uint32_t)v->info.width, (uint32_t)v->info.height, (uint32_t)v->info.channels},
        .info = {MEMO_VERSION},
        .info_len = 1,
    };
    if (damaged) {
        size_t n = strlen(v->reason);
        memcpy(m.info + 1, v->reason, n);
        m.info_len += (uint32_t)n;
    } else {
        m.pixels = v->pixels;
    }
    status_ignore(cache_memo_put(c, &v->source, &m), "it is worked out again when it is needed");
}
