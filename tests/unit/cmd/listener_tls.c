/* The listener's certificate follows its files. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/log.h"
#include "cmd/listener_tls.h"
#include "crypto/x509.h"

#define DAY_MS (24 * 60 * 60 * 1000LL)

struct place {
    char folder[64], certificate[96], key[96];
    struct x509_ca *ca;
    struct arena *a;
    struct listener_tls listener;
};

static void replace(const char *path, struct str text)
{
    char fresh[128];
    snprintf(fresh, sizeof fresh, "%s.new", path);
    FILE *f = fopen(fresh, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(fresh, path), 0);
}

/* The files become a certificate of that many days; which of the two is written says `what`. */
enum { CERTIFICATE = 1, KEY = 2 };
static void put(struct place *p, int days, int what)
{
    struct fault why;
    struct str pem;
    AUTO_SECRET key = SECRET_NONE;
    assert_int_equal(x509_issue(p->ca, p->a, STR("localhost"), days, &pem, &key, &why), ERR_NONE);
    if (what & CERTIFICATE)
        replace(p->certificate, pem);
    if (what & KEY)
        replace(p->key, secret_str(key));
}

static void assert_days(struct place *p, int days)
{
    int64_t left = tls_server_not_after(p->listener.context) - clock_wall();
    assert_true(left > days * DAY_MS - 60000 && left < days * DAY_MS + 60000);
}

static int setup(void **state)
{
    struct place *p = mem_zero(sizeof *p);
    struct fault why;
    str_copy(p->folder, sizeof p->folder, STR("/tmp/raccord-listener-XXXXXX"));
    assert_non_null(mkdtemp(p->folder));
    snprintf(p->certificate, sizeof p->certificate, "%s/certificate.pem", p->folder);
    snprintf(p->key, sizeof p->key, "%s/key.pem", p->folder);
    p->a = arena_new(4096);
    assert_int_equal(x509_self_ca(STR("Test root"), 100, &p->ca, &why), ERR_NONE);
    put(p, 10, CERTIFICATE | KEY);
    assert_int_equal(listener_tls_open(&p->listener, str_of(p->certificate), str_of(p->key), &why), ERR_NONE);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    listener_tls_close(&p->listener);
    x509_ca_free(p->ca);
    unlink(p->certificate);
    unlink(p->key);
    rmdir(p->folder);
    arena_free(p->a);
    free(p);
    return 0;
}

static void a_changed_certificate_is_served_after_the_next_look(void **state)
{
    struct place *p = *state;
    assert_days(p, 10);
    put(p, 20, CERTIFICATE | KEY);
    assert_days(p, 10);
    listener_tls_look(&p->listener);
    assert_days(p, 20);
}

static void half_of_a_new_pair_leaves_the_old_one_until_the_other_half_comes(void **state)
{
    struct place *p = *state;
    struct fault why;
    struct str pem;
    AUTO_SECRET key = SECRET_NONE;
    assert_int_equal(x509_issue(p->ca, p->a, STR("localhost"), 30, &pem, &key, &why), ERR_NONE);
    replace(p->certificate, pem);
    listener_tls_look(&p->listener);
    assert_days(p, 10);
    replace(p->key, secret_str(key));
    listener_tls_look(&p->listener);
    assert_days(p, 30);
}

static void a_file_that_is_gone_leaves_the_old_certificate(void **state)
{
    struct place *p = *state;
    unlink(p->key);
    listener_tls_look(&p->listener);
    assert_days(p, 10);
    listener_tls_reload(&p->listener);
    assert_days(p, 10);
}

static void a_hub_without_a_certificate_looks_at_nothing(void **state)
{
    (void)state;
    struct listener_tls plain = { 0 };
    struct fault why;
    assert_int_equal(listener_tls_open(&plain, STR(""), STR(""), &why), ERR_NONE);
    assert_null(plain.context);
    listener_tls_look(&plain);
    listener_tls_reload(&plain);
    listener_tls_close(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_changed_certificate_is_served_after_the_next_look, setup, teardown),
        cmocka_unit_test_setup_teardown(half_of_a_new_pair_leaves_the_old_one_until_the_other_half_comes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_is_gone_leaves_the_old_certificate, setup, teardown),
        cmocka_unit_test(a_hub_without_a_certificate_looks_at_nothing),
    };
    log_setup(LOG_ERROR, false);
    return cmocka_run_group_tests_name("cmd/listener_tls", tests, NULL, NULL);
}
