#include "status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *text;
    int err;
    int exit_code;
} table[] = {
#define X(code, text, err, exit_code) [STATUS_##code] = {text, err, exit_code},
    STATUS_TABLE(X)
#undef X
};
_Static_assert(sizeof table / sizeof *table == STATUS_COUNT, "a row for every status");

static status known(status st)
{
    return (unsigned)st < STATUS_COUNT ? st : STATUS_INTERNAL;
}

const char *status_text(status st)
{
    return table[known(st)].text;
}

int status_errno(status st)
{
    return table[known(st)].err;
}

int status_exit(status st)
{
    return table[known(st)].exit_code;
}

status status_from_errno(int err)
{
    switch (err) {
    case ENOMEM:
        return STATUS_NOMEM;
    case ENOENT:
    case ENOTDIR:
        return STATUS_NOT_FOUND;
    case EEXIST:
        return STATUS_EXISTS;
    case EBUSY:
        return STATUS_BUSY;
    case EAGAIN:
        return STATUS_AGAIN;
    case EINVAL:
        return STATUS_INVALID;
    case ENOSPC:
    case EDQUOT:
        return STATUS_NO_SPACE;
    case EACCES:
    case EPERM:
    case EROFS:
        return STATUS_DENIED;
    case EINTR:
        return STATUS_CANCELLED;
    case ETIMEDOUT:
        return STATUS_TIMEOUT;
    case EFBIG:
    case EMFILE:
    case ENFILE:
        return STATUS_LIMIT;
    case EOPNOTSUPP:
    case ENOSYS:
        return STATUS_UNSUPPORTED;
    case 0:
        return STATUS_INTERNAL;
    default:
        return STATUS_IO;
    }
}

status errmsg_set(struct errmsg *e, status st, const char *fmt, ...)
{
    if (e) {
        va_list args;
        va_start(args, fmt);
        vsnprintf(e->text, sizeof e->text, fmt, args);
        va_end(args);
    }
    return st;
}

status errmsg_prefix(struct errmsg *e, status st, const char *fmt, ...)
{
    if (!e)
        return st;
    char old[ERRMSG_MAX];
    snprintf(old, sizeof old, "%s", errmsg_text(e, st));
    va_list args;
    va_start(args, fmt);
    int used = vsnprintf(e->text, sizeof e->text, fmt, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof e->text)
        snprintf(e->text + used, sizeof e->text - (size_t)used, ": %s", old);
    return st;
}

const char *errmsg_text(const struct errmsg *e, status st)
{
    return e && e->text[0] ? e->text : status_text(st);
}

status errmsg_unknown(struct errmsg *e, const char *what, const char *name,
                      const char *(*at)(int i))
{
    char list[ERRMSG_MAX];
    const char *other;
    size_t len = 0;
    list[0] = 0;
    for (int i = 0; (other = at(i)) && len < sizeof list; i++)
        len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", i ? ", " : "", other);
    return errmsg_set(e, STATUS_INVALID, "no %s is called \"%.64s\"; there are %s", what, name,
                      list);
}
