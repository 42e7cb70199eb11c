#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "call/circuit.h"

#include "base/str.h"

#define REST_MS 5000

static bool goes(struct circuits *c, uint64_t key, int64_t now, bool *probe)
{
    struct fault why;
    enum err e = circuit_enter(c, key, now, probe, &why);
    assert_true(e == ERR_NONE || e == ERR_CIRCUIT_OPEN);
    return !e;
}

/* Tries in order, 'x' failed; how many times that opened the circuit. */
static int tries(struct circuits *c, uint64_t key, const char *how)
{
    int opened = 0;
    for (; *how; how++)
        opened += circuit_tell(c, key, 0, *how == 'x', false);
    return opened;
}

static void a_circuit_opens_when_half_of_the_last_twenty_tries_failed(void **state)
{
    (void)state;
    static const struct { const char *how; bool opens; } rows[] = {
        { "xxxxxxxxx", false },
        { "xxxxxxxxxx", true },
        { ".x.x.x.x.x.x.x.x.x", false },
        { ".x.x.x.x.x.x.x.x.x.x", true },
        { "xxxxxxxxx..........." "x", false }, /* the first has left the window */
        { "xxxxxxxxx.........." "x", true },
        { "x..x..x..x..x..x..x..x..x..x..x..x..x..x..x..x..x..", false },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct circuits *c = circuits_new(REST_MS);
        bool probe;
        assert_int_equal(tries(c, 3, rows[i].how), rows[i].opens);
        assert_int_equal(goes(c, 3, 0, &probe), !rows[i].opens);
        assert_int_equal(circuits_counts(c, 0).open, rows[i].opens);
        assert_true(goes(c, 5, 0, &probe)); /* another's */
        circuits_free(c);
    }
}

static void after_a_rest_one_call_finds_out(void **state)
{
    (void)state;
    struct circuits *c = circuits_new(REST_MS);
    bool probe;
    tries(c, 3, "xxxxxxxxxx");
    assert_false(goes(c, 3, REST_MS - 1, &probe));
    assert_true(goes(c, 3, REST_MS, &probe));
    assert_true(probe);
    assert_false(goes(c, 3, REST_MS, &probe));          /* one only */
    circuit_tell(c, 3, REST_MS + 10, true, true);
    assert_false(goes(c, 3, 2 * REST_MS + 9, &probe));  /* another rest */
    assert_true(goes(c, 3, 2 * REST_MS + 10, &probe));
    assert_false(circuit_tell(c, 3, 2 * REST_MS + 20, false, false)); /* began before it opened: says nothing */
    assert_false(goes(c, 3, 2 * REST_MS + 20, &probe));
    circuit_tell(c, 3, 2 * REST_MS + 30, false, true);
    assert_true(goes(c, 3, 2 * REST_MS + 30, &probe));
    assert_false(probe);
    assert_int_equal(circuits_counts(c, 2 * REST_MS + 30).open, 0);
    assert_int_equal(circuits_counts(c, 0).opened, 1);
    circuits_free(c);
}

static void a_probe_that_never_says_how_it_went_is_followed_by_another(void **state)
{
    (void)state;
    struct circuits *c = circuits_new(REST_MS);
    bool probe;
    tries(c, 3, "xxxxxxxxxx");
    assert_true(goes(c, 3, REST_MS, &probe));
    assert_false(goes(c, 3, 2 * REST_MS - 1, &probe));
    assert_true(goes(c, 3, 2 * REST_MS, &probe));
    assert_true(probe);
    circuits_free(c);
}

static void without_a_rest_no_circuit_opens(void **state)
{
    (void)state;
    struct circuits *c = circuits_new(0);
    bool probe;
    assert_int_equal(tries(c, 3, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), 0);
    assert_true(goes(c, 3, 0, &probe));
    circuits_free(c);
}

static int retries(struct circuits *c, uint64_t key)
{
    int n = 0;
    while (n < 1000 && circuit_may_retry(c, key))
        n++;
    return n;
}

static void retries_are_a_fifth_of_the_calls_and_a_few(void **state)
{
    (void)state;
    struct circuits *c = circuits_new(0);
    circuit_tell(c, 3, 0, true, false);
    assert_int_equal(retries(c, 3), 10);
    for (int i = 0; i < 25; i++)
        circuit_tell(c, 3, 0, i % 2, false);
    assert_int_equal(retries(c, 3), 5);
    for (int i = 0; i < 10000; i++)
        circuit_tell(c, 3, 0, true, false);
    assert_int_equal(retries(c, 3), 10); /* what was not used is not kept for a storm */
    circuits_free(c);
}

static void an_open_circuit_keeps_its_place_and_a_closed_one_gives_way(void **state)
{
    (void)state;
    struct circuits *c = circuits_new(REST_MS);
    bool probe;
    uint64_t key = 3, same_place = key + 2 * 4096;
    tries(c, key, "xxxxxxxxxx");
    tries(c, same_place, "xxxxxxxxxx");
    assert_false(goes(c, key, 0, &probe));
    assert_true(goes(c, same_place, 0, &probe));
    tries(c, 7, "xxxxxxxxx");
    tries(c, 7 + 2 * 4096, "x");
    assert_int_equal(tries(c, 7, "x"), 0); /* forgotten meanwhile */
    circuits_free(c);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_circuit_opens_when_half_of_the_last_twenty_tries_failed),
        cmocka_unit_test(after_a_rest_one_call_finds_out),
        cmocka_unit_test(a_probe_that_never_says_how_it_went_is_followed_by_another),
        cmocka_unit_test(without_a_rest_no_circuit_opens),
        cmocka_unit_test(retries_are_a_fifth_of_the_calls_and_a_few),
        cmocka_unit_test(an_open_circuit_keeps_its_place_and_a_closed_one_gives_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
