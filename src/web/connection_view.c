#include "web/connection_view.h"

#include "access/folder.h"
#include "access/rights.h"
#include "crypto/hash.h"
#include "web/certificates.h"
#include "web/change.h"
#include "web/connection_oauth.h"
#include "web/dependants.h"
#include "web/principal.h"

#define ID_LENGTH 30 /* "con_" and 26 characters, see crypto/hash.h */

enum err connection_scope(struct web_request *q, struct db *db, struct folder_scope *out, struct fault *why)
{
    return connection_scope_in(q, db, web_query(q, "folder"), out, why);
}

enum err connection_scope_in(struct web_request *q, struct db *db, struct str wanted, struct folder_scope *out, struct fault *why)
{
    if (!wanted.p)
        return rights_visible(db, q->arena, q->caller, out, why);
    struct folder_row row;
    enum err e = folder_resolve(db, q->arena, q->caller, wanted, &row, why);
    if (e)
        return e;
    struct str *one = arena_array(q->arena, 1, sizeof *one);
    *one = row.id;
    *out = (struct folder_scope){ .few = true, .folders = one, .folder_count = 1 };
    return ERR_NONE;
}

enum err connection_in_scope(struct web_request *q, const struct folder_scope *s, const struct connection_row *row, bool *out,
                             struct fault *why)
{
    *out = folder_scope_shares(s, row->id);
    return *out ? ERR_NONE : folder_scope_holds(q->db, s, row->folder, out, why);
}

static enum err find(struct web_request *q, struct db *db, struct str id_or_key, struct connection_row *out, struct fault *why)
{
    enum err e = ERR_CONNECTION_NOT_FOUND;
    if (id_or_key.n == ID_LENGTH && str_starts(id_or_key, STR("con_")))
        e = connection_get(db, q->arena, id_or_key, out, why);
    if (e != ERR_CONNECTION_NOT_FOUND)
        return e;
    struct folder_scope scope;
    e = connection_scope(q, db, &scope, why);
    return e ? e : connection_find(db, q->arena, id_or_key, &scope, out, why);
}

enum err connection_need(struct web_request *q, struct db *db, struct str id_or_key, enum right right, struct connection_row *out,
                         struct fault *why)
{
    enum err e = find(q, db, id_or_key, out, why);
    if (!e)
        e = rights_need_on_connection(db, q->arena, q->caller, out->id, out->folder, right, why);
    /* Not there, or not to be seen: the answer is the same, in every word (requirement 16.2). */
    return e == ERR_CONNECTION_NOT_FOUND ? fault(why, e, id_or_key, "not there, or not to be seen by this caller") : e;
}

enum err connection_seen(struct web_request *q, struct db *db, struct str id_or_key, struct connection_row *out, struct fault *why)
{
    return connection_need(q, db, id_or_key, RIGHT_VIEW, out, why);
}

static void write_set(struct json_out *o, const char *name, wall_ms updated)
{
    json_key(o, name);
    json_open(o, '{');
    json_member_bool(o, "set", true);
    json_member_time(o, "updated_at", updated);
    json_close(o, '}');
}

static void write_credentials(struct json_out *o, struct arena *a, const struct connection_secrets_set *set,
                              const struct certificate_view *certificate)
{
    json_key(o, "credentials");
    json_open(o, '{');
    for (size_t i = 0; i < set->n; i++)
        write_set(o, arena_cstr(a, set->infos[i].name), set->infos[i].updated);
    if (certificate->found)
        write_set(o, "client_certificate", certificate->row.activated);
    json_close(o, '}');
}

static void write_pair(struct json_out *o, const char *key, const char *first_key, struct str first, const char *second_key,
                       struct str second)
{
    json_key(o, key);
    json_open(o, '{');
    json_member_str(o, first_key, first);
    json_member_str(o, second_key, second);
    json_close(o, '}');
}

static void write_warnings(struct web_request *q, struct json_out *o, bool same_name, struct str missing)
{
    bool french = q->language == LANG_FR;
    if (!same_name && !missing.n)
        return;
    json_key(o, "warnings");
    json_open(o, '[');
    if (same_name)
        json_put_str(o, french ? STR("Une autre connexion de ce dossier porte le même nom.")
                               : STR("Another connection in this folder has the same name."));
    if (missing.n)
        json_put_str(o, str_fmt(q->arena, french ? "Autorisez à nouveau la connexion pour obtenir ces portées : %.*s"
                                                 : "Authorize the connection again to be granted these scopes: %.*s",
                                STR_ARG(missing)));
    json_close(o, ']');
}

