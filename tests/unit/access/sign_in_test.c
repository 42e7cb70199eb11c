#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "access/guard.h"
#include "access/invitation.h"
#include "access/sign_in.h"
#include "crypto/password.h"
#include "crypto/totp.h"
#include "house.h"

#define RIGHT STR("correct horse battery")
#define WRONG STR("wrong horse battery")

static struct arena *kept;
static struct str right_hash;

static int hash_once(void **state)
{
    (void)state;
    password_cost(0, 0); /* the least that is taken */
    kept = arena_new(1024);
    return password_hash(kept, RIGHT, &right_hash, NULL);
}

static int drop_hash(void **state)
{
    (void)state;
    arena_free(kept);
    return 0;
}

static int with_passwords(void **state)
{
    house_open(state);
    struct house *h = *state;
    struct query *q = query_begin(h->db, "UPDATE principal SET password = $1 WHERE name <> 'bob@example.com'");
    query_text(q, right_hash);
    return query_end(q, &h->why);
}

static enum err try(struct house *h, const char *email, struct str password)
{
    struct sign_in in = { .email = str_of(email), .password = password };
    return sign_in(h->store, h->arena, &in, &h->why);
}

/* As if so many wrong passwords had been tried, without the time that trying takes. */
static void fail_before(struct house *h, const char *email, int times)
{
    assert_int_equal(try(h, email, WRONG), ERR_BAD_CREDENTIALS);
    for (int i = 1; i < times; i++)
        house_run(h,
                  "INSERT INTO sign_in_failure (name, at_ms) SELECT name, at_ms FROM sign_in_failure ORDER BY at_ms DESC LIMIT 1");
}

static void the_right_password_signs_in_whatever_the_letter_case_of_the_address(void **state)
{
    struct house *h = *state;
    struct sign_in in = { .email = STR("Ann@EXAMPLE.com"), .password = RIGHT };
    assert_ok(sign_in(h->store, h->arena, &in, &h->why));
    assert_true(str_eq(in.user, h->ann));
}

static void a_wrong_password_an_unknown_user_a_disabled_one_and_one_without_password_get_the_same_answer(void **state)
{
    struct house *h = *state;
    house_run(h, "UPDATE principal SET disabled = 1 WHERE name = 'admin@example.com'");
    const struct {
        const char *email;
        struct str password;
    } tries[] = {
        { "ann@example.com", WRONG },    { "nobody@example.com", RIGHT }, { "admin@example.com", RIGHT },
        { "bob@example.com", RIGHT },    { "no address", RIGHT },         { "", STR("") },
    };
    char first[200], said[200];
    for (size_t i = 0; i < COUNT(tries); i++) {
        assert_int_equal(try(h, tries[i].email, tries[i].password), ERR_BAD_CREDENTIALS);
        fault_say(&h->why, LANG_EN, i ? said : first, sizeof said);
        if (i)
            assert_string_equal(said, first);
    }
}

static int64_t cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t cost(struct house *h, const char *email)
{
    int64_t start = cpu_us();
    assert_int_equal(try(h, email, WRONG), ERR_BAD_CREDENTIALS);
    return cpu_us() - start;
}

static void an_unknown_user_costs_what_a_known_one_does(void **state)
{
    struct house *h = *state;
    static const char *const unknown[] = { "nobody@example.com", "bob@example.com", "no address" };
    int64_t known = cost(h, "ann@example.com");
    for (size_t i = 0; i < COUNT(unknown); i++) {
        int64_t other = cost(h, unknown[i]);
        assert_in_range(other, known / 2, known * 2);
    }
}

static void the_sixth_attempt_within_a_quarter_of_an_hour_is_refused_even_with_the_right_password(void **state)
{
    struct house *h = *state;
    static const char *const emails[] = { "ann@example.com", "nobody@example.com", "no address" };
    for (size_t i = 0; i < COUNT(emails); i++) {
        for (int n = 0; i == 0 && n < 5; n++)
            assert_int_equal(try(h, emails[i], WRONG), ERR_BAD_CREDENTIALS);
        if (i)
            fail_before(h, emails[i], 5);
        assert_int_equal(try(h, emails[i], RIGHT), ERR_RATE_LIMITED);
        assert_string_equal(h->why.subject, "15 min");
    }
    /* one account's failures are not another's */
    assert_ok(try(h, "owner@example.com", RIGHT));
}

