#include "walk_names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

void walk_names_done(struct walk_names *l)
{
    mem_free(l->sorted);
    buf_done(&l->text);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a + 1, *(const char *const *)b + 1);
}

static status names_read(DIR *dir, struct walk_names *out)
{
    for (;;) {
        errno = 0;
        const struct dirent *d = readdir(dir);
        if (!d)
            break;
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        char type = (char)d->d_type;
        status st = buf_add(&out->text, &type, 1);
        if (!st)
            st = buf_add(&out->text, d->d_name, strlen(d->d_name) + 1);
        if (st)
            return st;
        out->n++;
    }
    return errno ? status_from_errno(errno) : STATUS_OK;
}

static status names_sort(struct walk_names *l)
{
    l->sorted = mem_alloc(l->n * sizeof *l->sorted);
    if (!l->sorted)
        return STATUS_NOMEM;
    const char *at = l->text.data;
    for (size_t i = 0; i < l->n; i++) {
        l->sorted[i] = at;
        at += 1 + strlen(at + 1) + 1;
    }
    if (l->n)
        qsort(l->sorted, l->n, sizeof *l->sorted, by_name);
    return STATUS_OK;
}

status walk_names_read(int fd, struct walk_names *out)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    DIR *dir = own < 0 ? NULL : fdopendir(own);
    if (!dir) {
        status st = status_from_errno(errno);
        if (own >= 0)
            close(own);
        return st;
    }
    status st = names_read(dir, out);
    closedir(dir);
    return st ? st : names_sort(out);
}