/* What the rows of a page show beside themselves: each kind is asked for once, whatever the page's length. */
struct beside {
    struct many ids, folders, owners, with_oauth;
    struct connection_secrets_set *set;   /* by ids, as the next two */
    struct certificate_view *certificates;
    int64_t *used_by;
    struct str *paths;                    /* by folders */
    struct str *names;                    /* by owners */
    struct connection_oauth_view *oauth;  /* by with_oauth */
};

enum column { COLUMN_ID, COLUMN_FOLDER, COLUMN_OWNER, COLUMN_WITH_OAUTH };

static struct many keys_of(struct arena *a, const struct connection_row *rows, size_t n, enum column column)
{
    struct str *keys = arena_array(a, n + 1, sizeof *keys);
    for (size_t i = 0; i < n; i++) {
        const struct str of[] = { rows[i].id, rows[i].folder, rows[i].owner,
                                  connection_oauth_applies(rows[i].auth_type) ? rows[i].id : STR_NONE };
        keys[i] = of[column];
    }
    return many_of(a, keys, n);
}

/* Who has only one connection does not learn where it lies. */
static enum err read_paths(struct web_request *q, const struct many *folders, struct str *paths, struct fault *why)
{
    struct rights *rights = arena_array(q->arena, folders->n, sizeof *rights);
    enum err e = rights_in_folders(q->db, q->arena, q->caller, folders, rights, why);
    for (size_t i = 0; !e && i < folders->n; i++)
        paths[i] = rights[i].path;
    return e;
}

static enum err read_beside(struct web_request *q, const struct connection_row *rows, size_t n, const struct folder_sight *seen,
                            struct beside *b, struct fault *why)
{
    struct arena *a = q->arena;
    *b = (struct beside){ .ids = keys_of(a, rows, n, COLUMN_ID),
                          .folders = keys_of(a, rows, n, COLUMN_FOLDER),
                          .owners = keys_of(a, rows, n, COLUMN_OWNER),
                          .with_oauth = keys_of(a, rows, n, COLUMN_WITH_OAUTH) };
    b->set = arena_array(a, n, sizeof *b->set);
    b->certificates = arena_array(a, n, sizeof *b->certificates);
    b->used_by = arena_array(a, n, sizeof *b->used_by);
    b->paths = arena_array(a, n, sizeof *b->paths);
    b->names = arena_array(a, n, sizeof *b->names);
    b->oauth = arena_array(a, n, sizeof *b->oauth);
    enum err e;
    if ((e = seen ? folder_paths(q->db, a, seen, &b->folders, b->paths, why) : read_paths(q, &b->folders, b->paths, why)) ||
        (e = dependants_count(q->db, a, &b->ids, b->used_by, why)) ||
        (e = connection_secrets_set(q->db, a, &b->ids, b->set, why)) ||
        (e = certificate_views(q, &b->ids, b->certificates, why)) ||
        (e = connection_oauth_views(q, &b->with_oauth, b->oauth, why)))
        return e;
    return principal_names(q->db, a, &b->owners, b->names, why);
}

