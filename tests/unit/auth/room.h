/* What the tests of auth/ share: a method, its options and fields as JSON text, and secrets. */
#ifndef TEST_AUTH_ROOM_H
#define TEST_AUTH_ROOM_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>

#include "auth/method.h"

struct trial {
    struct arena *a;
    const struct auth_method *method;
    struct auth_input in;
    struct auth_secret secrets[20];
    struct injections out;
    struct fault why;
};

static inline const struct json *trial_json(struct trial *t, const char *text)
{
    struct json *v = NULL;
    if (text && json_read(t->a, arena_str(t->a, str_of(text)), &v, &t->why))
        fail_msg("test JSON: %s", t->why.subject);
    return v;
}

static inline struct trial *trial_new(const char *method, const char *options, const char *fields)
{
    struct arena *a = arena_new(8192);
    struct trial *t = arena_zero(a, sizeof *t);
    t->a = a;
    t->method = auth_find(str_of(method));
    assert_non_null(t->method);
    t->in = (struct auth_input){ .options = trial_json(t, options), .fields = trial_json(t, fields), .secrets = t->secrets };
    return t;
}

static inline void trial_secret(struct trial *t, const char *name, struct str value)
{
    t->secrets[t->in.secret_count++] = (struct auth_secret){ str_of(name), secret_from(value) };
}

static inline void trial_end(struct trial *t)
{
    for (size_t i = 0; i < t->in.secret_count; i++)
        secret_end(&t->secrets[i].value);
    injections_end(&t->out);
    arena_free(t->a);
}

static inline enum err trial_check(struct trial *t)
{
    t->why = (struct fault){ 0 };
    return t->method->check(&t->in, &t->why);
}

/* Checks, prepares, and holds injection `at` against the exact bytes. */
static inline void trial_expect(struct trial *t, size_t at, enum inject_where where, const char *name, struct str value)
{
    if (!t->out.count) {
        if (trial_check(t))
            fail_msg("refused at %s: %s", t->why.pointer, t->why.subject);
        assert_int_equal(t->method->prepare(t->a, &t->in, &t->out, &t->why), ERR_NONE);
    }
    assert_true(at < t->out.count);
    assert_int_equal(t->out.at[at].where, where);
    assert_int_equal(t->out.at[at].name.n, strlen(name));
    assert_memory_equal(t->out.at[at].name.p, name, strlen(name));
    assert_int_equal(t->out.at[at].value.n, value.n);
    assert_memory_equal(t->out.at[at].value.p, value.p, value.n);
}

/* Refused with this error, here; and the fault says nothing of any credential. */
static inline void trial_refused(struct trial *t, enum err e, const char *pointer)
{
    assert_int_equal(trial_check(t), e);
    assert_string_equal(t->why.pointer, pointer);
    for (size_t i = 0; i < t->in.secret_count; i++) {
        struct str value = secret_str(t->secrets[i].value);
        if (value.n < 4)
            continue;
        assert_int_equal(str_find_str(str_of(t->why.subject), value), SIZE_MAX);
        assert_int_equal(str_find_str(str_of(t->why.note), value), SIZE_MAX);
    }
}

/* One method, one credential, these fields: what becomes of it? */
static inline void expect_header(const char *method, const char *options, const char *fields, const char *name, const char *secret,
                                 const char *header, const char *value)
{
    struct trial *t = trial_new(method, options, fields);
    trial_secret(t, name, str_of(secret));
    trial_expect(t, 0, INJECT_HEADER, header, str_of(value));
    assert_int_equal(t->out.count, 1);
    trial_end(t);
}

static inline void expect_refused(const char *method, const char *options, const char *fields, const char *name, struct str secret,
                                  enum err e, const char *pointer)
{
    struct trial *t = trial_new(method, options, fields);
    if (name)
        trial_secret(t, name, secret);
    trial_refused(t, e, pointer);
    trial_end(t);
}

#endif
