#include "child.h"
#include "seam.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static pid_t start(const char *script, int dir_fd, int out_fd)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    const struct child_options o = {.program = "/bin/sh",
                                    .argv = argv,
                                    .dir_fd = dir_fd,
                                    .out_fd = out_fd,
                                    .err_fd = -1,
                                    .own_group = true};
    pid_t pid = 0;
    assert_int_equal(child_start(&o, &pid), STATUS_OK);
    return pid;
}

static int end_of(pid_t pid)
{
    int code = -1;
    for (int i = 0; i < 2000 && !child_ended(pid, &code); i++)
        usleep(5000);
    return code;
}

static void says_how_it_ended(void **state)
{
    (void)state;
    assert_int_equal(end_of(start("exit 3", -1, -1)), 3);
    assert_int_equal(end_of(start("kill -TERM $$", -1, -1)), 128 + SIGTERM);
    assert_int_equal(end_of(start("read line || exit 5", -1, -1)), 5); /* input is empty */
    const char *const argv[] = {"absent", NULL};
    const struct child_options o = {
        .program = "/absent", .argv = argv, .dir_fd = -1, .out_fd = -1, .err_fd = -1};
    pid_t pid;
    assert_int_equal(child_start(&o, &pid), STATUS_OK);
    assert_int_equal(end_of(pid), 127);
}

static void has_its_directory_and_output(void **state)
{
    (void)state;
    int pipe_fd[2], dir = open("/usr", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(pipe2(pipe_fd, O_CLOEXEC), 0);
    assert_int_equal(end_of(start("pwd", dir, pipe_fd[1])), 0);
    char out[32] = "";
    assert_int_equal(read(pipe_fd[0], out, sizeof out - 1), 5);
    assert_string_equal(out, "/usr\n");
    close(pipe_fd[0]);
    close(pipe_fd[1]);
    close(dir);
}

/* Its end closes the writing end that it holds. */
static void dies_with_its_parent(void **state)
{
    (void)state;
    int pipe_fd[2];
    assert_int_equal(pipe(pipe_fd), 0);
    pid_t parent = fork();
    if (parent == 0) {
        close(pipe_fd[0]);
        pid_t pid = start("echo x; exec sleep 1000", -1, pipe_fd[1]);
        (void)pid;
        for (;;)
            pause();
    }
    close(pipe_fd[1]);
    char byte[4];
    assert_int_equal(read(pipe_fd[0], byte, 2), 2);
    child_kill(parent);
    alarm(20); /* instead of waiting for ever */
    assert_int_equal(read(pipe_fd[0], byte, 1), 0);
    alarm(0);
    close(pipe_fd[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_how_it_ended),
        cmocka_unit_test(has_its_directory_and_output),
        cmocka_unit_test(dies_with_its_parent),
    };
    return cmocka_run_group_tests_name("child", tests, NULL, NULL);
}