static void write_one(struct web_request *q, struct json_out *o, const struct connection_row *row, const struct beside *b,
                      bool same_name)
{
    size_t id, folder, owner, oauth = 0;
    if (!many_find(&b->ids, row->id, &id) || !many_find(&b->folders, row->folder, &folder) ||
        !many_find(&b->owners, row->owner, &owner))
        bug("a row that is not of this page");
    struct str missing;
    bool with_oauth = many_find(&b->with_oauth, row->id, &oauth), nobody = str_is(row->owner, CONNECTION_OWNER_SYSTEM);
    json_open(o, '{');
    json_member_str(o, "id", row->id);
    json_member_str(o, "key", row->key);
    json_member_str(o, "name", row->name);
    write_pair(o, "folder", "id", row->folder, "path", b->paths[folder]);
    write_pair(o, "connector", "id", row->connector, "version", row->connector_version);
    json_member_str(o, "auth_type", row->auth_type);
    json_member_str(o, "allowed_domain", row->allowed_domain);
    json_member_raw(o, "fields", row->fields.n ? row->fields : STR("{}"));
    write_credentials(o, q->arena, &b->set[id], &b->certificates[id]);
    certificate_view_write(o, &b->certificates[id]);
    json_member_str(o, "state", str_of(connection_state_name(row->state)));
    json_member_str(o, "health", str_of(connection_health_name(row->health)));
    json_member_str(o, "account", row->account.n ? row->account : STR_NONE);
    connection_oauth_write(q, o, row, with_oauth ? &b->oauth[oauth] : NULL, &missing);
    json_member_bool(o, "default", row->is_default);
    write_pair(o, "owner", "id", nobody ? STR_NONE : row->owner, "name", nobody ? STR("System") : b->names[owner]);
    json_member_i64(o, "used_by", b->used_by[id]);
    json_member_str(o, "notes", row->notes.p ? row->notes : STR(""));
    json_member_raw(o, "tags", row->tags.n ? row->tags : STR("[]"));
    json_member_time(o, "created_at", row->created);
    json_member_time(o, "updated_at", row->updated);
    json_member_time(o, "verified_at", row->verified);
    json_member_time(o, "last_used_at", row->used);
    json_member_time(o, "credentials_due_at", row->due);
    if (row->deleted)
        json_member_time(o, "deleted_at", row->deleted);
    write_warnings(q, o, same_name, missing);
    json_close(o, '}');
}

static enum err write_rows(struct web_request *q, struct json_out *o, const struct connection_row *rows, size_t n,
                           const struct folder_sight *seen, bool same_name, struct fault *why)
{
    struct beside b;
    if (!n)
        return ERR_NONE;
    enum err e = db_snapshot(q->db, why);
    if (e)
        return e;
    e = read_beside(q, rows, n, seen, &b, why);
    db_snapshot_end(q->db);
    for (size_t i = 0; !e && i < n; i++)
        write_one(q, o, &rows[i], &b, same_name);
    return e;
}

enum err connections_write(struct web_request *q, struct json_out *o, const struct connection_row *rows, size_t n,
                           const struct folder_sight *seen, struct fault *why)
{
    return write_rows(q, o, rows, n, seen, false, why);
}

enum err connection_write(struct web_request *q, struct json_out *o, const struct connection_row *row, bool same_name,
                          struct fault *why)
{
    return write_rows(q, o, row, 1, NULL, same_name, why);
}

enum err connection_reply(struct web_request *q, struct reply *r, struct str id, struct fault *why)
{
    struct connection_row row;
    enum err e = connection_get(q->db, q->arena, id, &row, why);
    if (e)
        return e;
    reply_etag(r, q, row.revision);
    struct json_out o = json_out(&r->body);
    return connection_write(q, &o, &row, false, why);
}

struct str connection_audit(struct web_request *q, const struct connection_row *row)
{
    AUTO_BUF text;
    struct json_out o = change_open(&text);
    json_open(&o, '{');
    json_member_str(&o, "key", row->key);
    json_member_str(&o, "name", row->name);
    json_member_str(&o, "folder", row->folder);
    json_member_str(&o, "connector", row->connector);
    json_member_str(&o, "connector_version", row->connector_version);
    json_member_str(&o, "auth_type", row->auth_type);
    json_member_str(&o, "allowed_domain", row->allowed_domain);
    json_member_raw(&o, "fields", row->fields);
    json_member_str(&o, "notes", row->notes);
    json_member_raw(&o, "tags", row->tags.n ? row->tags : STR("[]"));
    json_member_str(&o, "account", row->account);
    json_member_str(&o, "owner", row->owner);
    json_member_str(&o, "state", str_of(connection_state_name(row->state)));
    json_member_str(&o, "health", str_of(connection_health_name(row->health)));
    json_member_bool(&o, "default", row->is_default);
    json_close(&o, '}');
    q->audit.object = arena_str(q->arena, row->id);
    q->audit.name = arena_str(q->arena, row->name);
    q->audit.folder = arena_str(q->arena, row->folder);
    return change_text(q, &text);
}
