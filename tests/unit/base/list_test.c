#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/list.h"

struct item {
    int number;
    struct list node;
};

static int number(struct list *node) { return list_entry(node, struct item, node)->number; }

static void items_come_out_in_the_order_they_were_queued(void **state)
{
    (void)state;
    struct list head;
    struct item items[3] = { { .number = 1 }, { .number = 2 }, { .number = 3 } };
    list_init(&head);
    assert_true(list_empty(&head));
    list_push_back(&head, &items[1].node);
    list_push_back(&head, &items[2].node);
    list_push_front(&head, &items[0].node);
    int wanted = 1;
    list_each (n, &head)
        assert_int_equal(number(n), wanted++);
    assert_int_equal(wanted, 4);
    for (int i = 1; i <= 3; i++)
        assert_int_equal(number(list_pop(&head)), i);
    assert_null(list_pop(&head));
    assert_true(list_empty(&head));
}

static void an_item_may_leave_twice(void **state)
{
    (void)state;
    struct list head;
    struct item one = { .number = 1 }, two = { .number = 2 };
    list_init(&head);
    list_push_back(&head, &one.node);
    list_push_back(&head, &two.node);
    list_remove(&one.node);
    list_remove(&one.node);
    assert_true(list_empty(&one.node));
    assert_int_equal(number(list_pop(&head)), 2);
}

static void a_walk_may_remove_what_it_stands_on(void **state)
{
    (void)state;
    struct list head;
    struct item items[6];
    list_init(&head);
    for (int i = 0; i < 6; i++) {
        items[i].number = i;
        list_push_back(&head, &items[i].node);
    }
    int seen = 0;
    list_each_safe (n, &head) {
        seen++;
        if (number(n) % 2)
            list_remove(n);
    }
    assert_int_equal(seen, 6);
    for (int i = 0; i < 6; i += 2)
        assert_int_equal(number(list_pop(&head)), i);
    assert_true(list_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_out_in_the_order_they_were_queued),
        cmocka_unit_test(an_item_may_leave_twice),
        cmocka_unit_test(a_walk_may_remove_what_it_stands_on),
    };
    return cmocka_run_group_tests_name("base/list", tests, NULL, NULL);
}
