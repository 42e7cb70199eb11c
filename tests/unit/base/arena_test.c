#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"

#ifdef __SANITIZE_ADDRESS__
int __asan_address_is_poisoned(void const volatile *p);
#endif

static void what_is_handed_out_is_aligned_zeroed_and_apart(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(64);
    unsigned char *before = NULL;
    for (size_t n = 0; n < 3000; n += 7) {
        unsigned char *p = arena_zero(a, n + 1);
        assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
        for (size_t i = 0; i <= n; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, n + 1);
        assert_true(p != before);
        before = p;
    }
}

static void an_array_is_zeroed_after_the_memory_was_used_before(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(4096);
    struct arena_mark mark = arena_mark(a);
    memset(arena_alloc(a, 1000), 0xff, 1000);
    arena_rewind(a, mark);
    uint64_t *p = arena_array(a, 100, sizeof *p);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(p[i], 0);
}

static void texts_end_in_a_nul_that_is_not_counted(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(64);
    struct str s = arena_str(a, STR("abc"));
    assert_int_equal(s.n, 3);
    assert_string_equal(s.p, "abc");
    assert_string_equal(arena_cstr(a, STR_NONE), "");
    s = arena_join(a, STR("ab"), STR("cd"));
    assert_int_equal(s.n, 4);
    assert_string_equal(s.p, "abcd");
    s = str_fmt(a, "%d-%s", 12, "x");
    assert_int_equal(s.n, 4);
    assert_string_equal(s.p, "12-x");
    assert_non_null(str_fmt(a, "%s", "").p);
}

static void a_long_format_is_not_cut(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(64);
    struct str s = str_fmt(a, "%*d", 100000, 5);
    assert_int_equal(s.n, 100000);
    assert_int_equal(s.p[99999], '5');
}

static int order[4], ended;
static void note_end(void *what) { order[ended++] = *(int *)what; }

static void ends_run_newest_first_and_survive_a_rewind(void **state)
{
    (void)state;
    int one = 1, two = 2, three = 3;
    struct arena *a = arena_new(64);
    ended = 0;
    arena_defer(a, note_end, &one);
    struct arena_mark mark = arena_mark(a);
    arena_alloc(a, 5000);
    arena_defer(a, note_end, &two);
    arena_rewind(a, mark);
    arena_defer(a, note_end, &three);
    assert_int_equal(ended, 0);
    arena_free(a);
    assert_int_equal(ended, 3);
    assert_int_equal(order[0], 3);
    assert_int_equal(order[1], 2);
    assert_int_equal(order[2], 1);
    arena_free(NULL);
}

static void a_rewind_gives_the_same_place_again(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(64);
    char *kept = arena_cstr(a, STR("kept"));
    struct arena_mark mark = arena_mark(a);
    char *first = arena_alloc(a, 32);
    for (int i = 0; i < 20; i++)
        arena_alloc(a, 10000);
    arena_rewind(a, mark);
    assert_ptr_equal(arena_alloc(a, 32), first);
    assert_string_equal(kept, "kept");
}

static void a_reset_forgets_everything_but_stays_usable(void **state)
{
    (void)state;
    int one = 1;
    AUTO_ARENA a = arena_new(64);
    ended = 0;
    arena_defer(a, note_end, &one);
    for (int i = 0; i < 20; i++)
        arena_alloc(a, 10000);
    assert_true(arena_used(a) >= 200000);
    arena_reset(a);
    assert_int_equal(ended, 1);
    assert_int_equal(arena_used(a), 0);
    assert_string_equal(arena_cstr(a, STR("again")), "again");
}

static void memory_given_back_cannot_be_used_unseen(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    AUTO_ARENA a = arena_new(4096);
    struct arena_mark mark = arena_mark(a);
    char *p = arena_alloc(a, 100);
    assert_false(__asan_address_is_poisoned(p + 99));
    assert_true(__asan_address_is_poisoned(p + 100));
    arena_rewind(a, mark);
    assert_true(__asan_address_is_poisoned(p));
    p = arena_alloc(a, 8);
    arena_reset(a);
    assert_true(__asan_address_is_poisoned(p));
#else
    print_message("left out: needs the address sanitizer\n");
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_handed_out_is_aligned_zeroed_and_apart),
        cmocka_unit_test(an_array_is_zeroed_after_the_memory_was_used_before),
        cmocka_unit_test(texts_end_in_a_nul_that_is_not_counted),
        cmocka_unit_test(a_long_format_is_not_cut),
        cmocka_unit_test(ends_run_newest_first_and_survive_a_rewind),
        cmocka_unit_test(a_rewind_gives_the_same_place_again),
        cmocka_unit_test(a_reset_forgets_everything_but_stays_usable),
        cmocka_unit_test(memory_given_back_cannot_be_used_unseen),
    };
    return cmocka_run_group_tests_name("base/arena", tests, NULL, NULL);
}
