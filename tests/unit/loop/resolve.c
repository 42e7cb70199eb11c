#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>

#include "loop/resolve.h"

/* The system's resolver as these tests want it, in the place of the C library's: it counts, and answers by the name. Runs on
 * libuv's threads. "<n>.test" has n addresses; "gate.test" waits until the gate is opened; others do not exist. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int lookups;
static bool gate_open;

struct one {
    struct addrinfo info;
    struct sockaddr_storage at;
};

static struct addrinfo *answer_of(int n)
{
    struct addrinfo *list = NULL;
    for (int i = n; i > 0; i--) {
        struct one *o = calloc(1, sizeof *o);
        struct sockaddr_in *in = (struct sockaddr_in *)&o->at;
        in->sin_family = AF_INET;
        in->sin_addr.s_addr = htonl(0x0a000000u + (unsigned)i);
        o->info =
            (struct addrinfo){ .ai_family = AF_INET, .ai_addrlen = sizeof *in, .ai_addr = (struct sockaddr *)in, .ai_next = list };
        list = &o->info;
    }
    return list;
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    (void)service, (void)hints;
    pthread_mutex_lock(&lock);
    lookups++;
    while (!strcmp(host, "gate.test") && !gate_open)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    int n = !strcmp(host, "gate.test") ? 1 : (int)strtol(host, NULL, 10);
    *out = answer_of(n);
    return n ? 0 : EAI_NONAME;
}

void freeaddrinfo(struct addrinfo *list)
{
    while (list) {
        struct addrinfo *next = list->ai_next;
        free(list_entry(list, struct one, info));
        list = next;
    }
}

static int counted(void)
{
    pthread_mutex_lock(&lock);
    int n = lookups;
    pthread_mutex_unlock(&lock);
    return n;
}

static void open_gate(bool open)
{
    pthread_mutex_lock(&lock);
    gate_open = open;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* ---- who asks ---- */

struct asking {
    struct resolve resolve;
    struct house *house;
    int calls;
    size_t n;
    unsigned first;
    const char *problem;
    void (*then)(struct asking *a);
};

struct house {
    struct loop *loop;
    struct resolver *resolver;
    int waiting;
    struct asking a[4];
};

static void done(struct resolve *r, const struct sockaddr_storage *at, size_t n, const char *problem)
{
    struct asking *a = list_entry(r, struct asking, resolve);
    a->calls++;
    a->n = n;
    a->problem = problem;
    a->first = n ? ntohl(((const struct sockaddr_in *)at)->sin_addr.s_addr) : 0;
    a->house->waiting--;
    if (a->then)
        a->then(a);
    if (!a->house->waiting)
        loop_stop(a->house->loop);
}

static void ask(struct house *h, int i, const char *host)
{
    h->a[i].house = h;
    h->a[i].resolve.done = done;
    h->waiting++;
    resolve(h->resolver, host, &h->a[i].resolve);
}

static void run(struct house *h)
{
    if (h->waiting)
        loop_run(h->loop);
}

static int setup(void **state)
{
    struct house *h = calloc(1, sizeof *h);
    struct fault why;
    if (loop_new(0, &h->loop, &why))
        return -1;
    h->resolver = resolver_new(h->loop);
    lookups = 0;
    gate_open = false;
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    struct house *h = *state;
    open_gate(true);
    resolver_free(h->resolver);
    loop_free(h->loop);
    free(h);
    return 0;
}

static void a_name_gets_its_addresses_and_a_second_question_is_answered_from_the_cache(void **state)
{
    struct house *h = *state;
    ask(h, 0, "2.test");
    run(h);
    assert_int_equal(h->a[0].n, 2);
    assert_int_equal(h->a[0].first, 0x0a000001);

    ask(h, 1, "2.test");
    assert_int_equal(h->a[1].calls, 1); /* at once */
    assert_int_equal(h->a[1].n, 2);
    assert_int_equal(counted(), 1);
}

static void those_who_ask_for_one_name_at_the_same_time_share_one_look_up(void **state)
{
    struct house *h = *state;
    ask(h, 0, "gate.test");
    ask(h, 1, "gate.test");
    ask(h, 2, "gate.test");
    open_gate(true);
    run(h);
    for (int i = 0; i < 3; i++)
        assert_int_equal(h->a[i].calls, 1);
    assert_int_equal(counted(), 1);
}