static void a_refused_attempt_costs_no_hashing_and_does_not_prolong_the_wait(void **state)
{
    struct house *h = *state;
    fail_before(h, "ann@example.com", 5);
    int64_t start = cpu_us();
    assert_int_equal(try(h, "ANN@example.com", WRONG), ERR_RATE_LIMITED);
    assert_true(cpu_us() - start < 20000);
    assert_int_equal(house_number(h, "SELECT count(*) FROM sign_in_failure"), 5);
}

static void the_wait_shrinks_and_ends_when_the_oldest_of_five_failures_is_a_quarter_of_an_hour_old(void **state)
{
    struct house *h = *state;
    fail_before(h, "ann@example.com", 5);
    house_run(h, "UPDATE sign_in_failure SET at_ms = at_ms - 600000");
    assert_int_equal(try(h, "ann@example.com", RIGHT), ERR_RATE_LIMITED);
    assert_string_equal(h->why.subject, "5 min");
    house_run(h, "UPDATE sign_in_failure SET at_ms = at_ms - 270000");
    assert_int_equal(try(h, "ann@example.com", RIGHT), ERR_RATE_LIMITED);
    assert_non_null(strstr(h->why.subject, " s"));
    house_run(h, "UPDATE sign_in_failure SET at_ms = at_ms - 30000 WHERE (at_ms, attempt) ="
                 " (SELECT at_ms, attempt FROM sign_in_failure ORDER BY at_ms, attempt LIMIT 1)");
    assert_ok(try(h, "ann@example.com", RIGHT));
}

static void each_lock_is_longer_than_the_last_until_the_right_password_or_an_administrator_ends_it(void **state)
{
    struct house *h = *state;
    static const char *const waits[] = { "15 min", "30 min", "60 min", "60 min" };
    for (size_t i = 0; i < COUNT(waits); i++) {
        fail_before(h, "ann@example.com", 4);
        assert_int_equal(try(h, "ann@example.com", WRONG), ERR_BAD_CREDENTIALS);
        assert_int_equal(try(h, "ann@example.com", RIGHT), ERR_RATE_LIMITED);
        assert_string_equal(h->why.subject, waits[i]);
        house_run(h, "UPDATE sign_in_lock SET until_ms = until_ms - 3600000");
    }
    wall_ms until;
    fail_before(h, "ann@example.com", 4);
    assert_int_equal(try(h, "ann@example.com", WRONG), ERR_BAD_CREDENTIALS);
    assert_ok(guard_locked_until(h->db, STR("ann@example.com"), &until, &h->why));
    assert_true(until > clock_wall());
    assert_ok(guard_unlock(h->db, STR("ann@example.com"), &h->why));
    assert_ok(guard_locked_until(h->db, STR("ann@example.com"), &until, &h->why));
    assert_int_equal(until, 0);
    assert_ok(try(h, "ann@example.com", RIGHT));
    assert_int_equal(house_number(h, "SELECT count(*) FROM sign_in_lock"), 0);
}

static enum err try_from(struct house *h, const char *address, const char *email, struct str password)
{
    struct sign_in in = { .email = str_of(email), .password = password, .address = str_of(address) };
    return sign_in(h->store, h->arena, &in, &h->why);
}

static void one_address_has_twenty_failures_a_minute_whoever_it_tries(void **state)
{
    struct house *h = *state;
    assert_int_equal(try_from(h, "192.0.2.1", "a@example.com", WRONG), ERR_BAD_CREDENTIALS);
    house_run(h, "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 19) INSERT INTO sign_in_failure (name,"
                 " at_ms, attempt) SELECT name, at_ms, 'att_' || i FROM n, sign_in_failure");
    assert_int_equal(try_from(h, "192.0.2.1", "ann@example.com", RIGHT), ERR_RATE_LIMITED);
    assert_ok(try_from(h, "192.0.2.2", "ann@example.com", RIGHT));
    house_run(h, "UPDATE sign_in_failure SET at_ms = at_ms - 60000");
    assert_ok(try_from(h, "192.0.2.1", "ann@example.com", RIGHT));
}

