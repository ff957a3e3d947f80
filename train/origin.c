#include "origin.h"

#include <string.h>

enum { STATUS_BYTES_MAX = 1 << 24 };

static json_t *read_status(const char *root)
{
    AUTO(mem_free) char *path = mem_printf("%s/.relearn/status.json", root);
    AUTO(mem_free) void *data = NULL;
    size_t len = 0;
    if (!path || io_read_file(path, STATUS_BYTES_MAX, &data, &len, NULL))
        return NULL;
    json_t *j = json_loadb(data, len, 0, NULL);
    if (json_is_object(json_object_get(j, "profile")))
        return j;
    json_decref(j);
    return NULL;
}

/* The directory itself, then those above it. */
static json_t *find_status(char *dir)
{
    for (;;) {
        json_t *j = read_status(dir);
        char *slash = strrchr(dir, '/');
        if (j || !slash || !*dir)
            return j;
        *slash = 0; /* "" in the end, which is the root */
    }
}

static void take(json_t *out, const char *as, const json_t *from, const char *key)
{
    json_t *v = json_object_get(from, key);
    if (json_is_string(v))
        json_object_set(out, as, v);
}

json_t *train_origin(const char *dir)
{
    char *at = realpath(dir, NULL);
    json_t *said = at ? find_status(at) : NULL, *out = said ? json_object() : NULL;
    free(at);
    if (out) {
        take(out, "mountpoint", said, "mountpoint");
        take(out, "source", said, "source");
        take(out, "version", said, "version");
        take(out, "profile", json_object_get(said, "profile"), "name");
        take(out, "profile_id", json_object_get(said, "profile"), "id");
    }
    json_decref(said);
    return out;
}
