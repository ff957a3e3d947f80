#include "files.h"

#include <inttypes.h>

#include "base/banned.h"

static void append(json_t **array, const char *path, const char *why)
{
    if (!*array)
        *array = json_array();
    if (!*array || cli_json_name(*array, path, why))
        fprintf(stderr, "relearn: %s is not listed: out of memory\n", TEXT_SHOWN(path));
}

static void end_bar_line(const struct cli_files *f)
{
    const struct progress *bar = f->bar;
    if (bar && bar->drawn && bar->tty)
        fputc('\n', stderr);
}

void cli_files_named(struct cli_files *f, enum fused_group group, const char *path, const char *why)
{
    if (f->json) {
        append(&f->group[group], path, why);
    } else if (group == FUSED_GROUP_UNPURIFIED && f->lines < CLI_FILES_SHOWN) {
        AUTO(mem_free) char *shown = text_shown_new(path);
        f->line[f->lines] = mem_printf("%s: %s", shown ? shown : "?", TEXT_SHOWN(why));
        f->lines += f->line[f->lines] != NULL;
    }
}

void cli_files_failed(struct cli_files *f, const char *path, const char *why)
{
    AUTO(mem_free) char *shown = text_shown_new(path);
    f->failed++;
    if (f->json)
        append(&f->failures, path, why);
    end_bar_line(f);
    fprintf(stderr, "relearn: %s: %s\n", shown ? shown : "?", TEXT_SHOWN(why));
}

void cli_files_print(const struct cli_files *f, const uint64_t count[FUSED_GROUP_COUNT],
                     const char *what)
{
    printf("%" PRIu64 " images %s", count[FUSED_GROUP_IMAGE], what);
    if (count[FUSED_GROUP_LABEL])
        printf(", %" PRIu64 " label images", count[FUSED_GROUP_LABEL]);
    if (count[FUSED_GROUP_EXCLUDED])
        printf(", %" PRIu64 " excluded", count[FUSED_GROUP_EXCLUDED]);
    printf(", %" PRIu64 " other files", count[FUSED_GROUP_OTHER]);
    if (f->failed)
        printf(", %" PRIu64 " failed", f->failed);
    putchar('\n');
    uint64_t not_purified = count[FUSED_GROUP_UNPURIFIED];
    if (!not_purified)
        return;
    printf("%" PRIu64 " images NOT PURIFIED:\n", not_purified);
    for (size_t i = 0; i < f->lines; i++)
        printf("  %s\n", f->line[i]);
    if (not_purified > f->lines)
        printf("  and %" PRIu64 " more (--json names all)\n", not_purified - f->lines);
}

static json_t *counted(uint64_t count, json_t **files)
{
    json_t *out = json_pack("{s:I}", "count", (json_int_t)count);
    if (files)
        json_object_set_new(out, "files", *files ? *files : json_array());
    if (files)
        *files = NULL;
    return out;
}

json_t *cli_files_json(struct cli_files *f, const uint64_t count[FUSED_GROUP_COUNT])
{
    json_t *out = json_object();
    for (int i = 0; i < FUSED_GROUP_COUNT; i++) {
        bool named = i != FUSED_GROUP_IMAGE && i != FUSED_GROUP_OTHER;
        json_object_set_new(out, fused_group_name(i),
                            counted(count[i], named ? &f->group[i] : NULL));
    }
    json_object_set_new(out, "failed", counted(f->failed, &f->failures));
    return out;
}

void cli_files_done(struct cli_files *f)
{
    for (int i = 0; i < FUSED_GROUP_COUNT; i++)
        json_decref(f->group[i]);
    json_decref(f->failures);
    for (size_t i = 0; i < f->lines; i++)
        mem_free(f->line[i]);
    *f = (struct cli_files){.json = 0};
}
