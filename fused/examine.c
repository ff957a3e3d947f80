/* What a file is, by its header, its name and the user's rules. */
#include "examine.h"

#include "base/banned.h"

const char *fused_group_name(enum fused_group g)
{
    static const char *const names[] = {
        [FUSED_GROUP_IMAGE] = "image",
        [FUSED_GROUP_LABEL] = "label",
        [FUSED_GROUP_EXCLUDED] = "excluded",
        [FUSED_GROUP_OTHER] = "other",
        [FUSED_GROUP_UNPURIFIED] = "not_purified",
    };
    _Static_assert(ARRAY_LEN(names) == FUSED_GROUP_COUNT, "one name per group");
    return (unsigned)g < FUSED_GROUP_COUNT ? names[g] : "?";
}

/* A file that no decoder of ours reads: an image or a file of images all the same? */
static void judge_unreadable(const struct fused_file *file, const char *why,
                             struct fused_verdict *v)
{
    uint8_t head[IMAGE_SNIFF_BYTES];
    size_t n;
    if (io_pread(file->fd, head, sizeof head, 0, &n))
        n = 0;
    const char *kind = image_kind_of_unsupported(head, n, file->name);
    if (image_sniff(head, n) != IMAGE_FORMAT_COUNT)
        verdict_unpurified(v, why);
    else if (kind)
        verdict_unpurified(v, kind);
    else if (image_name_is_image(file->name))
        verdict_unpurified(v, n ? "not what its name says" : "empty");
    else
        v->group = FUSED_GROUP_OTHER;
}

/* What the header of an image says, under the rules. */
static void judge_image(enum fused_rule rule, struct fused_verdict *v)
{
    if ((v->info.is_label || v->info.source_bits > 8) && rule != FUSED_RULE_INSIST)
        v->group = FUSED_GROUP_LABEL;
    else if (v->info.source_bits > 8)
        verdict_unpurified(v, "16 bits a sample, which purifying would halve");
}

struct image_limits examine_limits(uint64_t max_pixels)
{
    struct image_limits lim = image_limits_default();
    if (max_pixels && max_pixels < lim.max_pixels)
        lim.max_pixels = max_pixels;
    return lim;
}

/* A file that is no image that we read: it may hold many, or be something else. */
static status examine_others(const struct image_limits *lim, const struct fused_file *file,
                             const char *why_no_image, struct fused_verdict *v, struct errmsg *e)
{
    struct errmsg why = {""};
    status st = image_list_probe_fd(file->fd, file->id.size, lim, &v->list, &why);
    if (st == STATUS_NOT_FOUND)
        judge_unreadable(file, why_no_image, v);
    else if (source_is_at_fault(st))
        verdict_unpurified(v, errmsg_text(&why, st));
    else if (st)
        return errmsg_set(e, st, "%s", errmsg_text(&why, st));
    else if (v->list.count)
        v->info = image_list_info(&v->list);
    else
        v->group = FUSED_GROUP_OTHER;
    return STATUS_OK;
}

status examine_file(const struct image_limits *lim, const struct fused_rules *rules,
                    const struct fused_file *file, struct fused_verdict *out, struct errmsg *e)
{
    struct fused_verdict v = {.group = FUSED_GROUP_IMAGE, .size = file->id.size};
    struct errmsg why = {""};
    enum fused_rule rule = fused_rules_match(rules, file->name);
    status st = STATUS_OK;
    if (rule == FUSED_RULE_EXCLUDE) {
        v.group = FUSED_GROUP_EXCLUDED;
    } else {
        st = image_probe_fd(file->fd, file->id.size, lim, &v.info, &why);
        if (!st)
            judge_image(rule, &v);
        else if (source_is_at_fault(st))
            st = examine_others(lim, file, errmsg_text(&why, st), &v, &why);
    }
    if (st)
        return errmsg_set(e, st, "%s", errmsg_text(&why, st));
    if (v.group == FUSED_GROUP_IMAGE && !v.list.count)
        v.size = v.info.encoded_size;
    *out = v;
    return STATUS_OK;
}
