#include "origin.h"

#include <string.h>

enum { ORIGIN_BYTES_MAX = 1 << 24 };

/* What a file that may not be there holds, as text: NULL, or for mem_free. Its path is that of a
   directory and what follows it. */
static char *read_text(const char *dir, const char *rest, size_t *out_len)
{
    AUTO(mem_free) char *path = mem_printf("%s%s", dir, rest);
    void *data = NULL;
    if (!path || io_read_file(path, ORIGIN_BYTES_MAX, &data, out_len, NULL))
        return NULL;
    return data;
}

static json_t *read_json(const char *dir, const char *rest)
{
    size_t len = 0;
    AUTO(mem_free) char *text = read_text(dir, rest, &len);
    return text ? json_loadb(text, len, 0, NULL) : NULL;
}

static json_t *read_status(const char *root)
{
    json_t *j = read_json(root, "/.relearn/status.json");
    if (!j && *root)
        j = read_json(root, ".purification.json");
    if (json_is_object(json_object_get(j, "profile")))
        return j;
    json_decref(j);
    return NULL;
}

/* The directory itself, then those above it; dir becomes the one where it was. */
static json_t *find_status(char *dir)
{
    for (;;) {
        json_t *j = read_status(dir);
        char *slash = j ? NULL : strrchr(dir, '/');
        if (j || !slash || !*dir)
            return j;
        *slash = 0; /* "" in the end, which is the root */
    }
}

static void take(json_t *out, const char *as, const json_t *from, const char *key)
{
    json_t *v = json_object_get(from, key);
    if (json_is_string(v) || json_is_array(v))
        json_object_set(out, as, v);
}

static void take_profile(json_t *out, const char *root)
{
    size_t len = 0;
    AUTO(mem_free) char *text = read_text(root, "/.relearn/profile.ini", &len);
    if (text)
        json_object_set_new(out, "profile_text", json_stringn(text, len));
}

json_t *train_origin(const char *dir)
{
    char *at = realpath(dir, NULL);
    json_t *said = at ? find_status(at) : NULL, *out = said ? json_object() : NULL;
    if (out) {
        const json_t *profile = json_object_get(said, "profile");
        take(out, "mountpoint", said, "mountpoint");
        take(out, "source", said, "source");
        take(out, "version", said, "version");
        take(out, "profile", profile, "name");
        take(out, "profile_id", profile, "id");
        take(out, "chain", profile, "chain");
        take(out, "weights", profile, "weights");
        take(out, "profile_text", said, "profile_text");
        take_profile(out, at);
    }
    free(at);
    json_decref(said);
    return out;
}

json_t *train_origin_protection(const char *dir)
{
    json_t *said = read_json(dir, "/protection.json"), *value, *out = NULL;
    const char *key;
    if (json_is_string(json_object_get(said, "method")) && (out = json_object()))
        json_object_foreach(said, key, value)
        {
            if (!json_is_array(value) && !json_is_object(value))
                json_object_set(out, key, value);
        }
    json_decref(said);
    return out;
}
