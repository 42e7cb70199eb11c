#include "auth/identity_person.h"

#include "access/user.h"
#include "auth/identity_groups.h"

static enum err refused(struct fault *why, struct str reason, const char *note)
{
    return fault(why, ERR_SIGN_IN_REFUSED, reason, "%s", note);
}

/* ---- may it come in ---- */

static bool domain_permitted(const struct identity_sign_in *s, struct str email)
{
    struct str name, domain;
    if (!s->email_domain_count)
        return true;
    str_cut(email, '@', &name, &domain);
    for (size_t i = 0; i < s->email_domain_count; i++)
        if (str_ieq(domain, s->email_domains[i]))
            return true;
    return false;
}

static enum err check_person(const struct identity_sign_in *s, const struct oidc_person *person, struct fault *why)
{
    if (s->second_factor && !person->second_factor)
        return refused(why, STR("the provider did not ask for a second factor"), "amr, acr");
    if (!s->email_domain_count)
        return ERR_NONE;
    if (!person->email_verified && !s->accept_unverified_email)
        return refused(why, STR("the e-mail address is not verified"), "email_verified");
    return domain_permitted(s, person->email)
               ? ERR_NONE
               : refused(why, STR("the e-mail address is of a domain that is not accepted"), "email_domains");
}

/* ---- what its groups give ---- */

static bool maps_roles(const struct identity_sign_in *s)
{
    for (size_t i = 0; i < s->mapping_count; i++)
        if (!s->mappings[i].folder.n)
            return true;
    return false;
}

/* What its groups give in the instance; the row's own when they give nothing. Of two roles the one that has all that the other has,
 * and where neither does the one that is mapped first: roles are no ladder. */
static enum role role_of(const struct identity_sign_in *s, const struct oidc_person *person)
{
    enum role role = ROLE_NONE;
    for (size_t i = 0; i < s->mapping_count; i++) {
        const struct identity_mapping *m = &s->mappings[i];
        if (!m->folder.n && str_among(m->group, person->groups, person->group_count) &&
            (role == ROLE_NONE || role_within(role, m->role)))
            role = m->role;
    }
    return role == ROLE_NONE ? s->default_role : role;
}

/* Where the row maps groups to roles, today's groups decide; an owner stays one: that is nobody's to give or take from outside. */
static enum err sync_role(struct db *db, struct user_row *user, const struct identity_sign_in *s, const struct oidc_person *person,
                          struct fault *why)
{
    enum role role = role_of(s, person);
    if (!maps_roles(s) || user->role == ROLE_OWNER || user->role == role)
        return ERR_NONE;
    if (role == ROLE_NONE)
        return refused(why, STR("none of its groups has a role here"), "default_role is none");
    user->role = role;
    return user_update(db, user, STR_NONE, why);
}

/* ---- who it is ---- */

static enum err find_link(struct db *db, struct arena *a, struct str provider, struct str subject, struct str *user,
                          struct fault *why)
{
    struct query *q = query_begin(db, "SELECT user_id FROM identity_link WHERE provider_id = $1 AND subject = $2");
    query_text(q, provider);
    query_text(q, subject);
    *user = query_next(q) ? query_get_text(q, 0, a) : STR_NONE;
    return query_end(q, why);
}

static enum err write_link(struct db *db, struct str provider, struct str subject, struct str user, struct fault *why)
{
    struct query *q = query_begin(db, "INSERT INTO identity_link (provider_id, subject, user_id, created_ms, seen_ms)"
                                      " VALUES ($1, $2, $3, $4, $4) ON CONFLICT (provider_id, subject) DO UPDATE SET seen_ms = $4");
    query_text(q, provider);
    query_text(q, subject);
    query_text(q, user);
    query_i64(q, clock_wall());
    return query_end(q, why);
}

static enum err find_by_email(struct db *db, struct arena *a, struct str email, struct str *user, struct fault *why)
{
    char *lower = arena_cstr(a, email);
    for (size_t i = 0; i < email.n; i++)
        lower[i] = ascii_lower(lower[i]);
    struct query *q = query_begin(db, "SELECT id FROM principal WHERE kind = 'user' AND name = $1");
    query_text(q, (struct str){ lower, email.n });
    *user = query_next(q) ? query_get_text(q, 0, a) : STR_NONE;
    return query_end(q, why);
}

/* Whoever sets a provider up could otherwise become an owner by naming the address. */
static enum err refuse_owner(struct db *db, struct arena *a, struct str user, struct fault *why)
{
    struct user_row row;
    enum err e = user_get(db, a, user, &row, why);
    return e || row.role != ROLE_OWNER ? e : refused(why, STR("an owner's account is never linked by its address"), "owner");
}

static enum err first_time(struct db *db, struct arena *a, const struct identity_sign_in *s, const struct oidc_person *person,
                           struct str language, struct identity_admitted *out, struct fault *why)
{
    enum role role = role_of(s, person);
    enum err e;
    if (!person->email.n)
        return refused(why, STR("the provider gives no e-mail address"), "email");
    if (!person->email_verified && !s->accept_unverified_email)
        return refused(why, STR("the e-mail address is not verified"), "email_verified");
    if ((e = find_by_email(db, a, person->email, &out->user, why)))
        return e;
    out->linked = out->user.p != NULL;
    if (out->linked && s->link_by_email)
        return refuse_owner(db, a, out->user, why);
    if (out->linked)
        return refused(why, STR("an account of this address is here already, and linking by address is off"), "link_by_email");
    if (!s->create_users)
        return refused(why, STR("there is no account for this person"), "create_users");
    if (role == ROLE_NONE)
        return refused(why, STR("none of its groups has a role here"), "default_role is none");
    out->created = true;
    e = user_create(db, a, person->email, STR_NONE, role, language, &out->user, why);
    return e == ERR_FIELD_INVALID ? refused(why, STR("the provider gives no e-mail address"), "address not valid") : e;
}

enum err identity_same(struct db *db, struct arena *a, const struct identity_provider *p, const struct oidc_person *person,
                       struct str user, struct fault *why)
{
    struct str linked;
    enum err e;
    if ((e = check_person(&p->sign_in, person, why)) || (e = find_link(db, a, p->id, person->subject, &linked, why)))
        return e;
    return linked.p && str_eq(linked, user) ? ERR_NONE
                                            : refused(why, STR("it is somebody else"), "another subject than the session's");
}

enum err identity_admit(struct db *db, struct arena *a, const struct identity_provider *p, const struct oidc_person *person,
                        struct str language, struct identity_admitted *out, struct fault *why)
{
    struct user_row row;
    enum err e;
    *out = (struct identity_admitted){ 0 };
    if ((e = check_person(&p->sign_in, person, why)) || (e = find_link(db, a, p->id, person->subject, &out->user, why)))
        return e;
    if (!out->user.p && (e = first_time(db, a, &p->sign_in, person, language, out, why)))
        return e;
    if ((e = user_get(db, a, out->user, &row, why)))
        return e;
    if (row.disabled)
        return refused(why, STR("its account here is disabled"), "disabled");
    out->before = out->created ? ROLE_NONE : row.role;
    if ((e = write_link(db, p->id, person->subject, out->user, why)) || (e = sync_role(db, &row, &p->sign_in, person, why)) ||
        (e = identity_groups_join(db, a, p, person, out->user, &out->changed, why)))
        return e;
    out->role = row.role;
    out->changed |= out->before != out->role;
    return ERR_NONE;
}
