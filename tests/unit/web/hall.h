/* tests/unit/web/hall.h - a hub on a store of its own, and requests through the real route table, without sockets. */
#ifndef TESTS_WEB_HALL_H
#define TESTS_WEB_HALL_H

#include <stdio.h>

#include "access/folder.h"
#include "access/token.h"
#include "access/user.h"
#include "call/switchboard.h"
#include "store/room.h"
#include "vault/domain.h"
#include "web/web.h"

struct hall {
    struct room *room;
    struct arena *boot, *exchange;
    struct hub hub;
    struct caller *caller;      /* who asks; NULL: nobody */
    enum language language;
    struct head head;           /* the request's headers */
    char body[64 * 1024];       /* a copy: handlers wipe what held a secret */
    struct reply reply;
    struct fault why;
    enum err err;
};

static inline void hall_open_keyring(struct hall *h)
{
    struct secret key = secret_new(32);
    memset(key.p, 7, key.n);
    assert_int_equal(keyring_open(h->hub.store, key, &h->hub.keyring, &h->why), ERR_NONE);
}

static inline enum err hall_shared(struct db *db, void *context, struct fault *why)
{
    struct str id;
    return folder_ensure_shared(db, ((struct hall *)context)->boot, &id, why);
}

static inline struct hall *hall_new(void)
{
    struct hall *h = mem_zero(sizeof *h);
    h->room = room_new();
    h->boot = arena_new(64 * 1024);
    h->exchange = arena_new(4096);
    buf_init(&h->reply.body, 4 * 1024 * 1024);
    assert_int_equal(room_open_store(h->room->directory, &h->room->store, &h->why), ERR_NONE);
    h->hub.store = h->room->store;
    hall_open_keyring(h);
    assert_int_equal(domain_suffixes_load(STR(""), &h->why), ERR_NONE);
    assert_int_equal(catalog_load(h->boot, STR_NONE, &h->hub.catalog, &h->why), ERR_NONE);
    assert_int_equal(egress_new(h->boot, STR(""), STR(""), STR(""), &h->hub.egress, &h->why), ERR_NONE);
    h->hub.policies = policy_book_new();
    assert_int_equal(policy_book_load(h->hub.policies, store_reader(h->hub.store, &h->why), &h->why), ERR_NONE);
    static struct tls_context *tls; /* one for all halls */
    if (!tls)
        assert_int_equal(tls_client_context(STR(""), &tls, &h->why), ERR_NONE);
    struct switchboard_config config = {
        .tls = tls, .policies = h->hub.policies,
        .store = h->hub.store, .keyring = h->hub.keyring, .catalog = h->hub.catalog, .egress = h->hub.egress
    };
    assert_int_equal(switchboard_new(&config, &h->hub.switchboard, &h->why), ERR_NONE);
    assert_int_equal(store_write(h->hub.store, hall_shared, h, &h->why), ERR_NONE);
    h->hub.public_url = STR("https://hub.example/raccord");
    h->hub.public_is_https = true;
    h->hub.call_response_max = 1024 * 1024;
    h->hub.started = clock_wall();
    return h;
}

static inline void hall_free(struct hall *h)
{
    switchboard_free(h->hub.switchboard);
    policy_book_free(h->hub.policies);
    keyring_close(h->hub.keyring);
    buf_end(&h->reply.body);
    arena_free(h->exchange);
    arena_free(h->boot);
    room_end(h->room);
    free(h);
}

/* ---- callers ---- */

struct hall_person {
    struct hall *hall;
    struct str name, id;
    enum role role;
    bool service;
    char text[TOKEN_TEXT];
};

static inline enum err hall_make(struct db *db, void *context, struct fault *why)
{
    struct hall_person *p = context;
    struct arena *a = p->hall->boot;
    struct str token;
    enum err e = p->service ? service_account_find_or_create(db, a, p->name, p->role, &p->id, why)
                            : user_create(db, a, p->name, STR_NONE, p->role, STR("en"), &p->id, why);
    struct token_new t = { .name = STR("test"), .principal = p->id, .role = p->role };
    return e ? e : token_create(db, a, &t, p->text, &token, why);
}

static inline struct caller *hall_resolve(struct hall *h, const char *token)
{
    struct caller *c = arena_zero(h->boot, sizeof *c);
    struct db *db = store_reader(h->hub.store, &h->why);
    assert_int_equal(token_resolve(db, h->boot, str_of(token), c, &h->why), ERR_NONE);
    return c;
}

