#include "access/rights.h"

#include "access/held.h"
#include "store/many.h"

#define ANCHORS_MOST 1000
#define SHARES_MOST 200     /* of one connection, to folders */
#define SINGLES_MOST 1000   /* connections shared singly with one caller */

/* A folder whose members have their role in the place, too: the folder itself, and those above that reach it. */
struct reach {
    struct reach *next;
    struct str folder;
};

struct place {
    bool there, personal, own, from_root; /* from_root: what is held in `shared` reaches it */
    struct str path;
    enum preset preset;
    struct reach *reached_from;
};

/* One row of folder_above, with the folder above. */
static void add_above(struct place *p, struct query *q, struct arena *a, struct str principal, int64_t nearest[2])
{
    enum { ABOVE = 1, INHERITED, DISTANCE, KIND, OWNER, PATH, PRESET };
    int64_t distance = query_get_i64(q, DISTANCE);
    bool inherited = query_get_i64(q, INHERITED) == 1;
    if (!distance) {
        struct str owner = query_get_text(q, OWNER, a);
        p->there = true;
        p->personal = str_is(query_get_text(q, KIND, a), "personal");
        p->own = p->personal && owner.n && str_eq(owner, principal);
        p->path = p->own ? STR("personal") : query_get_text(q, PATH, a);
    }
    if (inherited) {
        struct reach *r = arena_alloc(a, sizeof *r);
        *r = (struct reach){ p->reached_from, query_get_text(q, ABOVE, a) };
        p->reached_from = r;
    }
    struct str preset = query_get_text(q, PRESET, a);
    if (distance < nearest[0] && !str_is(preset, "inherited")) {
        p->preset = PRESET_EDITORS_EDIT;
        preset_parse(preset, &p->preset);
        nearest[0] = distance;
    }
    if (distance >= nearest[1]) {
        p->from_root = inherited;
        nearest[1] = distance;
    }
}

static enum err read_places(struct db *db, struct arena *a, struct str principal, const struct many *folders, struct place *out,
                            struct fault *why)
{
    int64_t (*nearest)[2] = arena_array(a, folders->n, sizeof *nearest); /* with a preset of its own; and the root's distance */
    struct query *q = many_begin(db,
        "SELECT v.folder_id, v.above_id, v.inherited, v.distance, f.kind, f.owner_id, f.path, f.preset"
        " FROM folder_above v CROSS JOIN folder f WHERE f.id = v.above_id AND v.folder_id IN $keys", 0, folders);
    many_bind(q, folders);
    for (size_t i = 0; i < folders->n; i++) {
        out[i] = (struct place){ .preset = PRESET_EDITORS_EDIT };
        nearest[i][0] = INT64_MAX;
    }
    for (size_t i; query_next(q);)
        if (many_find(folders, query_get_text(q, 0, a), &i))
            add_above(&out[i], q, a, principal, nearest[i]);
    return query_end(q, why);
}

static void ends(wall_ms *until, wall_ms at)
{
    if (at && (!*until || at < *until))
        *until = at;
}

static bool reached(const struct place *p, struct str folder)
{
    for (const struct reach *r = p->reached_from; r; r = r->next)
        if (str_eq(r->folder, folder))
            return p->there && !p->personal;
    return false;
}

static struct many reaching(struct arena *a, const struct place *places, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        for (const struct reach *r = places[i].reached_from; r; r = r->next)
            count++;
    struct str *ids = arena_array(a, count + 1, sizeof *ids);
    count = 0;
    for (size_t i = 0; i < n; i++)
        for (const struct reach *r = places[i].reached_from; r; r = r->next)
            ids[count++] = r->folder;
    return many_of(a, ids, count);
}

/* Memberships of oneself and one's groups, of these places and of those above that reach them. */
static enum err add_memberships(struct db *db, struct arena *a, struct str principal, const struct place *places, size_t n,
                                struct rights *r, struct fault *why)
{
    struct many from = reaching(a, places, n);
    struct query *q = many_begin(db,
        "SELECT folder_id, role, expires_ms FROM folder_member WHERE folder_id IN $keys AND (expires_ms = 0 OR expires_ms > $2)"
        " AND principal_id IN " SELF_AND_GROUPS("$1"), 2, &from);
    query_text(q, principal);
    query_i64(q, clock_wall());
    many_bind(q, &from);
    while (query_next(q)) {
        struct str folder = query_get_text(q, 0, a);
        enum role role = ROLE_NONE;
        role_parse(query_get_text(q, 1, a), &role);
        wall_ms until = query_get_i64(q, 2);
        for (size_t i = 0; i < n; i++) {
            if (!reached(&places[i], folder))
                continue;
            r[i].mask |= role_rights_in(role, places[i].preset);
            ends(&r[i].until, until);
        }
    }
    return query_end(q, why);
}

