#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "access/head_file.h"
#include "base/clock.h"
#include "house.h"

/* ---- a device that hangs: fdatasync() does not come back while `hanging` ---- */

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

static pthread_mutex_t device = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t device_moves = PTHREAD_COND_INITIALIZER;
static bool hanging;
static int inside;

int __wrap_fdatasync(int fd)
{
    pthread_mutex_lock(&device);
    inside++;
    pthread_cond_broadcast(&device_moves);
    while (hanging)
        pthread_cond_wait(&device_moves, &device);
    inside--;
    pthread_cond_broadcast(&device_moves);
    pthread_mutex_unlock(&device);
    return __real_fdatasync(fd);
}

static void device_hangs(bool yes)
{
    pthread_mutex_lock(&device);
    hanging = yes;
    pthread_cond_broadcast(&device_moves);
    pthread_mutex_unlock(&device);
}

static const char *path_in(struct house *h, const char *name)
{
    return arena_cstr(h->arena, str_fmt(h->arena, "%s/%s", h->room->directory, name));
}

static struct str content(struct house *h, struct head_file *f, size_t most)
{
    AUTO_BUF b;
    int64_t size;
    buf_init(&b, 1 << 20);
    assert_ok(head_file_load(f, most, &b, &size, &h->why));
    return arena_str(h->arena, buf_str(&b));
}

static void what_is_appended_is_there_and_its_end_can_be_read_alone(void **state)
{
    struct house *h = *state;
    AUTO_BUF none;
    int64_t size;
    buf_init(&none, 100);
    struct head_file *f = head_file_new(path_in(h, "heads"));
    assert_ok(head_file_load(f, 0, &none, &size, &h->why));
    assert_int_equal(size, -1);
    assert_ok(head_file_append(f, STR("one\n"), &h->why));
    assert_ok(head_file_append(f, STR("two\n"), &h->why));
    assert_true(str_is(content(h, f, 0), "one\ntwo\n"));
    assert_true(str_is(content(h, f, 4), "two\n"));
    head_file_free(f);
}

static void what_is_no_file_is_refused(void **state)
{
    struct house *h = *state;
    AUTO_BUF none;
    int64_t size;
    buf_init(&none, 100);
    struct head_file *f = head_file_new(h->room->directory);
    assert_int_equal(head_file_append(f, STR("x\n"), &h->why), ERR_FILE);
    assert_int_equal(head_file_load(f, 0, &none, &size, &h->why), ERR_FILE);
    head_file_free(f);
}

static void a_device_that_hangs_costs_two_seconds_once_and_is_told_at_once_from_then_on(void **state)
{
    struct house *h = *state;
    AUTO_BUF b;
    int64_t size;
    buf_init(&b, 1 << 20);
    struct head_file *f = head_file_new(path_in(h, "hangs"));
    assert_ok(head_file_append(f, STR("before\n"), &h->why));
    device_hangs(true);
    int64_t began = clock_mono().ms;
    assert_int_equal(head_file_append(f, STR("during\n"), &h->why), ERR_FILE);
    assert_non_null(strstr(h->why.subject, "hangs"));
    assert_in_range(clock_mono().ms - began, HEAD_FILE_PATIENCE_MS - 50, 3 * HEAD_FILE_PATIENCE_MS);
    assert_true(head_file_hangs(f));
    began = clock_mono().ms;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(head_file_load(f, 0, &b, &size, &h->why), ERR_FILE);
        assert_int_equal(head_file_append(f, STR("never\n"), &h->why), ERR_FILE);
    }
    assert_true(clock_mono().ms - began < HEAD_FILE_PATIENCE_MS);
    device_hangs(false);
    while (head_file_hangs(f))
        sched_yield();
    assert_true(str_is(content(h, f, 0), "before\nduring\n")); /* what hung went on by itself; what was refused did not */
    head_file_free(f);
}

static void an_end_does_not_wait_for_a_device_that_hangs(void **state)
{
    struct house *h = *state;
    struct head_file *f = head_file_new(path_in(h, "left"));
    device_hangs(true);
    assert_int_equal(head_file_append(f, STR("x\n"), &h->why), ERR_FILE);
    int64_t began = clock_mono().ms;
    head_file_free(f);
    assert_true(clock_mono().ms - began < 3 * HEAD_FILE_PATIENCE_MS);
    device_hangs(false);
    pthread_mutex_lock(&device); /* the thread that was left behind has gone on before the test's memory ends */
    while (inside)
        pthread_cond_wait(&device_moves, &device);
    pthread_mutex_unlock(&device);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, house_open, house_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_appended_is_there_and_its_end_can_be_read_alone),
        TEST(what_is_no_file_is_refused),
        TEST(a_device_that_hangs_costs_two_seconds_once_and_is_told_at_once_from_then_on),
        TEST(an_end_does_not_wait_for_a_device_that_hangs),
    };
    return cmocka_run_group_tests_name("access/head_file", tests, NULL, NULL);
}