/* A new user (or service account) with a token of its role. */
static inline struct caller *hall_person(struct hall *h, const char *name, enum role role, bool service)
{
    struct hall_person p = { .hall = h, .name = str_of(name), .role = role, .service = service };
    assert_int_equal(store_write(h->hub.store, hall_make, &p, &h->why), ERR_NONE);
    return hall_resolve(h, p.text);
}

/* ---- requests ---- */

static inline void hall_header(struct hall *h, const char *name, const char *value)
{
    h->head.headers[h->head.count++] = (struct header){ str_of(name), str_of(value) };
}

/* The door's handler, after the same checks as in front of it. What came back is in h->err, h->why and h->reply. */
static inline enum err hall_ask(struct hall *h, unsigned method, const char *target, const char *body)
{
    struct web_request q = { .hub = &h->hub, .arena = h->exchange, .method = method, .head = &h->head, .caller = h->caller,
                             .language = h->language, .is_private = true };
    bool known;
    unsigned allow;
    memset(&h->why, 0, sizeof h->why);
    buf_clear(&h->reply.body);
    h->reply.header_count = 0;
    h->reply.status = 200;
    h->reply.content_type = NULL;
    if (!str_cut(str_of(target), '?', &q.path, &q.query))
        q.query = STR_NONE;
    const struct route *route = route_find(method, q.path, h->exchange, q.params, &q.param_count, &known, &allow);
    assert_non_null(route);
    q.route = route;
    q.db = store_reader(h->hub.store, &h->why);
    if (body) {
        str_copy(h->body, sizeof h->body, str_of(body));
        q.body = str_of(h->body);
        assert_int_equal(json_read(h->exchange, q.body, &q.json, &h->why), ERR_NONE);
    }
    unsigned asked = 0;
    if (h->caller)
        h->caller->asked = &asked;
    h->err = route_open(route, h->caller, &h->why);
    if (!h->err)
        h->err = route->handle(&q, &h->reply, &h->why);
    if (!h->err)
        h->err = route_asked(route, asked, &h->why);
    if (h->caller)
        h->caller->asked = NULL;
    assert_false(buf_failed(&h->reply.body));
    h->head.count = 0;
    return h->err;
}

static inline const char *hall_reply_header(struct hall *h, const char *name)
{
    for (size_t i = 0; i < h->reply.header_count; i++)
        if (str_ieq(h->reply.headers[i][0], str_of(name)))
            return arena_cstr(h->exchange, h->reply.headers[i][1]);
    return NULL;
}

/* The reply's JSON, and one text in it: hall_text(h, "owner.id"), hall_text(h, "items.0.name"). Missing: "(none)". */
static inline const struct json *hall_at(struct hall *h, const char *path)
{
    struct json *doc;
    struct str rest = str_of(path), piece;
    struct str text = arena_str(h->exchange, buf_str(&h->reply.body));
    assert_int_equal(json_read(h->exchange, text, &doc, &h->why), ERR_NONE);
    while (doc && *path && str_piece(&rest, '.', &piece)) {
        uint64_t at;
        if (json_is(doc, JSON_ARRAY) && str_u64(piece, &at)) {
            for (doc = doc->child; doc && at; at--)
                doc = doc->next;
        } else {
            doc = json_get_str(doc, piece);
        }
    }
    return doc;
}

static inline const char *hall_text(struct hall *h, const char *path)
{
    const struct json *v = hall_at(h, path);
    static const char *const words[] = {
        [JSON_NULL] = "null", [JSON_FALSE] = "false", [JSON_TRUE] = "true", [JSON_ARRAY] = "[]", [JSON_OBJECT] = "{}"
    };
    if (!v)
        return "(none)";
    return v->type == JSON_STRING || v->type == JSON_NUMBER ? arena_cstr(h->exchange, v->text) : words[v->type];
}

static inline int hall_count(struct hall *h, const char *path)
{
    const struct json *v = hall_at(h, path);
    return v ? (int)v->count : -1;
}

/* For failing tests: what was said. */
#define assert_ok(h, status_)                                                              \
    do {                                                                                   \
        if ((h)->err)                                                                      \
            fail_msg("%s at %s: %s (%s)", err_row((h)->err)->code, (h)->why.pointer, (h)->why.subject, (h)->why.note); \
        assert_int_equal((h)->reply.status, status_);                                      \
    } while (0)
#define assert_refused(h, err_, pointer_)                \
    do {                                                 \
        assert_string_equal(err_row((h)->err)->code, err_row(err_)->code); \
        assert_string_equal((h)->why.pointer, pointer_); \
    } while (0)

#endif