/* Before any token narrows them. */
static enum err rights_whole(struct db *db, struct arena *a, struct str principal, enum role role, const struct many *folders,
                             struct place *places, struct rights *r, struct fault *why)
{
    bool shared = false;
    enum err e = read_places(db, a, principal, folders, places, why);
    for (size_t i = 0; !e && i < folders->n; i++) {
        const struct place *p = &places[i];
        r[i] = (struct rights){ 0 };
        shared |= p->there && !p->personal;
        if (p->personal)
            r[i].mask = p->own ? role_rights_own(role) : 0;
        else if (p->there && (role_everywhere(role) || p->from_root))
            r[i].mask = role_rights_in(role, p->preset);
    }
    return e || !shared ? e : add_memberships(db, a, principal, places, folders->n, r, why);
}

/* In what it may with the connections it reaches. */
static bool narrowed_in_calls(const struct caller *c)
{
    return c->narrow.calls || c->narrow.lists[NARROW_ACTION].set;
}

static bool narrowed_within(const struct caller *c) { return caller_limited(c) || narrowed_in_calls(c); }

/* Whoever is narrowed in calls does not let others in, who would not be. */
static unsigned kept_by_token(const struct caller *c, const struct place *p)
{
    unsigned kept = narrowed_in_calls(c) ? ~RIGHT_BIT(RIGHT_SHARE) : ~0u;
    if (c->narrowed == ROLE_NONE)
        return kept;
    return kept & (p->personal && p->own ? role_rights_own(c->narrowed) : role_rights_in(c->narrowed, p->preset));
}

/* A token narrowed to folders leaves what is at or below one of them, whatever inherits. */
static enum err granted_folders(struct db *db, struct arena *a, const struct caller *c, const struct many *folders, bool *out,
                                struct fault *why)
{
    const struct narrow_list *l = &c->narrow.lists[NARROW_FOLDER];
    for (size_t i = 0; i < folders->n; i++)
        out[i] = !l->set || narrow_list_holds(l, folders->keys[i]);
    if (!l->set || !l->count)
        return ERR_NONE;
    struct query *q = many_begin(db, "SELECT folder_id, above_id FROM folder_above WHERE folder_id IN $keys", 0, folders);
    many_bind(q, folders);
    for (size_t i; query_next(q);)
        if (many_find(folders, query_get_text(q, 0, a), &i))
            out[i] = out[i] || narrow_list_holds(l, query_get_text(q, 1, a));
    return query_end(q, why);
}

static enum err granted_folder(struct db *db, struct arena *a, const struct caller *c, struct str folder, bool *out,
                               struct fault *why)
{
    const struct many one = many_one(&folder);
    return granted_folders(db, a, c, &one, out, why);
}

enum err rights_in_folders(struct db *db, struct arena *a, const struct caller *c, const struct many *folders, struct rights *out,
                           struct fault *why)
{
    struct place *places = arena_array(a, folders->n, sizeof *places);
    bool *granted = arena_array(a, folders->n, sizeof *granted);
    enum err e = rights_whole(db, a, c->principal, c->role, folders, places, out, why);
    if (e || (e = granted_folders(db, a, c, folders, granted, why)))
        return e;
    for (size_t i = 0; i < folders->n; i++) {
        out[i].mask &= granted[i] ? kept_by_token(c, &places[i]) : 0;
        out[i].path = out[i].mask & RIGHT_BIT(RIGHT_VIEW) ? places[i].path : STR_NONE;
    }
    return ERR_NONE;
}

enum err rights_in_folder(struct db *db, struct arena *a, const struct caller *c, struct str folder, struct rights *out,
                          struct fault *why)
{
    const struct many one = many_one(&folder);
    return rights_in_folders(db, a, c, &one, out, why);
}

enum err rights_of(struct db *db, struct arena *a, struct str principal, enum role role, struct str folder, unsigned *mask,
                   struct fault *why)
{
    const struct many one = many_one(&folder);
    struct place place;
    struct rights r = { 0 };
    enum err e = rights_whole(db, a, principal, role, &one, &place, &r, why);
    *mask = r.mask;
    return e;
}

/* -- shares of one connection --------------------------------------------------------------------------------- */

#define SHARED_RIGHTS (RIGHT_BIT(RIGHT_VIEW) | RIGHT_BIT(RIGHT_USE))

