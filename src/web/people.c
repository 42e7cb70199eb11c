#include "web/people.h"

#include "crypto/hash.h"
#include "web/body.h"

#define PASSWORD_MAX 1024 /* bytes; hashing reads them all */

void people_write_user(struct json_out *o, const struct user_row *u)
{
    json_open(o, '{');
    json_member_str(o, "id", u->id);
    json_member_str(o, "email", u->email);
    json_member_str(o, "role", str_of(role_name(u->role)));
    json_member_str(o, "language", u->language);
    json_member_bool(o, "disabled", u->disabled);
    json_member_time(o, "created_at", u->created);
    json_member_time(o, "updated_at", u->updated);
    json_close(o, '}');
}

void people_write_session(struct json_out *o, const struct caller *c, struct str csrf)
{
    struct str role = str_of(role_name(caller_role(c)));
    json_open(o, '{');
    json_key(o, "principal");
    json_open(o, '{');
    json_member_str(o, "id", c->principal);
    json_member_str(o, "name", c->name);
    json_member_str(o, "kind", str_starts(c->principal, STR("svc_")) ? STR("service_account") : STR("user"));
    json_close(o, '}');
    json_member_str(o, "role", role);
    json_key(o, "roles");
    json_open(o, '[');
    json_put_str(o, role);
    json_close(o, ']');
    json_member_str(o, "language", c->language == LANG_FR ? STR("fr") : STR("en"));
    json_member_str(o, "csrf_token", csrf);
    json_member_str(o, "token", c->token.n ? c->token : STR_NONE);
    json_member_time(o, "expires_at", c->expires);
    json_close(o, '}');
}

enum err people_language(const struct web_request *q, struct str *out, struct fault *why)
{
    enum err e = body_text(body_of(q), "language", false, 8, out, why);
    if (e)
        return e;
    if (!out->p)
        *out = q->language == LANG_FR ? STR("fr") : STR("en");
    if (!str_is(*out, "en") && !str_is(*out, "fr"))
        return body_fault(why, ERR_FIELD_INVALID, "language", "en, fr");
    return ERR_NONE;
}

enum err people_password(struct web_request *q, const char *name, bool required, struct str *hash, struct fault *why)
{
    *hash = STR_NONE;
    const struct json *v = json_get(body_of(q), name);
    if (!v || v->type == JSON_NULL)
        return required ? body_fault(why, ERR_FIELD_REQUIRED, name, "") : ERR_NONE;
    if (v->type != JSON_STRING)
        return body_fault(why, ERR_FIELD_INVALID, name, "text is expected");
    if (v->text.n > PASSWORD_MAX)
        return body_fault(why, ERR_FIELD_INVALID, name, "at most 1024 bytes");
    enum err e = password_acceptable(v->text, why);
    if (e) {
        fault_at(why, "/%s", name);
        return e;
    }
    return password_hash(q->arena, v->text, hash, why);
}

enum err people_create(struct db *db, struct arena *a, struct user_row *row, struct str password_hash, struct fault *why)
{
    enum err e = user_create(db, a, row->email, password_hash, row->role, row->language, &row->id, why);
    return e == ERR_FIELD_INVALID || e == ERR_CONFLICT ? fault_at(why, "/email") : e;
}
