#ifndef IMAGE_TEST_TREES_H
#define IMAGE_TEST_TREES_H
/* For the tests of walks, trees and arrays: a scratch directory that is removed at the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "image.h"

#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>

struct scratch {
    char dir[64];
};

__attribute__((unused)) static int scratch_remove(const char *path, const struct stat *sb, int type,
                                                  struct FTW *ftw)
{
    (void)sb;
    (void)type;
    (void)ftw;
    return remove(path);
}

__attribute__((unused)) static int scratch_setup(void **state)
{
    struct scratch *s = calloc(1, sizeof *s);
    snprintf(s->dir, sizeof s->dir, "/tmp/relearn-image-XXXXXX");
    *state = s;
    return mkdtemp(s->dir) ? 0 : -1;
}

__attribute__((unused)) static int scratch_teardown(void **state)
{
    struct scratch *s = *state;
    fault_clear();
    int rc = nftw(s->dir, scratch_remove, 16, FTW_DEPTH | FTW_PHYS);
    free(s);
    return rc;
}

/* The path of a file in the scratch directory; a few results stay valid. */
__attribute__((unused)) static const char *in_scratch(const struct scratch *s, const char *path)
{
    static char text[4][8192];
    static int i;
    char *out = text[i++ % 4];
    snprintf(out, sizeof text[0], "%s/%s", s->dir, path);
    return out;
}

__attribute__((unused)) static void put_file(const struct scratch *s, const char *path,
                                             const void *data, size_t len)
{
    int fd = open(in_scratch(s, path), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(io_write(fd, data, len), STATUS_OK);
    close(fd);
}

__attribute__((unused)) static void put_dir(const struct scratch *s, const char *path)
{
    assert_int_equal(mkdir(in_scratch(s, path), 0755), 0);
}

/* Empty files and directories (names that end with '/'), in this order; the list ends with NULL. */
__attribute__((unused)) static void put_all(const struct scratch *s, const char *const *paths)
{
    for (; *paths; paths++)
        if ((*paths)[strlen(*paths) - 1] == '/')
            put_dir(s, *paths);
        else
            put_file(s, *paths, "", 0);
}

#endif