static enum err shared_with_me(struct db *db, const struct caller *c, struct str connection, struct rights *shared,
                               struct fault *why)
{
    struct query *q = query_begin(db,
        "SELECT expires_ms FROM connection_share WHERE connection_id = $2 AND (expires_ms = 0 OR expires_ms > $3)"
        " AND principal_id IN " SELF_AND_GROUPS("$1"));
    query_text(q, c->principal);
    query_text(q, connection);
    query_i64(q, clock_wall());
    while (query_next(q)) {
        shared->mask = SHARED_RIGHTS;
        ends(&shared->until, query_get_i64(q, 0));
    }
    return query_end(q, why);
}

/* Shared with a folder: with all who are in it, as far as they may see and use what is there. */
static enum err shared_with_folders(struct db *db, struct arena *a, const struct caller *c, struct str connection,
                                    struct rights *shared, struct fault *why)
{
    struct str *folders = arena_array(a, SHARES_MOST, sizeof *folders);
    wall_ms *expires = arena_array(a, SHARES_MOST, sizeof *expires);
    size_t n = 0;
    struct query *q = query_begin(db,
        "SELECT folder_id, expires_ms FROM connection_share WHERE connection_id = $1 AND folder_id IS NOT NULL"
        " AND (expires_ms = 0 OR expires_ms > $2) ORDER BY folder_id");
    query_text(q, connection);
    query_i64(q, clock_wall());
    for (; n < SHARES_MOST && query_next(q); n++) {
        folders[n] = query_get_text(q, 0, a);
        expires[n] = query_get_i64(q, 1);
    }
    enum err e = query_end(q, why);
    for (size_t i = 0; !e && i < n; i++) {
        struct rights there;
        e = rights_in_folder(db, a, c, folders[i], &there, why);
        if (e || !(there.mask & SHARED_RIGHTS))
            continue;
        shared->mask |= there.mask & SHARED_RIGHTS;
        ends(&shared->until, there.until);
        ends(&shared->until, expires[i]);
    }
    return e;
}

static enum err add_shares(struct db *db, struct arena *a, const struct caller *c, struct str connection, struct rights *r,
                           struct fault *why)
{
    struct rights shared = { 0 };
    enum err e = shared_with_me(db, c, connection, &shared, why);
    if (!e && !shared.mask)
        e = shared_with_folders(db, a, c, connection, &shared, why);
    if (e)
        return e;
    r->mask |= shared.mask & (c->narrowed == ROLE_NONE ? ~0u : role_rights_in(c->narrowed, PRESET_EDITORS_EDIT));
    ends(&r->until, shared.until);
    return ERR_NONE;
}

enum err rights_on_connection(struct db *db, struct arena *a, const struct caller *c, struct str connection, struct str folder,
                              struct rights *out, struct fault *why)
{
    enum err e = rights_in_folder(db, a, c, folder, out, why);
    if (!e && (out->mask & SHARED_RIGHTS) != SHARED_RIGHTS)
        e = add_shares(db, a, c, connection, out, why);
    bool granted = true;
    if (!e)
        e = granted_folder(db, a, c, folder, &granted, why);
    if (!e && (!granted || !caller_granted(c, connection)))
        *out = (struct rights){ 0 };
    return e;
}

/* -- needing one ---------------------------------------------------------------------------------------------- */

static enum err denied(struct arena *a, enum right right, struct str path, struct fault *why)
{
    struct str subject = path.p ? str_fmt(a, "%s in %.*s", right_name(right), STR_ARG(path))
                                : str_fmt(a, "%s in the folder of this connection", right_name(right));
    return fault(why, ERR_DENIED, subject, "%s is missing", right_name(right));
}

enum err rights_need(struct db *db, struct arena *a, const struct caller *c, struct str folder, enum right right, struct fault *why)
{
    struct rights r;
    enum err e = rights_in_folder(db, a, c, folder, &r, why);
    if (e)
        return e;
    caller_asked(c, right);
    if (!(r.mask & RIGHT_BIT(RIGHT_VIEW)))
        return fault(why, ERR_NOT_FOUND, STR("folder"), "no such folder, or not visible");
    if (caller_limited(c) && right != RIGHT_VIEW)
        return fault(why, ERR_DENIED, str_of(right_name(right)), "a token limited to connections has no folder");
    return r.mask & RIGHT_BIT(right) ? ERR_NONE : denied(a, right, r.path, why);
}