/* ---- second factor ---- */

static unsigned char kept_secret[TOTP_SECRET];

static enum err put(void *context, struct db *db, struct str owner, struct secret value, struct fault *why)
{
    (void)context, (void)db, (void)owner, (void)why;
    memcpy(kept_secret, value.p, sizeof kept_secret);
    return ERR_NONE;
}

static enum err get(void *context, struct db *db, struct str owner, struct secret *value, struct fault *why)
{
    (void)context, (void)db, (void)owner, (void)why;
    *value = secret_from((struct str){ (const char *)kept_secret, sizeof kept_secret });
    return ERR_NONE;
}

static enum err forget(void *context, struct db *db, struct str owner, struct fault *why)
{
    (void)context, (void)db, (void)owner, (void)why;
    memset(kept_secret, 0, sizeof kept_secret);
    return ERR_NONE;
}

static const struct second_factor_keeper keeper = { NULL, put, get, forget };

static struct str code_at(struct house *h, int steps)
{
    struct str key = { (const char *)kept_secret, sizeof kept_secret };
    return str_fmt(h->arena, "%06u", (unsigned)hotp(key, (uint64_t)(totp_step(clock_wall()) + steps)));
}

static enum err try_code(struct house *h, struct str password, struct str code)
{
    struct sign_in in = { .email = STR("ann@example.com"), .password = password, .code = code, .keeper = &keeper };
    return sign_in(h->store, h->arena, &in, &h->why);
}

static void set_up_second_factor(struct house *h)
{
    AUTO_SECRET secret = SECRET_NONE;
    assert_ok(second_factor_begin(h->db, &keeper, h->ann, &secret, &h->why));
    assert_ok(try(h, "ann@example.com", RIGHT)); /* not asked for yet */
    assert_int_equal(second_factor_confirm(h->db, &keeper, h->ann, STR("000000"), &h->why), ERR_SECOND_FACTOR_INVALID);
    assert_ok(second_factor_confirm(h->db, &keeper, h->ann, code_at(h, -1), &h->why));
}

static void a_code_opens_once_and_only_with_the_password(void **state)
{
    struct house *h = *state;
    set_up_second_factor(h);
    assert_int_equal(try_code(h, RIGHT, STR("")), ERR_SECOND_FACTOR_REQUIRED);
    assert_int_equal(house_number(h, "SELECT count(*) FROM sign_in_failure"), 0);
    assert_int_equal(try_code(h, WRONG, STR("")), ERR_BAD_CREDENTIALS);
    struct str code = code_at(h, 0);
    assert_int_equal(try_code(h, WRONG, code), ERR_BAD_CREDENTIALS); /* and is not used up by that */
    assert_ok(try_code(h, RIGHT, code));
    assert_int_equal(try_code(h, RIGHT, code), ERR_SECOND_FACTOR_INVALID);
    assert_int_equal(try_code(h, RIGHT, code_at(h, -1)), ERR_SECOND_FACTOR_INVALID); /* an older one neither */
}

static void codes_are_guessed_at_no_more_often_than_passwords(void **state)
{
    struct house *h = *state;
    set_up_second_factor(h);
    for (int i = 0; i < 5; i++)
        assert_int_equal(try_code(h, RIGHT, STR("000000")), ERR_SECOND_FACTOR_INVALID);
    assert_int_equal(try_code(h, RIGHT, code_at(h, 1)), ERR_RATE_LIMITED);
}

static void a_recovery_code_stands_in_for_the_app_once(void **state)
{
    struct house *h = *state;
    char codes[RECOVERY_CODES][RECOVERY_TEXT];
    struct second_factor_state s;
    set_up_second_factor(h);
    assert_ok(second_factor_recovery(h->db, h->ann, codes, &h->why));
    assert_int_equal(house_number(h, "SELECT count(*) FROM recovery_code WHERE length(hash) = 64"), 10);
    assert_ok(try_code(h, RIGHT, str_of(codes[3])));
    assert_int_equal(try_code(h, RIGHT, str_of(codes[3])), ERR_SECOND_FACTOR_INVALID);
    assert_ok(second_factor_state(h->db, h->ann, &s, &h->why));
    assert_true(s.enabled && s.recovery_codes == 9);
    assert_ok(second_factor_remove(h->db, &keeper, h->ann, &h->why));
    assert_ok(try(h, "ann@example.com", RIGHT));
}

