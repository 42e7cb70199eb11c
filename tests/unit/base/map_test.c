#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/map.h"

static struct str numbered(char out[24], unsigned i)
{
    int n = snprintf(out, 24, "key-%u", i);
    return (struct str){ out, (size_t)n };
}

static void what_was_put_is_found_and_nothing_else(void **state)
{
    (void)state;
    struct map *m = map_new();
    int one, two;
    assert_null(map_get(m, STR("a")));
    assert_null(map_put(m, STR("a"), &one));
    assert_null(map_put(m, STR(""), &two));
    assert_null(map_put(m, STR("a\0b"), &two));
    assert_ptr_equal(map_get(m, STR("a")), &one);
    assert_ptr_equal(map_get(m, STR("")), &two);
    assert_ptr_equal(map_get(m, STR("a\0b")), &two);
    assert_null(map_get(m, STR("A")));
    assert_int_equal(map_count(m), 3);
    map_free(m);
    map_free(NULL);
}

static void putting_again_hands_back_the_old_value(void **state)
{
    (void)state;
    struct map *m = map_new();
    int one, two;
    map_put(m, STR("a"), &one);
    assert_ptr_equal(map_put(m, STR("a"), &two), &one);
    assert_int_equal(map_count(m), 1);
    assert_ptr_equal(map_take(m, STR("a")), &two);
    assert_null(map_take(m, STR("a")));
    assert_null(map_get(m, STR("a")));
    assert_int_equal(map_count(m), 0);
    map_free(m);
}

static void a_key_is_copied(void **state)
{
    (void)state;
    struct map *m = map_new();
    int one;
    char key[] = "abc";
    map_put(m, str_of(key), &one);
    key[0] = 'x';
    assert_ptr_equal(map_get(m, STR("abc")), &one);
    map_free(m);
}

static void many_keys_come_and_go_without_loss(void **state)
{
    (void)state;
    enum { N = 20000 };
    static int values[N];
    struct map *m = map_new();
    char key[24];
    for (unsigned i = 0; i < N; i++)
        map_put(m, numbered(key, i), &values[i]);
    for (unsigned i = 0; i < N; i += 3)
        assert_ptr_equal(map_take(m, numbered(key, i)), &values[i]);
    for (unsigned i = 0; i < N; i++)
        assert_ptr_equal(map_get(m, numbered(key, i)), i % 3 ? &values[i] : NULL);
    for (unsigned i = 0; i < N; i += 3)
        assert_null(map_put(m, numbered(key, i), &values[i]));
    assert_int_equal(map_count(m), N);
    map_free(m);
}

static void a_map_that_stays_small_never_fills_with_what_left(void **state)
{
    (void)state;
    struct map *m = map_new();
    int one;
    char key[24];
    for (unsigned i = 0; i < 100000; i++) { /* would not end if taken slots were never given back */
        map_put(m, numbered(key, i), &one);
        assert_ptr_equal(map_take(m, numbered(key, i)), &one);
    }
    assert_int_equal(map_count(m), 0);
    assert_null(map_get(m, STR("x")));
    map_free(m);
}

static void a_walk_sees_every_key_once_and_may_take_it(void **state)
{
    (void)state;
    enum { N = 1000 };
    static unsigned char seen[N];
    struct map *m = map_new();
    char name[24];
    for (unsigned i = 0; i < N; i++)
        map_put(m, numbered(name, i), &seen[i]);
    size_t at = 0, count = 0;
    struct str key;
    void *value;
    while (map_next(m, &at, &key, &value)) {
        assert_ptr_equal(map_get(m, key), value);
        assert_int_equal((*(unsigned char *)value)++, 0);
        if (count++ % 2)
            assert_ptr_equal(map_take(m, key), value);
    }
    assert_int_equal(count, N);
    assert_int_equal(map_count(m), N / 2);
    map_free(m);
}

/* Another implementation's answers (CPython 3.11 hashes bytes with SipHash-1-3). */
static void the_hash_is_siphash_1_3(void **state)
{
    (void)state;
    assert_true(hash_sip13(0, 0, STR("a")) == 0x407448d2b89b1813u);
    assert_true(hash_sip13(0, 0, STR("abcdefg")) == 0x6db12aae9070f506u);
    assert_true(hash_sip13(0, 0, STR("abcdefgh")) == 0x3f7b849c0b8e35eau);
    assert_true(hash_sip13(0, 0, STR("abcdefghi")) == 0xf89b34a3d11eb6e5u);
    assert_true(hash_sip13(0, 0, STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")) == 0x562bd90f8eb2852fu);
    assert_true(hash_sip13(0xaed66ce184be2329u, 0xebe9bbf1f1499052u, STR("raccord")) == 0x3d0afa6fb801b74eu);
}

static void the_process_key_stays_and_is_not_zero(void **state)
{
    (void)state;
    assert_true(hash_keyed(STR("a")) == hash_keyed(STR("a")));
    assert_true(hash_keyed(STR("a")) != hash_keyed(STR("b")));
    assert_true(hash_keyed(STR("a")) != hash_sip13(0, 0, STR("a")));
    assert_true(hash_keyed(STR_NONE) == hash_keyed(STR("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_found_and_nothing_else),
        cmocka_unit_test(putting_again_hands_back_the_old_value),
        cmocka_unit_test(a_key_is_copied),
        cmocka_unit_test(many_keys_come_and_go_without_loss),
        cmocka_unit_test(a_map_that_stays_small_never_fills_with_what_left),
        cmocka_unit_test(a_walk_sees_every_key_once_and_may_take_it),
        cmocka_unit_test(the_hash_is_siphash_1_3),
        cmocka_unit_test(the_process_key_stays_and_is_not_zero),
    };
    return cmocka_run_group_tests_name("base/map", tests, NULL, NULL);
}