enum err rights_need_on_connection(struct db *db, struct arena *a, const struct caller *c, struct str connection, struct str folder,
                                   enum right right, struct fault *why)
{
    struct rights r;
    enum err e = rights_on_connection(db, a, c, connection, folder, &r, why);
    if (e)
        return e;
    caller_asked(c, right);
    if (!(r.mask & RIGHT_BIT(RIGHT_VIEW)))
        return fault(why, ERR_CONNECTION_NOT_FOUND, connection, "not there, or not to be seen by this caller");
    return r.mask & RIGHT_BIT(right) ? ERR_NONE : denied(a, right, r.path, why);
}

/* -- all that one sees ---------------------------------------------------------------------------------------- */

struct anchors {
    struct str *ids;
    size_t n;
};

static enum err anchors_query(struct query *q, struct arena *a, struct anchors *to, struct fault *why)
{
    while (to->n <= ANCHORS_MOST && query_next(q))
        to->ids[to->n++] = query_get_text(q, 0, a);
    enum err e = query_end(q, why);
    if (!e && to->n > ANCHORS_MOST)
        return fault(why, ERR_LIMIT, STR("1000 memberships of one person; give it a role higher up instead"), "memberships");
    return e;
}

static enum err anchors_read(struct db *db, struct arena *a, const struct caller *c, struct anchors *to, struct str *all,
                             struct fault *why)
{
    unsigned kept = c->narrowed == ROLE_NONE ? ~0u : role_rights_in(c->narrowed, PRESET_EDITORS_EDIT);
    bool token_sees = kept & RIGHT_BIT(RIGHT_VIEW);
    bool role_sees = token_sees && role_has(c->role, RIGHT_VIEW);
    enum err e;
    to->ids = arena_array(a, ANCHORS_MOST + 2, sizeof *to->ids);
    struct query *q =
        query_begin(db, "SELECT id FROM folder WHERE path = 'shared' AND $1 = 1 OR path = $2 AND $3 = 1 ORDER BY path DESC");
    query_i64(q, role_sees);
    query_text(q, arena_join(a, STR("personal/"), c->principal));
    query_i64(q, token_sees && (role_rights_own(c->role) & RIGHT_BIT(RIGHT_VIEW)));
    if ((e = anchors_query(q, a, to, why)) || !token_sees)
        return e;
    *all = role_sees && role_everywhere(c->role) && to->n ? to->ids[0] : STR_NONE; /* "shared" comes first */
    q = query_begin(db, "SELECT DISTINCT folder_id FROM folder_member WHERE (expires_ms = 0 OR expires_ms > $2)"
                        " AND principal_id IN " SELF_AND_GROUPS("$1") " ORDER BY folder_id");
    query_text(q, c->principal);
    query_i64(q, clock_wall());
    return anchors_query(q, a, to, why);
}

/* When they are few: one by one, which the queries of lists do best with. */
static enum err name_few(struct db *db, struct arena *a, struct folder_scope *s, struct fault *why)
{
    AUTO_BUF sql;
    int param = 0;
    struct str *found = arena_array(a, FOLDER_SCOPE_FEW + 1, sizeof *found);
    size_t n = 0;
    s->few = false;
    buf_init(&sql, 64 * 1024);
    folder_scope_folders_sql(&sql, db, FOLDER_SCOPE_FEW + 1, &param);
    buf_char(&sql, 0);
    if (buf_failed(&sql))
        return fault(why, ERR_INTERNAL, STR(""), "the query for folders is too long");
    struct query *q = query_begin(db, sql.p);
    folder_scope_bind(q, s);
    while (n <= FOLDER_SCOPE_FEW && query_next(q))
        found[n++] = query_get_text(q, 0, a);
    s->few = n <= FOLDER_SCOPE_FEW;
    s->folders = found;
    s->folder_count = s->few ? n : 0;
    return query_end(q, why);
}

static enum err read_singles(struct db *db, struct arena *a, const struct caller *c, struct folder_scope *s, struct fault *why)
{
    struct str *ids = arena_array(a, SINGLES_MOST, sizeof *ids);
    size_t n = 0;
    AUTO_BUF sql;
    int param = 2;
    buf_init(&sql, 64 * 1024);
    buf_add(&sql, STR("SELECT DISTINCT connection_id FROM connection_share WHERE (expires_ms = 0 OR expires_ms > $2)"
                      " AND (principal_id IN " SELF_AND_GROUPS("$1") " OR (folder_id IS NOT NULL AND"));
    folder_scope_sql(&sql, s, "connection_share.folder_id", &param);
    buf_fmt(&sql, ")) ORDER BY connection_id LIMIT %d", SINGLES_MOST);
    buf_char(&sql, 0);
    if (buf_failed(&sql))
        return fault(why, ERR_INTERNAL, STR(""), "the query for shares is too long");
    struct query *q = query_begin(db, sql.p);
    query_text(q, c->principal);
    query_i64(q, clock_wall());
    folder_scope_bind(q, s);
    while (n < SINGLES_MOST && query_next(q))
        ids[n++] = query_get_text(q, 0, a);
    s->connections = ids;
    s->connection_count = n;
    return query_end(q, why);
}

