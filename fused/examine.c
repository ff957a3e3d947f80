/*
 * What a file is, told by its header, its name and the user's rules: the one place where files fall
 * into groups.
 */
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
static void judge_unreadable(int fd, const char *path, const char *why, struct fused_verdict *v)
{
    uint8_t head[IMAGE_SNIFF_BYTES];
    size_t n;
    if (io_pread(fd, head, sizeof head, 0, &n))
        n = 0;
    const char *kind = image_kind_of_unsupported(head, n, path);
    if (image_sniff(head, n) != IMAGE_FORMAT_COUNT)
        verdict_unpurified(v, why);
    else if (kind)
        verdict_unpurified(v, kind);
    else if (image_name_is_image(path))
        verdict_unpurified(v, n ? "not what its name says" : "empty");
    else
        v->group = FUSED_GROUP_OTHER;
}

/* What the header says, under the rules. */
static void judge(const struct fused_rules *rules, int fd, const char *path, status probed,
                  const struct errmsg *why, struct fused_verdict *v)
{
    enum fused_rule rule = fused_rules_match(rules, path);
    if (rule == FUSED_RULE_EXCLUDE)
        v->group = FUSED_GROUP_EXCLUDED;
    else if (probed)
        judge_unreadable(fd, path, errmsg_text(why, probed), v);
    else if ((v->info.is_label || v->info.source_bits > 8) && rule != FUSED_RULE_INSIST)
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

status examine_file(const struct image_limits *lim, const struct fused_rules *rules, int fd,
                    const struct cache_file_id *id, const char *path, struct fused_verdict *out,
                    struct errmsg *e)
{
    struct fused_verdict v = {.group = FUSED_GROUP_IMAGE};
    struct errmsg why = {""};
    status st = image_probe_fd(fd, id->size, lim, &v.info, &why);
    if (st && !source_is_at_fault(st))
        return errmsg_set(e, st, "%s", errmsg_text(&why, st));
    judge(rules, fd, path, st, &why, &v);
    v.size = v.group == FUSED_GROUP_IMAGE ? v.info.encoded_size : id->size;
    *out = v;
    return STATUS_OK;
}
