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

static enum err write_credentials(struct web_request *q, struct json_out *o, struct str id,
                                  const struct certificate_view *certificate, struct fault *why)
{
    struct connection_secret_info *infos;
    size_t n;
    enum err e = connection_secret_infos(q->db, q->arena, id, &infos, &n, why);
    if (e)
        return e;
    json_key(o, "credentials");
    json_open(o, '{');
    for (size_t i = 0; i < n; i++)
        write_set(o, arena_cstr(q->arena, infos[i].name), infos[i].updated);
    if (certificate->found)
        write_set(o, "client_certificate", certificate->row.activated);
    json_close(o, '}');
    return ERR_NONE;
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

enum err connection_write(struct web_request *q, struct json_out *o, const struct connection_row *row, bool with_warning,
                          struct fault *why)
{
    struct rights r;
    struct str missing;
    int64_t used_by;
    /* Who has only this one connection does not learn where it lies. */
    enum err e = rights_in_folder(q->db, q->arena, q->caller, row->folder, &r, why);
    if (e || (e = dependants_count(q->db, row->id, &used_by, why)))
        return e;
    json_open(o, '{');
    json_member_str(o, "id", row->id);
    json_member_str(o, "key", row->key);
    json_member_str(o, "name", row->name);
    write_pair(o, "folder", "id", row->folder, "path", r.path);
    write_pair(o, "connector", "id", row->connector, "version", row->connector_version);
    json_member_str(o, "auth_type", row->auth_type);
    json_member_str(o, "allowed_domain", row->allowed_domain);
    json_member_raw(o, "fields", row->fields.n ? row->fields : STR("{}"));
    struct certificate_view certificate;
    if ((e = certificate_view(q, row->id, &certificate, why)) || (e = write_credentials(q, o, row->id, &certificate, why)))
        return e;
    certificate_view_write(o, &certificate);
    json_member_str(o, "state", str_of(connection_state_name(row->state)));
    json_member_str(o, "health", str_of(connection_health_name(row->health)));
    json_member_str(o, "account", row->account.n ? row->account : STR_NONE);
    if ((e = connection_oauth_write(q, o, row, &missing, why)))
        return e;
    json_member_bool(o, "default", row->is_default);
    bool nobody = str_is(row->owner, CONNECTION_OWNER_SYSTEM);
    write_pair(o, "owner", "id", nobody ? STR_NONE : row->owner, "name",
               nobody ? STR("System") : principal_name(q->db, q->arena, row->owner));
    json_member_i64(o, "used_by", used_by);
    json_member_str(o, "notes", row->notes.p ? row->notes : STR(""));
    json_member_raw(o, "tags", row->tags.n ? row->tags : STR("[]"));
    json_member_time(o, "created_at", row->created);
    json_member_time(o, "updated_at", row->updated);
    json_member_time(o, "verified_at", row->verified);
    json_member_time(o, "last_used_at", row->used);
    json_member_time(o, "credentials_due_at", row->due);
    if (row->deleted)
        json_member_time(o, "deleted_at", row->deleted);
    write_warnings(q, o, with_warning, missing);
    json_close(o, '}');
    return ERR_NONE;
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
