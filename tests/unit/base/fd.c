#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

static int scratch(void)
{
    char name[] = "/tmp/raccord-fd-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    unlink(name);
    return fd;
}

static void what_was_written_is_read_where_it_stands(void **state)
{
    (void)state;
    char got[16] = "";
    int fd = scratch();
    assert_true(fd_write(fd, "abc", 3, FD_HERE));
    assert_true(fd_write(fd, "def", 3, FD_HERE));
    assert_true(fd_write(fd, "XY", 2, 1));
    assert_int_equal(fd_read(fd, got, sizeof got, FD_HERE), 0); /* it stands at the end */
    assert_int_equal(fd_read(fd, got, sizeof got, 0), 6);
    assert_string_equal(got, "aXYdef");
    assert_int_equal(fd_read(fd, got, 2, 3), 2);
    assert_memory_equal(got, "de", 2);
    assert_int_equal(fd_read(fd, got, 2, 100), 0);
    close(fd);
}

static void *feed(void *fd)
{
    for (int i = 0; i < 1000; i++)
        if (write(*(int *)fd, "0123456789", 10) != 10)
            break;
    close(*(int *)fd);
    return NULL;
}

static void a_pipe_that_gives_little_at_a_time_is_read_to_its_end(void **state)
{
    (void)state;
    static char got[20000];
    int ends[2];
    pthread_t feeder;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(pthread_create(&feeder, NULL, feed, &ends[1]), 0);
    assert_int_equal(fd_read(ends[0], got, 7005, FD_HERE), 7005);
    assert_int_equal(fd_read(ends[0], got + 7005, sizeof got - 7005, FD_HERE), 10000 - 7005);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(got[i], '0' + i % 10);
    pthread_join(feeder, NULL);
    close(ends[0]);
}

static void a_failure_is_told_with_its_reason(void **state)
{
    (void)state;
    char byte;
    int fd = open("/dev/full", O_RDWR | O_CLOEXEC);
    assert_false(fd_write(fd, "x", 1, FD_HERE));
    assert_int_equal(errno, ENOSPC);
    close(fd);
    assert_int_equal(fd_read(-1, &byte, 1, FD_HERE), -1);
    assert_int_equal(errno, EBADF);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_where_it_stands),
        cmocka_unit_test(a_pipe_that_gives_little_at_a_time_is_read_to_its_end),
        cmocka_unit_test(a_failure_is_told_with_its_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