/* ---- links, and hashes of another day ---- */

static void a_link_sets_the_password_once_and_not_after_its_end(void **state)
{
    struct house *h = *state;
    char code[INVITATION_CODE], newer[INVITATION_CODE];
    wall_ms until;
    struct str user;
    assert_ok(invitation_make(h->db, h->bob, h->admin, INVITATION_MS, code, &until, &h->why));
    assert_ok(invitation_make(h->db, h->bob, h->admin, INVITATION_MS, newer, &until, &h->why));
    assert_int_equal(invitation_find(h->db, h->arena, str_of(code), &user, &h->why), ERR_INVITATION_INVALID);
    house_run(h, "UPDATE invitation SET expires_ms = expires_ms - 700000000");
    assert_int_equal(invitation_find(h->db, h->arena, str_of(newer), &user, &h->why), ERR_INVITATION_INVALID);
    house_run(h, "UPDATE invitation SET expires_ms = expires_ms + 700000000");
    assert_ok(invitation_accept(h->db, h->arena, str_of(newer), right_hash, STR("fr"), &user, &h->why));
    assert_true(str_eq(user, h->bob));
    assert_ok(try(h, "bob@example.com", RIGHT));
    assert_int_equal(invitation_accept(h->db, h->arena, str_of(newer), right_hash, STR(""), &user, &h->why),
                     ERR_INVITATION_INVALID);
}

static void a_hash_of_another_cost_is_made_anew_at_sign_in(void **state)
{
    struct house *h = *state;
    password_cost(PASSWORD_MEMORY_LEAST, 3);
    assert_ok(try(h, "ann@example.com", RIGHT));
    assert_int_equal(house_number(h, "SELECT count(*) FROM principal WHERE password LIKE '%t=3%' AND name = 'ann@example.com'"), 1);
    password_cost(0, 0);
    assert_ok(try(h, "ann@example.com", RIGHT));
}

static void failures_survive_a_restart(void **state)
{
    struct house *h = *state;
    fail_before(h, "ann@example.com", 5);
    store_close(h->room->store);
    h->room->store = NULL;
    assert_ok(room_open_store(h->room->directory, &h->room->store, &h->why));
    h->store = h->room->store;
    assert_int_equal(try(h, "ann@example.com", RIGHT), ERR_RATE_LIMITED);
}

static void success_clears_the_failures_of_that_account_only(void **state)
{
    struct house *h = *state;
    fail_before(h, "ann@example.com", 4);
    fail_before(h, "admin@example.com", 1);
    assert_ok(try(h, "ann@example.com", RIGHT));
    assert_int_equal(house_number(h, "SELECT count(*) FROM sign_in_failure"), 1);
}

static void failures_of_before_are_pruned_with_the_next_attempt(void **state)
{
    struct house *h = *state;
    fail_before(h, "nobody@example.com", 5);
    house_run(h, "UPDATE sign_in_failure SET at_ms = at_ms - 900000");
    assert_int_equal(try(h, "ann@example.com", WRONG), ERR_BAD_CREDENTIALS);
    assert_int_equal(house_number(h, "SELECT count(*) FROM sign_in_failure"), 1);
}

static void a_clock_that_was_set_back_locks_nobody_out(void **state)
{
    struct house *h = *state;
    fail_before(h, "ann@example.com", 5);
    house_run(h, "UPDATE sign_in_failure SET at_ms = at_ms + 86400000");
    assert_ok(try(h, "ann@example.com", RIGHT));
}

static void what_was_typed_as_an_address_is_not_in_the_database(void **state)
{
    struct house *h = *state;
    assert_int_equal(try(h, "my-password-by-mistake", WRONG), ERR_BAD_CREDENTIALS);
    assert_int_equal(house_number(h, "SELECT count(*) FROM sign_in_failure WHERE length(name) = 64 AND name NOT LIKE '%mistake%'"),
                     1);
}

