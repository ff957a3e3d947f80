#include "shipped.h"

#include <string.h>
#include <unistd.h>

#include "base/banned.h"

status shipped_file(const char *name, const char *folder, const char *suffix, char **out,
                    struct errmsg *e)
{
    AUTO(mem_free) char *dir = NULL;
    AUTO(mem_free) char *path = NULL;
    if (!strchr(name, '/') && access(name, F_OK) != 0 && !path_data_dir(&dir)) {
        if (!(path = mem_printf("%s/%s/%s.%s", dir, folder, name, suffix)))
            return errmsg_set(e, STATUS_NOMEM, "out of memory");
        if (access(path, F_OK) != 0)
            mem_free(TAKE(path));
    }
    *out = path ? TAKE(path) : mem_strdup(name);
    return *out ? STATUS_OK : errmsg_set(e, STATUS_NOMEM, "out of memory");
}