/* Of what one sees, what is at or below the token's folders: the anchors that lie there, and those folders themselves where they
 * are seen. A folder that does not inherit is found by its own members only, and administrators look into one such tree. */
static enum err keep_granted(struct db *db, struct arena *a, const struct caller *c, struct anchors *to, struct str *all,
                             struct fault *why)
{
    const struct narrow_list *l = &c->narrow.lists[NARROW_FOLDER];
    bool everywhere = all->p, granted;
    size_t kept = 0;
    enum err e;
    for (size_t i = 0; i < to->n; i++) {
        if ((e = granted_folder(db, a, c, to->ids[i], &granted, why)))
            return e;
        if (granted)
            to->ids[kept++] = to->ids[i];
    }
    to->n = kept;
    *all = STR_NONE;
    for (size_t i = 0; i < l->count && to->n <= ANCHORS_MOST; i++) {
        struct rights r;
        if ((e = rights_in_folder(db, a, c, l->at[i], &r, why)))
            return e;
        if (!(r.mask & RIGHT_BIT(RIGHT_VIEW)))
            continue;
        to->ids[to->n++] = l->at[i];
        if (everywhere && !all->p)
            *all = l->at[i];
    }
    return ERR_NONE;
}

enum err rights_visible(struct db *db, struct arena *a, const struct caller *c, struct folder_scope *out, struct fault *why)
{
    struct anchors anchors = { 0 };
    struct folder_scope s = { .few = true };
    caller_asked(c, RIGHT_VIEW);
    enum err e = anchors_read(db, a, c, &anchors, &s.all, why);
    if (e)
        return e;
    bool by_folder = c->narrow.lists[NARROW_FOLDER].set;
    if (by_folder && (e = keep_granted(db, a, c, &anchors, &s.all, why)))
        return e;
    s.above = anchors.ids;
    s.above_count = anchors.n;
    if (anchors.n && (e = name_few(db, a, &s, why)))
        return e;
    bool token_sees = c->narrowed == ROLE_NONE || role_has(c->narrowed, RIGHT_VIEW);
    if (token_sees && !by_folder && (e = read_singles(db, a, c, &s, why)))
        return e;
    *out = s;
    return ERR_NONE;
}

/* -- giving --------------------------------------------------------------------------------------------------- */

static bool holds_role(const struct caller *c, enum role role)
{
    return role_within(role, c->role) && (c->narrowed == ROLE_NONE || role_within(role, c->narrowed));
}

static enum err above_own(const struct caller *c, enum role role, struct fault *why)
{
    return fault(why, ERR_DENIED, STR("role above your own"), "role %s by %s", role_name(role), role_name(caller_role(c)));
}

static enum err narrowed_gives_none(const struct caller *c, struct fault *why)
{
    return fault(why, ERR_DENIED, STR("more than your own token's grants"), "given with %.*s", STR_ARG(c->token));
}

enum err rights_may_give(const struct caller *c, enum role role, struct fault *why)
{
    if (!holds_role(c, role))
        return above_own(c, role, why);
    return caller_narrowed(c) ? narrowed_gives_none(c, why) : ERR_NONE;
}

enum err rights_may_hold(struct db *db, struct arena *a, const struct caller *c, enum role role, struct fault *why)
{
    unsigned held;
    if (holds_role(c, role))
        return ERR_NONE;
    enum err e = held_in_folders(db, a, c->principal, &held, why);
    if (e)
        return e;
    bool within = held_within(held | ROLE_BIT(c->role), role) && (c->narrowed == ROLE_NONE || role_within(role, c->narrowed));
    return within ? ERR_NONE : above_own(c, role, why);
}

enum err rights_may_give_in(struct db *db, struct arena *a, const struct caller *c, struct str folder, enum role role,
                            struct fault *why)
{
    struct rights r;
    enum err e = rights_in_folder(db, a, c, folder, &r, why);
    if (e)
        return e;
    if (narrowed_within(c))
        return narrowed_gives_none(c, why);
    if (role_rights_in(role, PRESET_EDITORS_EDIT) & ~r.mask)
        return fault(why, ERR_DENIED, STR("role above your own"), "membership as %s", role_name(role));
    return ERR_NONE;
}
