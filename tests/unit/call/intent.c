/* Calls that wait until they are on the disk: each is told once, and who leaves is told nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "call/intent.h"
#include "store/room.h"

#define CALLS 200

struct call {
    struct intent intent;
    struct crowd *crowd;
    int told;
    bool durable;
};

struct crowd {
    struct room *room;
    char path[96];
    struct loop *loop;
    struct intents *intents;
    struct intent_lane *lane;
    struct call calls[CALLS];
    struct loop_job begin;
    int leaves_at, left;          /* when so many were told, the last one leaves; 0: it stays */
    int told;
};

static int setup(void **state)
{
    struct crowd *c = mem_zero(sizeof *c);
    struct fault why;
    c->room = room_new();
    if (room_open_store(c->room->directory, &c->room->store, &c->room->why))
        return -1;
    snprintf(c->path, sizeof c->path, "%s/calls", c->room->directory);
    if (loop_new(0, &c->loop, &why) ||
        intents_new(c->room->store, str_of(c->path), secret_from(STR("0123456789abcdef0123456789abcdef")), &c->intents, &why))
        return -1;
    c->lane = intents_lane(c->intents, c->loop);
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    struct crowd *c = *state;
    loop_free(c->loop);
    intents_free(c->intents);
    room_end(c->room);
    free(c);
    return 0;
}

static void back(struct intent *i, bool durable)
{
    struct call *call = list_entry(i, struct call, intent);
    struct crowd *c = call->crowd;
    call->told++;
    call->durable = durable;
    intent_over(c->lane, i);
    c->told++;
    if (c->told == c->leaves_at) {
        intent_leave(&c->calls[CALLS - 1].intent);
        c->left = 1;
    }
    if (c->told + c->left == CALLS)
        loop_stop(c->loop);
}

static void all_at_once(struct loop_job *job)
{
    struct crowd *c = list_entry(job, struct crowd, begin);
    for (int k = 0; k < CALLS; k++) {
        struct run run = {
            .id = "run_1", .connection = "con_1", .caller = "usr_1", .method = "GET", .host = "a.example", .path = "/"
        };
        c->calls[k].crowd = c;
        c->calls[k].intent.back = back;
        intent_write(c->lane, &c->calls[k].intent, &run);
    }
}

static void run_all(struct crowd *c)
{
    c->begin.do_it = all_at_once;
    loop_post(c->loop, &c->begin);
    loop_run(c->loop);
}

static int64_t calls_in_file(const struct crowd *c)
{
    char *line = NULL;
    size_t size = 0;
    int64_t calls = 0;
    FILE *f = fopen(c->path, "r");
    assert_non_null(f);
    while (getline(&line, &size, f) > 0)
        calls += !strncmp(line, "{\"run\":", 7);
    fclose(f);
    free(line);
    return calls;
}

static void test_each_of_a_big_group_is_told_once_that_it_is_on_the_disk(void **state)
{
    struct crowd *c = *state;
    run_all(c);
    for (int k = 0; k < CALLS; k++) {
        assert_int_equal(c->calls[k].told, 1);
        assert_true(c->calls[k].durable);
    }
    assert_int_equal(calls_in_file(c), CALLS);
}

static void test_a_call_that_leaves_while_its_group_comes_back_is_told_nothing(void **state)
{
    struct crowd *c = *state;
    c->leaves_at = 10;
    run_all(c);
    assert_int_equal(c->calls[CALLS - 1].told, 0);
    assert_int_equal(c->told, CALLS - 1);
    c->leaves_at = c->left = c->told = 0;
    run_all(c); /* and the next group is whole */
    assert_int_equal(c->told, CALLS);
    assert_int_equal(calls_in_file(c), 2 * CALLS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_of_a_big_group_is_told_once_that_it_is_on_the_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_call_that_leaves_while_its_group_comes_back_is_told_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
