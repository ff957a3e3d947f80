#include "json_name.h"

#include <stdbool.h>
#include <string.h>

#include "base/banned.h"

static bool is_utf8(const char *s)
{
    while (*s) {
        size_t len = text_utf8_len(s);
        if (!len)
            return false;
        s += len;
    }
    return true;
}

static json_t *hex_new(const char *name)
{
    static const char digit[] = "0123456789abcdef";
    size_t len = strlen(name);
    AUTO(mem_free) char *hex = mem_alloc(2 * len + 1);
    if (!hex)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        hex[2 * i] = digit[(unsigned char)name[i] >> 4];
        hex[2 * i + 1] = digit[(unsigned char)name[i] & 15];
    }
    return json_stringn(hex, 2 * len);
}

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static status hex_read(const json_t *j, char **out)
{
    const char *hex = json_string_value(j);
    size_t n = json_string_length(j);
    if (!hex || !n || n % 2)
        return STATUS_INVALID;
    AUTO(mem_free) char *name = mem_alloc(n / 2 + 1);
    if (!name)
        return STATUS_NOMEM;
    for (size_t i = 0; i < n / 2; i++) {
        int high = nibble(hex[2 * i]), low = nibble(hex[2 * i + 1]);
        if (high < 0 || low < 0 || high + low == 0)
            return STATUS_INVALID;
        name[i] = (char)(high << 4 | low);
    }
    name[n / 2] = 0;
    *out = TAKE(name);
    return STATUS_OK;
}

json_t *json_name_new(const char *name)
{
    return is_utf8(name) ? json_string(name) : json_pack("{s:o}", "hex", hex_new(name));
}

static status text_read(const json_t *j, char **out)
{
    const char *s = json_string_value(j);
    if (!s || strlen(s) != json_string_length(j))
        return STATUS_INVALID;
    *out = mem_strdup(s);
    return *out ? STATUS_OK : STATUS_NOMEM;
}

status json_name_read(const json_t *j, char **out)
{
    if (json_is_object(j))
        return hex_read(json_object_get(j, "hex"), out);
    return json_string_length(j) ? text_read(j, out) : STATUS_INVALID;
}

/* With U+FFFD for each byte that is no UTF-8. */
static json_t *lossy_new(const char *name)
{
    AUTO(mem_free) char *text = mem_alloc(3 * strlen(name) + 1);
    size_t at = 0;
    if (!text)
        return NULL;
    while (*name) {
        size_t len = text_utf8_len(name);
        memcpy(text + at, len ? name : "\xef\xbf\xbd", len ? len : 3);
        at += len ? len : 3;
        name += len ? len : 1;
    }
    return json_stringn(text, at);
}

status json_name_set(json_t *object, const char *key, const char *name)
{
    const char *s = name ? name : "";
    bool exact = is_utf8(s);
    int rc = json_object_set_new(object, key, exact ? json_string(s) : lossy_new(s));
    AUTO(mem_free) char *hex_key = exact ? NULL : mem_printf("%s_hex", key);
    if (!exact)
        rc |= hex_key ? json_object_set_new(object, hex_key, hex_new(s)) : -1;
    return rc ? STATUS_NOMEM : STATUS_OK;
}

status json_name_get(const json_t *object, const char *key, char **out)
{
    AUTO(mem_free) char *hex_key = mem_printf("%s_hex", key);
    if (!hex_key)
        return STATUS_NOMEM;
    const json_t *hex = json_object_get(object, hex_key);
    return hex ? hex_read(hex, out) : text_read(json_object_get(object, key), out);
}
