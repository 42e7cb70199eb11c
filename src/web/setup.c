/* web/setup.c - the first start: a one-time code makes the owner. */
#include "access/folder.h"
#include "access/user.h"
#include "base/encode.h"
#include "crypto/hash.h"
#include "web/body.h"
#include "web/change.h"
#include "web/handlers.h"
#include "web/people.h"

static bool code_right(const struct hub *h, struct str code)
{
    unsigned char digest[SHA256_SIZE];
    char hex[2 * SHA256_SIZE];
    sha256(code, digest);
    hex_write(hex, (struct str){ (const char *)digest, sizeof digest });
    return h->setup_code_hash.n == sizeof hex && equal_constant_time(hex, h->setup_code_hash.p, sizeof hex);
}

struct new_owner {
    struct web_request *q;
    struct user_row row;
    struct str password; /* hash */
};

/* Counted inside the transaction: of two that come at once, one makes the owner. */
static enum err make_owner(struct db *db, void *context, struct fault *why)
{
    struct new_owner *n = context;
    int64_t users;
    enum err e = user_count(db, &users, why);
    if (e)
        return e;
    if (users)
        return fault(why, ERR_SETUP_DONE, STR(""), "%lld users are there", (long long)users);
    struct str folder;
    e = people_create(db, n->q->arena, &n->row, n->password, why);
    if (e || (e = folder_ensure_personal(db, n->q->arena, n->row.id, &folder, why)))
        return e;
    AUTO_BUF text;
    struct json_out o = change_open(&text);
    json_open(&o, '{');
    json_member_str(&o, "email", n->row.email);
    json_member_str(&o, "role", str_of(role_name(n->row.role)));
    json_close(&o, '}');
    people_told(n->q, db, arena_str(n->q->arena, n->row.id));
    n->q->audit.after = change_text(n->q, &text);
    return ERR_NONE;
}

static enum err setup_checked(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const members[] = { "code", "email", "password", "language", NULL };
    const struct json *body = body_of(q);
    struct new_owner owner = { .q = q, .row.role = ROLE_OWNER };
    struct user_row row;
    struct guard g = { 0 };
    struct str code;
    enum err e;
    if ((e = web_query_settled(q, why)) || (e = json_only(body, members, "", why)) ||
        (e = body_text(body, "code", true, 256, &code, why)))
        return e;
    if (!atomic_load(&q->hub->setup_open))
        return fault(why, ERR_SETUP_DONE, STR(""), "setup is closed");
    if (!q->is_private)
        return fault(why, ERR_SETUP_NOT_HERE, STR(""), "in clear text from another machine");
    if ((e = people_guard(q, &g, why)))
        return e;
    e = code_right(q->hub, code) ? ERR_NONE : fault(why, ERR_SETUP_CODE_INVALID, STR(""), "wrong code");
    if ((e = people_unguard(q, &g, e, why)))
        return e;
    if ((e = body_text(body, "email", true, 254, &owner.row.email, why)) || (e = people_language(q, &owner.row.language, why)) ||
        (e = people_password(q, "password", true, owner.row.email, &owner.password, why)) ||
        (e = web_write(q, make_owner, &owner, why)) || (e = user_get(q->db, q->arena, owner.row.id, &row, why)))
        return e;
    atomic_store(&q->hub->setup_open, false);
    r->status = 201;
    reply_header(r, "Location", str_fmt(q->arena, "%.*s/api/v1/users/%.*s", STR_ARG(q->hub->public_url), STR_ARG(row.id)));
    reply_etag(r, q, row.revision);
    struct json_out o = json_out(&r->body);
    return people_write_user(q, &o, &row, NULL, why);
}

enum err setup_post(struct web_request *q, struct reply *r, struct fault *why)
{
    enum err e = setup_checked(q, r, why);
    body_wipe(q);
    return e;
}
