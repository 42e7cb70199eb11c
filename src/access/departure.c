#include "access/departure.h"

#include "access/folder_tree.h"
#include "access/session.h"

/* Kinds of credentials that a person gave in their own name. */
#define OF_A_PERSON                                                                                                                \
    "('oauth2_authorization_code', 'oauth2_device_code', 'oauth2_password', 'oauth2_token_exchange', 'custom_oauth', 'oauth1', "   \
    "'pat')"

static enum err number(struct db *db, const char *sql, struct str who, int64_t *out, struct fault *why)
{
    struct query *q = query_begin(db, sql);
    query_text(q, who);
    *out = query_next(q) ? query_get_i64(q, 0) : 0;
    return query_end(q, why);
}

static enum err read_workspace(struct db *db, struct arena *a, struct str who, struct departure *d, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT id FROM folder WHERE kind = 'personal' AND path = 'personal/' || $1");
    query_text(q, who);
    d->workspace = query_next(q) ? query_get_text(q, 0, a) : STR_NONE;
    return query_end(q, why);
}

static enum err read_grants(struct db *db, struct arena *a, struct str who, struct departure *d, struct fault *why)
{
    struct query *q = query_begin(
        db, "SELECT id, key, name, auth_type FROM connection WHERE owner_id = $1 AND deleted_ms = 0 AND auth_type IN " OF_A_PERSON
            " ORDER BY id LIMIT $2");
    query_text(q, who);
    query_i64(q, DEPARTURE_GRANTS);
    while (d->grant_count < DEPARTURE_GRANTS && query_next(q))
        d->grants[d->grant_count++] = (struct departure_grant){ query_get_text(q, 0, a), query_get_text(q, 1, a),
                                                                query_get_text(q, 2, a), query_get_text(q, 3, a) };
    return query_end(q, why);
}

/* "ann.smith@example.com": "ann-smith" */
static struct str slug_of(struct arena *a, struct str email)
{
    char slug[48];
    size_t n = 0;
    for (size_t i = 0; i < email.n && email.p[i] != '@' && n < sizeof slug; i++) {
        char c = ascii_lower(email.p[i]);
        bool plain = (c >= 'a' && c <= 'z') || ascii_digit(c);
        if (plain || n)
            slug[n++] = plain ? c : '-';
    }
    return n ? arena_str(a, (struct str){ slug, n }) : STR("workspace");
}

static enum err free_slug(struct db *db, struct arena *a, struct str email, struct str *slug, struct fault *why)
{
    struct str base = slug_of(a, email);
    for (int i = 1; i < 1000; i++) {
        *slug = i == 1 ? base : str_fmt(a, "%.*s-%d", STR_ARG(base), i);
        struct query *q = query_begin(db, "SELECT 1 FROM folder WHERE path = 'shared/' || $1");
        query_text(q, *slug);
        bool taken = query_next(q);
        enum err e = query_end(q, why);
        if (e || !taken)
            return e;
    }
    return fault(why, ERR_CONFLICT, base, "no free name for a workspace");
}

enum err departure_plan(struct db *db, struct arena *a, const struct principal_row *who, struct departure *d, struct fault *why)
{
    struct str slug;
    enum err e;
    *d = (struct departure){ 0 };
    if ((e = read_workspace(db, a, who->id, d, why)) || (e = read_grants(db, a, who->id, d, why)) ||
        (e = number(db,
                    "SELECT count(*) FROM folder f CROSS JOIN connection c WHERE c.folder_id = f.id AND f.path = 'personal/' || $1",
                    who->id, &d->workspace_connections, why)) ||
        (e = number(db, "SELECT count(*) FROM connection WHERE owner_id = $1", who->id, &d->owned_connections, why)) ||
        (e = number(db, "SELECT count(*) FROM token WHERE principal_id = $1 AND revoked_ms = 0", who->id, &d->tokens, why)) ||
        (e = number(db, "SELECT count(*) FROM folder_member WHERE principal_id = $1", who->id, &d->memberships, why)))
        return e;
    if (!d->workspace.p || !d->workspace_connections)
        return ERR_NONE;
    if ((e = free_slug(db, a, who->name, &slug, why)))
        return e;
    d->workspace_path = arena_join(a, STR("shared/"), slug);
    return ERR_NONE;
}

static enum err run(struct db *db, const char *sql, struct str who, struct fault *why)
{
    struct query *q = query_begin(db, sql);
    query_text(q, who);
    return query_end(q, why);
}

static enum err hand_over_workspace(struct db *db, const struct principal_row *to, const struct departure *d, struct fault *why)
{
    if (!d->workspace.p)
        return ERR_NONE;
    if (!d->workspace_path.p)
        return run(db, "DELETE FROM folder WHERE id = $1", d->workspace, why);
    struct folder_member heir = { .principal = to->id, .role = ROLE_ADMIN };
    enum err e = folder_adopt(db, d->workspace, d->workspace_path, why);
    return e ? e : folder_members_set(db, d->workspace, &heir, 1, why);
}

static enum err hand_over_connections(struct db *db, const struct principal_row *who, const struct principal_row *to,
                                      struct fault *why)
{
    struct query *q =
        query_begin(db, "UPDATE connection SET owner_id = $2, revision = revision + 1, updated_ms = $3 WHERE owner_id = $1");
    query_text(q, who->id);
    query_text(q, to->id);
    query_i64(q, clock_wall());
    return query_end(q, why);
}

static enum err end_account(struct db *db, const struct principal_row *who, struct fault *why)
{
    static const char *const ends[] = {
        "DELETE FROM folder_member WHERE principal_id = $1",
        "DELETE FROM group_member WHERE member_id = $1",
        "DELETE FROM connection_share WHERE principal_id = $1",
        "DELETE FROM invitation WHERE user_id = $1",
        "DELETE FROM identity_link WHERE user_id = $1",
        "UPDATE principal SET disabled = 1, revision = revision + 1 WHERE id = $1",
    };
    enum err e = sessions_end_of_user(db, who->id, why);
    for (size_t i = 0; !e && i < COUNT(ends); i++)
        e = run(db, ends[i], who->id, why);
    if (e)
        return e;
    struct query *q = query_begin(db, "UPDATE token SET revoked_ms = $2 WHERE principal_id = $1 AND revoked_ms = 0");
    query_text(q, who->id);
    query_i64(q, clock_wall());
    return query_end(q, why);
}

/* Somebody must be left who can let others in. */
static enum err keep_an_owner(struct db *db, const struct principal_row *who, struct fault *why)
{
    struct query *q =
        query_begin(db, "SELECT 1 FROM principal WHERE kind = 'user' AND role = 'owner' AND disabled = 0 AND id <> $1 LIMIT 1");
    query_text(q, who->id);
    bool another = query_next(q);
    enum err e = query_end(q, why);
    return e || another || who->role != ROLE_OWNER ? e : fault(why, ERR_LIMIT, STR("the last owner stays"), "last owner leaves");
}

enum err departure_carry_out(struct db *db, struct arena *a, const struct principal_row *who, const struct principal_row *to,
                             struct departure *d, struct fault *why)
{
    enum err e;
    if (!str_is(to->kind, "user") || to->disabled || str_eq(to->id, who->id))
        return fault(why, ERR_FIELD_INVALID, STR("to: another user, who is not disabled"), "heir %.*s", STR_ARG(to->id));
    if ((e = keep_an_owner(db, who, why)) || (e = departure_plan(db, a, who, d, why)) ||
        (e = hand_over_workspace(db, to, d, why)) || (e = hand_over_connections(db, who, to, why)))
        return e;
    return end_account(db, who, why);
}
