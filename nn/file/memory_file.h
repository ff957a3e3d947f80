#ifndef NN_MEMORY_FILE_H
#define NN_MEMORY_FILE_H
/* memory_file: a file that exists in memory only, for tests of the readers. Static; included by test
   programs only, after cmocka. */
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static int memory_file = -1;
static char path[64]; /* under which it can be opened */

/* cmocka's set-up and tear-down of a group. */
static int memory_file_open(void **state)
{
    (void)state;
    memory_file = memfd_create("nn-file-test", MFD_CLOEXEC);
    snprintf(path, sizeof path, "/proc/self/fd/%d", memory_file);
    return memory_file < 0;
}
static int memory_file_close(void **state)
{
    (void)state;
    return close(memory_file);
}

/* Makes data its whole content. */
static void put(const void *data, size_t len)
{
    assert_int_equal(ftruncate(memory_file, 0), 0);
    assert_int_equal(pwrite(memory_file, data, len, 0), len);
}

#endif