static void nobody_signs_in_and_no_guess_is_answered_when_a_failure_could_not_be_written_down(void **state)
{
    struct house *h = *state;
    house_run(h, db_is_postgres(h->db)
                     ? "ALTER TABLE sign_in_failure ADD CHECK (at_ms < 0) NOT VALID"
                     : "CREATE TRIGGER full BEFORE INSERT ON sign_in_failure BEGIN SELECT RAISE(ABORT, 'disk full'); END");
    int64_t start = cpu_us();
    assert_int_equal(try(h, "ann@example.com", RIGHT), ERR_STORE);
    assert_int_equal(try(h, "ann@example.com", WRONG), ERR_STORE);
    assert_true(cpu_us() - start < 40000); /* the verifier was not reached */
    house_run(h, "DROP TABLE sign_in_failure");
    assert_int_equal(try(h, "ann@example.com", RIGHT), ERR_STORE);
}

struct attempt {
    struct house *house;
    struct str password;
    enum err err;
};

static void *attempt(void *context)
{
    struct attempt *t = context;
    struct arena *a = arena_new(1024);
    struct fault why;
    struct sign_in in = { .email = STR("ann@example.com"), .password = t->password };
    t->err = sign_in(t->house->store, a, &in, &why);
    arena_free(a);
    return NULL;
}

static int attempts_that(struct house *h, struct str password, enum err err)
{
    enum { THREADS = 8 };
    struct attempt attempts[THREADS];
    pthread_t threads[THREADS];
    int n = 0;
    for (int i = 0; i < THREADS; i++) {
        attempts[i] = (struct attempt){ h, password, ERR_INTERNAL };
        assert_int_equal(pthread_create(&threads[i], NULL, attempt, &attempts[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        n += attempts[i].err == err;
    }
    return n;
}

static void right_passwords_at_the_same_moment_do_not_count_against_each_other(void **state)
{
    assert_int_equal(attempts_that(*state, RIGHT, ERR_NONE), 8);
}

static void guesses_at_the_same_moment_do_not_slip_past_the_limit(void **state)
{
    assert_int_equal(attempts_that(*state, WRONG, ERR_BAD_CREDENTIALS), 5);
    assert_int_equal(attempts_that(*state, WRONG, ERR_RATE_LIMITED), 8);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, with_passwords, house_close)
    const struct CMUnitTest tests[] = {
        T(the_right_password_signs_in_whatever_the_letter_case_of_the_address),
        T(a_wrong_password_an_unknown_user_a_disabled_one_and_one_without_password_get_the_same_answer),
        T(an_unknown_user_costs_what_a_known_one_does),
        T(the_sixth_attempt_within_a_quarter_of_an_hour_is_refused_even_with_the_right_password),
        T(a_refused_attempt_costs_no_hashing_and_does_not_prolong_the_wait),
        T(the_wait_shrinks_and_ends_when_the_oldest_of_five_failures_is_a_quarter_of_an_hour_old),
        T(failures_survive_a_restart),
        T(success_clears_the_failures_of_that_account_only),
        T(failures_of_before_are_pruned_with_the_next_attempt),
        T(a_clock_that_was_set_back_locks_nobody_out),
        T(what_was_typed_as_an_address_is_not_in_the_database),
        T(nobody_signs_in_and_no_guess_is_answered_when_a_failure_could_not_be_written_down),
        T(right_passwords_at_the_same_moment_do_not_count_against_each_other),
        T(each_lock_is_longer_than_the_last_until_the_right_password_or_an_administrator_ends_it),
        T(one_address_has_twenty_failures_a_minute_whoever_it_tries),
        T(a_code_opens_once_and_only_with_the_password),
        T(codes_are_guessed_at_no_more_often_than_passwords),
        T(a_recovery_code_stands_in_for_the_app_once),
        T(a_link_sets_the_password_once_and_not_after_its_end),
        T(a_hash_of_another_cost_is_made_anew_at_sign_in),
        T(guesses_at_the_same_moment_do_not_slip_past_the_limit),
    };
    return cmocka_run_group_tests_name("access/sign_in", tests, hash_once, drop_hash);
}
