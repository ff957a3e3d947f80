/* What commands print with --json. */
#include "cli.h"

#include <math.h>
#include <string.h>

#include "base/banned.h"

void cli_print_json(json_t *json)
{
    json_dumpf(json, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(json);
}

json_t *cli_json_real(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

status cli_json_name(json_t *array, const char *name, const char *why)
{
    size_t len = strlen(name), at = 0;
    int exact = 1;
    AUTO(mem_free) char *text = mem_alloc(3 * len + 1);
    AUTO(mem_free) char *hex = mem_alloc(2 * len + 1);
    json_t *row = json_object();
    if (!text || !hex || !row) {
        json_decref(row);
        return STATUS_NOMEM;
    }
    for (const char *c = name; *c;) {
        size_t n = text_utf8_len(c);
        exact &= n > 0;
        memcpy(text + at, n ? c : "\xef\xbf\xbd", n ? n : 3);
        at += n ? n : 3;
        c += n ? n : 1;
    }
    for (size_t i = 0; i < len; i++)
        snprintf(hex + 2 * i, 3, "%02x", (unsigned)(unsigned char)name[i]);
    int rc = json_object_set_new(row, "path", json_stringn(text, at));
    if (!exact)
        rc |= json_object_set_new(row, "path_hex", json_string(hex));
    if (*why)
        rc |= json_object_set_new(row, "why", json_string(TEXT_SHOWN(why)));
    return json_array_append_new(array, row) | rc ? STATUS_NOMEM : STATUS_OK;
}
