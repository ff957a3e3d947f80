#include "machine.h"

#include "base/base.h"

#include <string.h>
#include <sys/utsname.h>
#include <time.h>

/* The value of the first line of /proc/cpuinfo that says it, for mem_free; NULL: none does. */
static char *cpu_model(void)
{
    AUTO(mem_free) void *data = NULL;
    size_t len = 0;
    if (io_read_file("/proc/cpuinfo", (size_t)1 << 26, &data, &len, NULL))
        return NULL;
    for (const char *at = data, *end = at + len; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)((stop ? stop : end) - at);
        const char *colon = memchr(at, ':', n);
        if (colon && strncmp(at, "model name", strlen("model name")) == 0) {
            size_t skip = (size_t)(colon + 1 - at);
            skip += skip < n && at[skip] == ' ';
            return mem_printf("%.*s", (int)(n - skip), at + skip);
        }
        at += n + 1;
    }
    return NULL;
}

char *train_machine(void)
{
    struct utsname u;
    AUTO(mem_free) char *model = cpu_model();
    int n = cpu_count();
    if (uname(&u))
        return mem_printf("%d CPUs", n);
    AUTO(mem_free)
    char *plain = mem_printf("%s%s%d CPU%s, %s %s %s", model ? model : "", model ? ", " : "", n,
                             n == 1 ? "" : "s", u.sysname, u.release, u.machine);
    return plain ? text_shown_new(plain) : NULL;
}

void train_date(char out[TRAIN_DATE_LEN + 1])
{
    time_t now = (time_t)(time_real_ns() / 1000000000u);
    struct tm t;
    if (!gmtime_r(&now, &t) || !strftime(out, TRAIN_DATE_LEN + 1, "%Y-%m-%dT%H:%M:%SZ", &t))
        out[0] = 0;
}