static void a_failure_is_told_and_not_remembered(void **state)
{
    struct house *h = *state;
    ask(h, 0, "none.test");
    run(h);
    assert_int_equal(h->a[0].n, 0);
    assert_non_null(h->a[0].problem);
    ask(h, 0, "none.test");
    run(h);
    assert_int_equal(h->a[0].calls, 2);
    assert_int_equal(counted(), 2);
}

static void sixty_four_addresses_are_taken_and_sixty_five_refused(void **state)
{
    struct house *h = *state;
    ask(h, 0, "64.test");
    ask(h, 1, "65.test");
    run(h);
    assert_int_equal(h->a[0].n, 64);
    assert_int_equal(h->a[1].n, 0);
    assert_non_null(h->a[1].problem);
}

static void who_cancels_is_not_called_and_the_others_are(void **state)
{
    struct house *h = *state;
    ask(h, 0, "gate.test");
    ask(h, 1, "gate.test");
    resolve_cancel(&h->a[0].resolve);
    resolve_cancel(&h->a[0].resolve); /* twice is fine */
    h->waiting--;
    open_gate(true);
    run(h);
    assert_int_equal(h->a[0].calls, 0);
    assert_int_equal(h->a[1].calls, 1);
}

static void cancel_second(struct asking *a) { resolve_cancel(&a->house->a[1].resolve), a->house->waiting--; }

static void a_callback_may_cancel_the_next_in_line(void **state)
{
    struct house *h = *state;
    h->a[0].then = cancel_second;
    ask(h, 0, "gate.test");
    ask(h, 1, "gate.test");
    ask(h, 2, "gate.test");
    open_gate(true);
    run(h);
    assert_int_equal(h->a[0].calls, 1);
    assert_int_equal(h->a[1].calls, 0);
    assert_int_equal(h->a[2].calls, 1);
}

static void ask_again(struct asking *a)
{
    a->then = NULL;
    ask(a->house, 0, "none.test");
}

static void a_callback_may_ask_for_the_same_name_again(void **state)
{
    struct house *h = *state;
    h->a[0].then = ask_again;
    ask(h, 0, "none.test");
    run(h);
    assert_int_equal(h->a[0].calls, 2);
    assert_int_equal(counted(), 2);
}

static void a_resolver_that_ends_calls_nobody_and_may_still_be_cancelled(void **state)
{
    struct house *h = *state;
    ask(h, 0, "gate.test");
    resolver_free(h->resolver);
    h->resolver = NULL;
    open_gate(true);
    loop_free(h->loop); /* the look-up comes back here */
    h->loop = NULL;
    resolve_cancel(&h->a[0].resolve);
    assert_int_equal(h->a[0].calls, 0);
}

/* The clock, moved at will. */
static int64_t skew_ms;
struct mono __real_clock_mono(void);
struct mono __wrap_clock_mono(void);
struct mono __wrap_clock_mono(void) { return (struct mono){ __real_clock_mono().ms + skew_ms }; }

static void an_answer_is_looked_up_again_when_it_is_too_old(void **state)
{
    struct house *h = *state;
    ask(h, 0, "1.test");
    run(h);
    skew_ms += RESOLVE_KEEP_MS;
    ask(h, 1, "none.test"); /* a round: the loop looks at the clock */
    run(h);
    ask(h, 2, "1.test");
    assert_int_equal(h->a[2].calls, 0);
    run(h);
    assert_int_equal(h->a[2].calls, 1);
    assert_int_equal(counted(), 3);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_name_gets_its_addresses_and_a_second_question_is_answered_from_the_cache),
        CASE(those_who_ask_for_one_name_at_the_same_time_share_one_look_up),
        CASE(a_failure_is_told_and_not_remembered),
        CASE(sixty_four_addresses_are_taken_and_sixty_five_refused),
        CASE(who_cancels_is_not_called_and_the_others_are),
        CASE(a_callback_may_cancel_the_next_in_line),
        CASE(a_callback_may_ask_for_the_same_name_again),
        CASE(a_resolver_that_ends_calls_nobody_and_may_still_be_cancelled),
        CASE(an_answer_is_looked_up_again_when_it_is_too_old),
    };
    return cmocka_run_group_tests_name("loop/resolve", tests, NULL, NULL);
}
