/* store/migrations.c - the schema's history. Rows are appended, never edited: the runner stores each row's
 * SHA-256 and stops at boot if an applied row has changed. One transaction per row. Where engines differ, both texts sit
 * in the same row. Statements are separated by semicolons. Times are milliseconds since 1970 (UTC). */
#include "store/migrations.h"

/* Numbers that the engine gives, and tables that are nothing but their key: the engines say it differently. */
#define RUN_BLOCK(NUMBER, KEY_ONLY)                                                                                     \
    "CREATE TABLE run_block ("                                                                                          \
    " id " NUMBER ","                                                                                                   \
    " span BIGINT NOT NULL,"                   /* where its span of ids begins; spans do not overlap */                 \
    " min_id TEXT NOT NULL,"                                                                                            \
    " max_id TEXT NOT NULL,"                                                                                            \
    " from_ms BIGINT NOT NULL,"                /* start of the first call */                                            \
    " to_ms BIGINT NOT NULL,"                  /* start of the last */                                                  \
    " count BIGINT NOT NULL,"                                                                                           \
    " kinds TEXT NOT NULL,"                    /* JSON array, one row per line: who called what, how it ended */        \
    " records TEXT NOT NULL);"                 /* JSON array, one call per line, newest first */                        \
    "CREATE UNIQUE INDEX run_block_in_span ON run_block (span, max_id, min_id, to_ms);"                                 \
    "CREATE INDEX run_block_astray ON run_block (to_ms, span) WHERE to_ms > span + 7200000;"                            \
    "CREATE TABLE run_key ("                                                                                            \
    " key TEXT NOT NULL,"                      /* a connection, a caller, an outcome */                                 \
    " span BIGINT NOT NULL,"                   /* that has records of it */                                             \
    " blocks TEXT,"                            /* in these blocks, with commas between; NULL: in any of the span */     \
    " PRIMARY KEY (key, span))" KEY_ONLY ";"                                                                            \
    "CREATE TABLE run_fresh ("                 /* blocks whose keys are not in run_key yet */                           \
    " span BIGINT NOT NULL,"                                                                                            \
    " block_id BIGINT NOT NULL,"                                                                                        \
    " mask TEXT NOT NULL,"                     /* which keys it may have */                                             \
    " PRIMARY KEY (span, block_id))" KEY_ONLY

/* Who did what. Columns are hashed in this order (access/audit.c). The engine itself refuses to change a record: who wants to must
 * take the triggers away first, and the chain shows it all the same. */
#define AUDIT_TABLE                                                                                                     \
    "CREATE TABLE audit ("                                                                                              \
    " number BIGINT PRIMARY KEY,"              /* 1, 2, 3, ... */                                                       \
    " id TEXT NOT NULL,"                                                                                                \
    " at_ms BIGINT NOT NULL,"                                                                                           \
    " actor TEXT NOT NULL,"                    /* a principal's id, or empty */                                         \
    " actor_name TEXT NOT NULL,"                                                                                        \
    " via TEXT NOT NULL,"                      /* tok_... | session | cli | system */                                   \
    " action TEXT NOT NULL,"                                                                                            \
    " kind TEXT NOT NULL,"                                                                                              \
    " object TEXT NOT NULL,"                                                                                            \
    " name TEXT NOT NULL,"                                                                                              \
    " folder TEXT NOT NULL,"                                                                                            \
    " client TEXT NOT NULL,"                                                                                            \
    " run TEXT NOT NULL,"                                                                                               \
    " outcome TEXT NOT NULL,"                  /* done | refused | failed */                                            \
    " code TEXT NOT NULL,"                                                                                              \
    " before_json TEXT,"                                                                                                \
    " after_json TEXT,"                                                                                                 \
    " previous TEXT NOT NULL,"                 /* hash of the record before; zeros at the first */                      \
    " hash TEXT NOT NULL);"                                                                                             \
    "CREATE INDEX audit_by_actor ON audit (actor, number);"                                                             \
    "CREATE INDEX audit_by_actor_name ON audit (actor_name, number);"                                                   \
    "CREATE INDEX audit_by_object ON audit (object, number);"                                                           \
    "CREATE INDEX audit_by_action ON audit (action, number);"                                                           \
    "CREATE INDEX audit_by_time ON audit (at_ms, number);"                                                              \
    "CREATE INDEX audit_by_folder ON audit (folder, number) WHERE folder <> '';"                                        \
    "CREATE TABLE run_seal ("                  /* run records of an hour, counted (call/run_seal.c) */                  \
    " hour BIGINT PRIMARY KEY,"                                                                                         \
    " count BIGINT NOT NULL,"                                                                                           \
    " sum TEXT NOT NULL,"                      /* of the records' keyed digests */                                      \
    " mac TEXT NOT NULL,"                                                                                               \
    " stated BIGINT NOT NULL);"                /* 1: the chain says so, too */                                          \
    "CREATE INDEX run_seal_new ON run_seal (hour) WHERE stated = 0;"

/* Lists: a filter leads, or several at once (vault/connection_list.c), and each within a folder. deleted_ms, though all rows of an
 * index have the same, spares SQLite a look at the row; so do connector, state and health in the index of all, and the text for
 * searches. */
#define LISTED(NAME, COLUMN, WHICH)                                                                                     \
    "CREATE INDEX connection_list_" NAME " ON connection (" COLUMN "number, folder_id, deleted_ms, search) WHERE " WHICH ";"
#define LISTED_IN_FOLDER(NAME, COLUMN, WHICH)                                                                           \
    "CREATE INDEX connection_folder_" NAME " ON connection (folder_id, " COLUMN "number, deleted_ms) WHERE " WHICH ";"

/* clang-format off */
#define CONNECTION_LIFE                                                                                                            \
    "CREATE TABLE idempotency ("                                                                                                   \
    " id TEXT PRIMARY KEY," /* hex SHA-256 of caller, path and key */                                                              \
    " principal_id TEXT NOT NULL,"                                                                                                 \
    " request TEXT NOT NULL," /* keyed fingerprint of query and body */                                                            \
    " maker TEXT NOT NULL,"   /* which of the requests wrote it */                                                                 \
    " created_ms BIGINT NOT NULL,"                                                                                                 \
    " bytes BIGINT NOT NULL);" /* of the answer, which is a sealed_value; 0: none yet; -1: none was kept */                        \
    "CREATE INDEX idempotency_of ON idempotency (principal_id, bytes);"                                                            \
    "CREATE INDEX idempotency_by_age ON idempotency (created_ms);"                                                                 \
    "ALTER TABLE connection ADD COLUMN number BIGINT NOT NULL DEFAULT 0;"     /* 1, 2, 3 as they are made */                       \
    "ALTER TABLE connection ADD COLUMN deleted_ms BIGINT NOT NULL DEFAULT 0;" /* 0: it is not */                                   \
    "ALTER TABLE connection ADD COLUMN deleted_by TEXT;"                                                                           \
    "ALTER TABLE connection ADD COLUMN state_before TEXT;"                  /* it was deleted */                                   \
    "ALTER TABLE connection ADD COLUMN probe_ms BIGINT NOT NULL DEFAULT 0;" /* next look at its health; 0: not set */              \
    "ALTER TABLE connection ADD COLUMN used_ms BIGINT NOT NULL DEFAULT 0;"  /* last call, verifying aside */                       \
    "ALTER TABLE connection ADD COLUMN due_ms BIGINT NOT NULL DEFAULT 0;"   /* its credentials, by policy; 0: never */             \
    "UPDATE connection SET search = search || '  ', number = counted.n FROM"                                                       \
    " (SELECT id, ROW_NUMBER() OVER (ORDER BY id) AS n FROM connection) AS counted WHERE counted.id = connection.id;"              \
    "ALTER TABLE connection ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';"                                                           \
    "CREATE TABLE connection_tag ("                                                                                                \
    " tag TEXT NOT NULL,"                                                                                                          \
    " number BIGINT NOT NULL," /* the connection's */                                                                              \
    " connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,"                                                   \
    " PRIMARY KEY (tag, number));"                                                                                                 \
    "CREATE INDEX connection_tag_of ON connection_tag (connection_id, tag);"                                                       \
    "DROP INDEX connection_key;"                                                                                                   \
    "CREATE UNIQUE INDEX connection_key ON connection (folder_id, key) WHERE deleted_ms = 0;"                                      \
    "DROP INDEX connection_in_folder;"                                                                                             \
    "DROP INDEX connection_by_connector;"                                                                                          \
    "DROP INDEX connection_by_state;"                                                                                              \
    "DROP INDEX connection_by_health;"                                                                                             \
    "CREATE UNIQUE INDEX connection_number ON connection (number) WHERE number > 0;"                                               \
    "CREATE INDEX connection_list_all ON connection (number, folder_id, connector, state, health, deleted_ms)"          \
    " WHERE deleted_ms = 0;"                                                                                            \
    /* Of all rows: for counts, and for references from folders. */                                                     \
    "CREATE INDEX connection_folder_all ON connection (folder_id, deleted_ms, number, search);"                         \
    LISTED("connector", "connector, state, health, ", "deleted_ms = 0")                                                 \
    LISTED("state", "state, health, ", "deleted_ms = 0")                                                                \
    "CREATE INDEX connection_list_default ON connection (is_default, number, folder_id, connector, state, health,"      \
    " deleted_ms, search) WHERE deleted_ms = 0 AND is_default = 1;"                                                             \
    /* They are few: all that a filter may ask of them. */                                                              \
    "CREATE INDEX connection_list_deleted ON connection (number, folder_id, deleted_ms, connector, state, health, is_default,"    \
    " search) WHERE deleted_ms > 0;"                                                                                    \
    LISTED_IN_FOLDER("connector", "connector, ", "deleted_ms = 0")                                                      \
    LISTED_IN_FOLDER("state", "state, ", "deleted_ms = 0")                                                              \
    LISTED_IN_FOLDER("health", "health, ", "deleted_ms = 0")                                                            \
    "CREATE INDEX connection_folder_default ON connection (folder_id, is_default, number, connector, deleted_ms)"       \
    " WHERE deleted_ms = 0 AND is_default = 1;"                                                                         \
    LISTED_IN_FOLDER("deleted", "", "deleted_ms > 0")                                                                   \
    "CREATE INDEX connection_trash ON connection (deleted_ms) WHERE deleted_ms > 0;"                                    \
    "CREATE INDEX connection_probe ON connection (state, probe_ms) WHERE deleted_ms = 0;"                               \
    "CREATE INDEX connection_due ON connection (number) WHERE due_ms > 0;"                                              \
    "CREATE INDEX token_grant_value ON token_grant (kind, value)"

/* Announcements: what nodes remember of the database, they forget when one of them has changed it. PostgreSQL tells them all, in
 * the order of commits, and nothing of what was rolled back. docs/internals/store.md says which table announces what. Only what
 * somebody remembers is announced, no bookkeeping (last used, next probe). Twice the same in a transaction is told once. */
#define ANNOUNCE(NAME, EVENT, TABLE, WHEN, FUNCTION)                                                                    \
    "CREATE TRIGGER announce_" NAME " AFTER " EVENT " ON " TABLE " FOR EACH ROW " WHEN " EXECUTE FUNCTION " FUNCTION ";"
#define ANNOUNCE_ANY(TABLE, FUNCTION) ANNOUNCE("any", "INSERT OR UPDATE OR DELETE", TABLE, "", FUNCTION)
#define ANNOUNCE_NEW(TABLE, FUNCTION) ANNOUNCE("new", "INSERT", TABLE, "", FUNCTION)
#define ANNOUNCE_GONE(TABLE, FUNCTION) ANNOUNCE("gone", "DELETE", TABLE, "", FUNCTION)
#define ANNOUNCE_CHANGE(TABLE, CHANGED, FUNCTION) ANNOUNCE("change", "UPDATE", TABLE, "WHEN (" CHANGED ")", FUNCTION)
#define DIFFERS(COLUMN) "OLD." COLUMN " IS DISTINCT FROM NEW." COLUMN
#define ANNOUNCER(NAME, ROW_ID)                                                                                         \
    "CREATE FUNCTION announce_" NAME "() RETURNS trigger LANGUAGE plpgsql AS"                                           \
    " $$ BEGIN PERFORM pg_notify('raccord', 'c ' ||"                                                                    \
    " CASE TG_OP WHEN 'DELETE' THEN OLD." ROW_ID " ELSE NEW." ROW_ID " END); RETURN NULL; END $$;"
#define OF_CONNECTION "announce_connection_id()"
#define ALL_CONNECTIONS "announce('C')"
#define ALL_TOKENS "announce('T')"
#define ALL_KEYS "announce('K')"

#define ANNOUNCEMENTS                                                                                                   \
    "CREATE FUNCTION announce() RETURNS trigger LANGUAGE plpgsql AS"                                                    \
    " $$ BEGIN PERFORM pg_notify('raccord', TG_ARGV[0]); RETURN NULL; END $$;"                                          \
    ANNOUNCER("id", "id")                                                                                               \
    ANNOUNCER("connection_id", "connection_id")                                                                         \
    ANNOUNCER("owner_id", "owner_id")                                                                                   \
    ANNOUNCER("owner", "owner")                                                                                         \
    /* One connection. One that is new was prepared by nobody. */                                                       \
    ANNOUNCE_CHANGE("connection",                                                                                       \
        DIFFERS("key") " OR " DIFFERS("name") " OR " DIFFERS("folder_id") " OR " DIFFERS("connector") " OR "            \
        DIFFERS("connector_version") " OR " DIFFERS("auth_type") " OR " DIFFERS("allowed_domain") " OR "                \
        DIFFERS("fields") " OR " DIFFERS("account") " OR " DIFFERS("owner_id") " OR " DIFFERS("state") " OR "           \
        DIFFERS("is_default") " OR " DIFFERS("deleted_ms") " OR " DIFFERS("restored_ms") " OR "                         \
        "(OLD.health = 'reconnect_required') <> (NEW.health = 'reconnect_required')", "announce_id()")                  \
    ANNOUNCE_GONE("connection", "announce_id()")                                                                        \
    ANNOUNCE_ANY("connection_secret", OF_CONNECTION)                                                                    \
    ANNOUNCE_ANY("connection_tls", OF_CONNECTION)                                                                       \
    ANNOUNCE_ANY("connection_oauth", OF_CONNECTION)                                                                     \
    ANNOUNCE_CHANGE("connection_grant",                                                                                 \
        DIFFERS("generation") " OR " DIFFERS("obtained_ms") " OR " DIFFERS("expires_ms") " OR "                         \
        "(OLD.state = 'over') <> (NEW.state = 'over')", OF_CONNECTION)                                                  \
    ANNOUNCE_GONE("connection_grant", OF_CONNECTION)                                                                    \
    ANNOUNCE("new", "INSERT", "sealed_value", "WHEN (NEW.kind = 'grant')", "announce_owner_id()")                       \
    ANNOUNCE("change", "UPDATE", "sealed_value",                                                                        \
        "WHEN (NEW.kind = 'grant' AND (" DIFFERS("name") " OR " DIFFERS("sealed") "))", "announce_owner_id()")          \
    ANNOUNCE("gone", "DELETE", "sealed_value", "WHEN (OLD.kind = 'grant')", "announce_owner_id()")                      \
    ANNOUNCE("new", "INSERT", "certificate", "WHEN (NEW.state = 'current' AND NEW.connection_id IS NOT NULL)",          \
        "announce_owner()")                                                                                             \
    ANNOUNCE("change", "UPDATE", "certificate",                                                                         \
        "WHEN (NEW.connection_id IS NOT NULL AND (" DIFFERS("state") " OR " DIFFERS("chain") " OR " DIFFERS("has_key") "))", \
        "announce_owner()")                                                                                             \
    ANNOUNCE("gone", "DELETE", "certificate", "WHEN (OLD.state = 'current' AND OLD.connection_id IS NOT NULL)",         \
        "announce_owner()")                                                                                             \
    /* All connections. */                                                                                              \
    ANNOUNCE("new_of_all", "INSERT", "certificate", "WHEN (NEW.state = 'current' AND NEW.connection_id IS NULL)",       \
        ALL_CONNECTIONS)                                                                                                \
    ANNOUNCE("change_of_all", "UPDATE", "certificate",                                                                  \
        "WHEN (NEW.connection_id IS NULL AND (" DIFFERS("state") " OR " DIFFERS("chain") " OR " DIFFERS("has_key") "))", \
        ALL_CONNECTIONS)                                                                                                \
    ANNOUNCE("gone_of_all", "DELETE", "certificate", "WHEN (OLD.state = 'current' AND OLD.connection_id IS NULL)",      \
        ALL_CONNECTIONS)                                                                                                \
    ANNOUNCE_ANY("policy", ALL_CONNECTIONS)                                                                             \
    ANNOUNCE_CHANGE("oauth_client",                                                                                     \
        DIFFERS("key") " OR " DIFFERS("connector") " OR " DIFFERS("client_id") " OR " DIFFERS("settings"), ALL_CONNECTIONS) \
    ANNOUNCE_GONE("oauth_client", ALL_CONNECTIONS)                                                                      \
    ANNOUNCE("move", "UPDATE", "folder", "WHEN (" DIFFERS("parent_id") " OR " DIFFERS("path") ")", ALL_CONNECTIONS)     \
    /* Tokens, and what those who hold them may. */                                                                     \
    ANNOUNCE_CHANGE("folder",                                                                                           \
        DIFFERS("parent_id") " OR " DIFFERS("path") " OR " DIFFERS("kind") " OR " DIFFERS("owner_id") " OR "            \
        DIFFERS("preset") " OR " DIFFERS("inherits"), ALL_TOKENS)                                                       \
    ANNOUNCE_GONE("folder", ALL_TOKENS)                                                                                 \
    ANNOUNCE_ANY("folder_member", ALL_TOKENS)                                                                           \
    ANNOUNCE_ANY("group_member", ALL_TOKENS)                                                                            \
    ANNOUNCE_ANY("connection_share", ALL_TOKENS)                                                                        \
    ANNOUNCE_CHANGE("principal",                                                                                        \
        DIFFERS("kind") " OR " DIFFERS("name") " OR " DIFFERS("role") " OR " DIFFERS("language") " OR "                 \
        DIFFERS("disabled"), ALL_TOKENS)                                                                                \
    ANNOUNCE_GONE("principal", ALL_TOKENS)                                                                              \
    ANNOUNCE_CHANGE("token",                                                                                            \
        DIFFERS("hash") " OR " DIFFERS("name") " OR " DIFFERS("principal_id") " OR " DIFFERS("role") " OR "             \
        DIFFERS("expires_ms") " OR " DIFFERS("revoked_ms") " OR " DIFFERS("narrowed"), ALL_TOKENS)                      \
    ANNOUNCE_GONE("token", ALL_TOKENS)                                                                                  \
    ANNOUNCE_ANY("token_grant", ALL_TOKENS)                                                                             \
    ANNOUNCE_ANY("identity_provider", ALL_TOKENS)                                                                       \
    ANNOUNCE_NEW("identity_link", ALL_TOKENS)                                                                           \
    ANNOUNCE_CHANGE("identity_link", DIFFERS("user_id"), ALL_TOKENS)                                                    \
    ANNOUNCE_GONE("identity_link", ALL_TOKENS)                                                                          \
    ANNOUNCE_ANY("identity_group", ALL_TOKENS)                                                                          \
    /* The ring of wrapping keys. */                                                                                    \
    ANNOUNCE_NEW("wrapping_key", ALL_KEYS)                                                                              \
    ANNOUNCE_CHANGE("wrapping_key",                                                                                     \
        DIFFERS("sealed") " OR " DIFFERS("active") " OR " DIFFERS("master") " OR " DIFFERS("sealed_next") " OR "        \
        DIFFERS("master_next"), ALL_KEYS)                                                                               \
    ANNOUNCE_GONE("wrapping_key", ALL_KEYS)

/* What store/folder_map.h goes by: another number, by chance, whoever changes the tree. One that counts would come again after a
 * change that was undone. */
#define FOLDER_VERSION_TABLE "CREATE TABLE folder_version (one BIGINT PRIMARY KEY, version BIGINT NOT NULL);"
#define FOLDER_VERSION_ON(NAME, WHAT)                                                                                   \
    "CREATE TRIGGER folder_version_" NAME " AFTER " WHAT " ON folder BEGIN"                                             \
    " INSERT INTO folder_version VALUES (1, random()) ON CONFLICT (one) DO UPDATE SET version = excluded.version; END;"
#define FOLDER_VERSION_SQLITE                                                                                           \
    FOLDER_VERSION_TABLE                                                                                                \
    FOLDER_VERSION_ON("new", "INSERT")                                                                                  \
    FOLDER_VERSION_ON("gone", "DELETE")                                                                                 \
    FOLDER_VERSION_ON("change", "UPDATE OF parent_id, inherits")
#define FOLDER_VERSION_POSTGRES                                                                                         \
    FOLDER_VERSION_TABLE                                                                                                \
    "CREATE FUNCTION folder_version() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"                                     \
    " INSERT INTO folder_version VALUES (1, CAST(random() * 9007199254740991 AS BIGINT))"                               \
    " ON CONFLICT (one) DO UPDATE SET version = excluded.version; RETURN NULL; END $$;"                                 \
    "CREATE TRIGGER folder_version AFTER INSERT OR DELETE OR UPDATE OF parent_id, inherits ON folder"                   \
    " FOR EACH STATEMENT EXECUTE FUNCTION folder_version()"
/* clang-format on */

static const struct migration migrations[] = {
    { 1, "people, service accounts, folders",
      .both =
          "CREATE TABLE principal ("
          " id TEXT PRIMARY KEY,"
          " kind TEXT NOT NULL,"                     /* user | service_account | group */
          " name TEXT NOT NULL,"                     /* e-mail, lower-case; or the account's name */
          " role TEXT NOT NULL,"                     /* owner | admin | editor | user | viewer | auditor */
          " password TEXT,"                          /* Argon2id string; NULL: cannot sign in */
          " language TEXT NOT NULL DEFAULT 'en',"
          " disabled BIGINT NOT NULL DEFAULT 0,"
          " revision BIGINT NOT NULL DEFAULT 1,"
          " created_ms BIGINT NOT NULL,"
          " updated_ms BIGINT NOT NULL);"
          "CREATE UNIQUE INDEX principal_name ON principal (kind, name);"
          "CREATE TABLE group_member ("
          " group_id TEXT NOT NULL REFERENCES principal (id) ON DELETE CASCADE,"
          " member_id TEXT NOT NULL REFERENCES principal (id) ON DELETE CASCADE,"
          " PRIMARY KEY (group_id, member_id));"
          "CREATE INDEX group_member_of ON group_member (member_id);"
          "CREATE TABLE folder ("
          " id TEXT PRIMARY KEY,"
          " parent_id TEXT REFERENCES folder (id),"
          " slug TEXT NOT NULL,"
          " path TEXT NOT NULL,"                     /* shared, shared/sales, personal/usr_... */
          " kind TEXT NOT NULL,"                     /* shared | personal */
          " owner_id TEXT REFERENCES principal (id),"
          " preset TEXT NOT NULL DEFAULT 'editors_edit',"
          " inherits BIGINT NOT NULL DEFAULT 1,"
          " revision BIGINT NOT NULL DEFAULT 1,"
          " created_ms BIGINT NOT NULL,"
          " updated_ms BIGINT NOT NULL);"
          "CREATE UNIQUE INDEX folder_path ON folder (path);"
          "CREATE INDEX folder_parent ON folder (parent_id);"
          "CREATE INDEX folder_owner ON folder (owner_id);"
          "CREATE TABLE folder_member ("
          " folder_id TEXT NOT NULL REFERENCES folder (id) ON DELETE CASCADE,"
          " principal_id TEXT NOT NULL REFERENCES principal (id) ON DELETE CASCADE,"
          " role TEXT NOT NULL,"
          " expires_ms BIGINT NOT NULL DEFAULT 0,"
          " PRIMARY KEY (folder_id, principal_id));"
          "CREATE INDEX folder_member_of ON folder_member (principal_id);"
          "CREATE TABLE sign_in_failure ("
          " name TEXT NOT NULL,"
          " at_ms BIGINT NOT NULL);"
          "CREATE INDEX sign_in_failure_of ON sign_in_failure (name, at_ms);"
          "CREATE TABLE session ("
          " hash TEXT PRIMARY KEY,"                  /* hex SHA-256 of the cookie's value */
          " user_id TEXT NOT NULL REFERENCES principal (id) ON DELETE CASCADE,"
          " csrf TEXT NOT NULL,"
          " created_ms BIGINT NOT NULL,"
          " seen_ms BIGINT NOT NULL);"
          "CREATE INDEX session_of ON session (user_id);"
          "CREATE TABLE setting ("
          " name TEXT PRIMARY KEY,"
          " value TEXT NOT NULL)" },
    { 2, "tokens",
      .both =
          "CREATE TABLE token ("
          " id TEXT PRIMARY KEY,"
          " hash TEXT NOT NULL,"                     /* hex SHA-256 of the whole text */
          " last4 TEXT NOT NULL,"
          " name TEXT NOT NULL,"
          " principal_id TEXT NOT NULL REFERENCES principal (id) ON DELETE CASCADE,"
          " role TEXT NOT NULL,"
          " created_ms BIGINT NOT NULL,"
          " expires_ms BIGINT NOT NULL DEFAULT 0,"
          " last_used_ms BIGINT NOT NULL DEFAULT 0,"
          " revoked_ms BIGINT NOT NULL DEFAULT 0);"
          "CREATE UNIQUE INDEX token_hash ON token (hash);"
          "CREATE INDEX token_of ON token (principal_id);"
          "CREATE INDEX token_revoked ON token (revoked_ms) WHERE revoked_ms <> 0;"
          "CREATE INDEX token_over ON token (expires_ms) WHERE expires_ms <> 0;"
          "CREATE TABLE token_grant ("
          " token_id TEXT NOT NULL REFERENCES token (id) ON DELETE CASCADE,"
          " kind TEXT NOT NULL,"                     /* connection; later: folder, action, method, ... */
          " value TEXT NOT NULL,"
          " PRIMARY KEY (token_id, kind, value))" },
    { 3, "wrapping keys, connections and their sealed secrets",
      .both =
          "CREATE TABLE wrapping_key ("
          " id BIGINT PRIMARY KEY,"
          " sealed TEXT NOT NULL,"                   /* base64 of the sealed form, by the master key */
          " active BIGINT NOT NULL,"
          " created_ms BIGINT NOT NULL);"
          "CREATE TABLE connection ("
          " id TEXT PRIMARY KEY,"
          " key TEXT NOT NULL,"
          " name TEXT NOT NULL,"
          " search TEXT NOT NULL,"                   /* key and name, folded to lower case */
          " folder_id TEXT NOT NULL REFERENCES folder (id),"
          " connector TEXT NOT NULL,"
          " connector_version TEXT NOT NULL,"
          " auth_type TEXT NOT NULL,"
          " allowed_domain TEXT NOT NULL,"
          " fields TEXT NOT NULL,"
          " notes TEXT NOT NULL DEFAULT '',"
          " account TEXT,"
          " owner_id TEXT NOT NULL,"
          " state TEXT NOT NULL,"
          " health TEXT NOT NULL DEFAULT 'unknown',"
          " is_default BIGINT NOT NULL DEFAULT 0,"
          " data_key TEXT NOT NULL,"                 /* base64 of the sealed form, by a wrapping key */
          " revision BIGINT NOT NULL DEFAULT 1,"
          " created_ms BIGINT NOT NULL,"
          " updated_ms BIGINT NOT NULL,"
          " verified_ms BIGINT NOT NULL DEFAULT 0);"
          "CREATE UNIQUE INDEX connection_key ON connection (folder_id, key);"
          "CREATE INDEX connection_by_key ON connection (key);"
          "CREATE INDEX connection_in_folder ON connection (folder_id, id);"
          "CREATE INDEX connection_by_connector ON connection (connector, id);"
          "CREATE INDEX connection_by_state ON connection (state, id);"
          "CREATE INDEX connection_by_health ON connection (health, id);"
          "CREATE TABLE connection_secret ("
          " connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,"
          " name TEXT NOT NULL,"
          " sealed TEXT NOT NULL,"                   /* base64 of the sealed form, by the data key */
          " updated_ms BIGINT NOT NULL,"
          " PRIMARY KEY (connection_id, name))" },
    { 4, "run records, many to a row",
      .sqlite = RUN_BLOCK("INTEGER PRIMARY KEY", " WITHOUT ROWID"),
      .postgres = RUN_BLOCK("BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "") },
    { 5, "folders, groups, members and shares",
      .both =
          "CREATE TABLE folder_above ("              /* each folder, and every folder above it */
          " folder_id TEXT NOT NULL REFERENCES folder (id) ON DELETE CASCADE,"
          " above_id TEXT NOT NULL REFERENCES folder (id) ON DELETE CASCADE,"
          " inherited BIGINT NOT NULL,"              /* 1: what is held above reaches the folder */
          " distance BIGINT NOT NULL,"               /* 0: itself */
          " PRIMARY KEY (folder_id, above_id));"
          "CREATE INDEX folder_above_below ON folder_above (above_id, inherited, folder_id);"
          "CREATE INDEX folder_above_from ON folder_above (folder_id, above_id, inherited, distance);" /* no look at the row */
          "INSERT INTO folder_above (folder_id, above_id, inherited, distance) SELECT id, id, 1, 0 FROM folder;"
          "CREATE TABLE connection_share ("          /* one connection, to use only */
          " connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,"
          " target_id TEXT NOT NULL,"                /* the principal or the folder */
          " principal_id TEXT REFERENCES principal (id) ON DELETE CASCADE,"
          " folder_id TEXT REFERENCES folder (id) ON DELETE CASCADE,"
          " expires_ms BIGINT NOT NULL DEFAULT 0,"
          " shared_by TEXT NOT NULL,"
          " created_ms BIGINT NOT NULL,"
          " PRIMARY KEY (connection_id, target_id));"
          "CREATE INDEX connection_share_principal ON connection_share (principal_id, connection_id);"
          "CREATE INDEX connection_share_folder ON connection_share (folder_id, connection_id);"
          "CREATE INDEX connection_owner ON connection (owner_id, id)" },
    { 6, "people: invitations, second factors, sign-in limits",
      .both =
          "DELETE FROM session;"
          "ALTER TABLE session ADD COLUMN id TEXT NOT NULL DEFAULT '';"
          "ALTER TABLE session ADD COLUMN how TEXT NOT NULL DEFAULT 'password';" /* password | second_factor | provider */
          "ALTER TABLE session ADD COLUMN address TEXT NOT NULL DEFAULT '';"
          "ALTER TABLE session ADD COLUMN agent TEXT NOT NULL DEFAULT '';"
          "ALTER TABLE session ADD COLUMN proved_ms BIGINT NOT NULL DEFAULT 0;"  /* when a password or code was last shown */
          "CREATE UNIQUE INDEX session_id ON session (id);"
          "DELETE FROM sign_in_failure;"
          "ALTER TABLE sign_in_failure ADD COLUMN attempt TEXT NOT NULL DEFAULT '';"
          "CREATE INDEX sign_in_failure_at ON sign_in_failure (at_ms);"
          "CREATE TABLE sign_in_lock ("
          " name TEXT PRIMARY KEY,"                  /* hex SHA-256, as in sign_in_failure */
          " strikes BIGINT NOT NULL,"                /* locks in a row: each is longer */
          " until_ms BIGINT NOT NULL);"
          "CREATE TABLE second_factor ("               /* its secret is a sealed_value */
          " user_id TEXT PRIMARY KEY REFERENCES principal (id) ON DELETE CASCADE,"
          " last_step BIGINT NOT NULL DEFAULT 0,"    /* of 30 s; RFC 6238 5.2: each is taken once */
          " created_ms BIGINT NOT NULL,"
          " confirmed_ms BIGINT NOT NULL DEFAULT 0);" /* 0: being set up */
          "CREATE TABLE recovery_code ("
          " user_id TEXT NOT NULL REFERENCES principal (id) ON DELETE CASCADE,"
          " hash TEXT NOT NULL,"                     /* hex SHA-256 */
          " PRIMARY KEY (user_id, hash));"
          "CREATE TABLE invitation ("
          " user_id TEXT PRIMARY KEY REFERENCES principal (id) ON DELETE CASCADE," /* a new link takes the old one's place */
          " hash TEXT NOT NULL,"                     /* hex SHA-256 of the code */
          " made_by TEXT NOT NULL,"
          " created_ms BIGINT NOT NULL,"
          " expires_ms BIGINT NOT NULL);"
          "CREATE UNIQUE INDEX invitation_hash ON invitation (hash)" },
    { 7, "token narrowing, policies",
      .both =
          /* Which kinds of grants narrow the token, a bit each (access/narrow.h). */
          "ALTER TABLE token ADD COLUMN narrowed BIGINT NOT NULL DEFAULT 0;"
          "CREATE TABLE policy ("
          " id TEXT PRIMARY KEY,"
          " name TEXT NOT NULL,"
          " description TEXT NOT NULL DEFAULT '',"
          " folder_id TEXT REFERENCES folder (id)," /* NULL: the whole instance */
          " enabled BIGINT NOT NULL DEFAULT 1,"
          " rules TEXT NOT NULL,"                    /* JSON; preset credentials are sealed_values */
          " revision BIGINT NOT NULL DEFAULT 1,"
          " created_ms BIGINT NOT NULL,"
          " updated_ms BIGINT NOT NULL);"
          "CREATE UNIQUE INDEX policy_name ON policy (name);"
          "CREATE TABLE limit_hit ("
          " name TEXT PRIMARY KEY,"
          " hits BIGINT NOT NULL,"
          " last_ms BIGINT NOT NULL)" },
    { 8, "the audit chain",
      .sqlite = AUDIT_TABLE
          "CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit records stay'); END;"
          "CREATE TRIGGER audit_is_not_removed BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit records stay'); END",
      .postgres = AUDIT_TABLE
          "CREATE FUNCTION audit_stays() RETURNS trigger LANGUAGE plpgsql AS"
          " $$ BEGIN RAISE EXCEPTION 'audit records stay'; END $$;"
          "CREATE TRIGGER audit_is_not_changed BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_stays()" },
    { 9, "keys and backups",
      .both =
          "ALTER TABLE wrapping_key ADD COLUMN master TEXT NOT NULL DEFAULT '';"    /* id of the master key; '': not noted */
          "ALTER TABLE wrapping_key ADD COLUMN sealed_next TEXT;"                   /* by the master key that takes over */
          "ALTER TABLE wrapping_key ADD COLUMN master_next TEXT;"
          "ALTER TABLE wrapping_key ADD COLUMN uses BIGINT NOT NULL DEFAULT 0;"     /* values it has sealed */
          "CREATE TABLE data_key ("
          " kind TEXT NOT NULL,"                     /* whose: connection, or the kind of a sealed_value */
          " owner_id TEXT NOT NULL,"
          " wrapping_key BIGINT REFERENCES wrapping_key (id),"    /* that sealed it; NULL: it does not open */
          " sealed TEXT NOT NULL,"                   /* base64 of the sealed form */
          " uses BIGINT NOT NULL DEFAULT 0,"
          " created_ms BIGINT NOT NULL,"
          " PRIMARY KEY (kind, owner_id));"
          "CREATE INDEX data_key_by ON data_key (wrapping_key);"
          "CREATE INDEX data_key_age ON data_key (created_ms);"
          "INSERT INTO data_key (kind, owner_id, wrapping_key, sealed, created_ms)"
          " SELECT 'connection', id, 1, data_key, created_ms FROM connection;"      /* there was one wrapping key */
          "ALTER TABLE connection DROP COLUMN data_key;"
          "ALTER TABLE connection ADD COLUMN restored_ms BIGINT NOT NULL DEFAULT 0;" /* its credentials are from a backup */
          "CREATE TABLE sealed_value ("
          " kind TEXT NOT NULL,"
          " owner_id TEXT NOT NULL,"
          " name TEXT NOT NULL,"
          " sealed TEXT NOT NULL,"                   /* base64 of the sealed form, by the owner's data key */
          " updated_ms BIGINT NOT NULL,"
          " PRIMARY KEY (kind, owner_id, name));"
          "CREATE TABLE key_rotation ("
          " id BIGINT PRIMARY KEY,"                  /* the wrapping key that it made */
          " reason TEXT NOT NULL,"                   /* asked | age | uses */
          " total BIGINT NOT NULL,"                  /* data keys to seal anew, as counted at its start */
          " done BIGINT NOT NULL DEFAULT 0,"
          " broken BIGINT NOT NULL DEFAULT 0,"       /* that did not open */
          " started_ms BIGINT NOT NULL,"
          " finished_ms BIGINT NOT NULL DEFAULT 0)" },
    { 10, "the rest of a connection's life",
      .sqlite = CONNECTION_LIFE
          /* What searches look through, by trigrams. Contents stay in the table of connections; vault/connection_words.c writes it
           * (not triggers: to them, with PRAGMA trusted_schema = OFF, a virtual table is unsafe). */
          ";CREATE VIRTUAL TABLE connection_search USING fts5 (search, content='connection', content_rowid='number',"
          " tokenize='trigram', columnsize=0, detail=none);" /* which rows, not where: a third of the size */
          "CREATE VIRTUAL TABLE connection_gram USING fts5vocab (connection_search, 'instance');"
          "INSERT INTO connection_search (connection_search) VALUES ('rebuild')",
      .postgres = CONNECTION_LIFE
          /* Trigrams, and spans of numbers that this one lies in: vault/connection_words.c says what for. */
          ";CREATE FUNCTION connection_grams(number BIGINT, searched TEXT) RETURNS TSVECTOR LANGUAGE sql IMMUTABLE STRICT AS"
          " $$ SELECT array_to_tsvector(ARRAY(SELECT substr(searched, i, 3) FROM generate_series(1, length(searched) - 2) i)"
          " || ARRAY(SELECT chr(1) || shift || '.' || (number >> shift) FROM unnest(ARRAY[12, 15, 18, 21]) shift)) $$;"
          "CREATE TABLE connection_search ("
          " rowid BIGINT PRIMARY KEY,"               /* the connection's number */
          " grams TSVECTOR NOT NULL);"
          "INSERT INTO connection_search (rowid, grams) SELECT number, connection_grams(number, search) FROM connection"
          " ORDER BY number;"
          /* What is new waits in a list, kB long, that each search reads and a write empties: 4 MB are 7 ms, and a second. */
          "CREATE INDEX connection_search_grams ON connection_search USING gin (grams) WITH (gin_pending_list_limit = 128)" },
    { 11, "client certificates",
      .both =
          "CREATE TABLE certificate ("
          " id TEXT PRIMARY KEY,"
          " owner TEXT NOT NULL,"                    /* a connection's id, 'instance' or 'authority' */
          " connection_id TEXT REFERENCES connection (id) ON DELETE CASCADE,"
          " source TEXT NOT NULL,"                   /* own | connection | instance | authority */
          " state TEXT NOT NULL,"                    /* next | current | retired */
          " name TEXT NOT NULL,"                     /* the common name that was asked for */
          " chain TEXT NOT NULL,"                    /* PEM, public */
          " subject TEXT NOT NULL,"
          " issuer TEXT NOT NULL,"
          " serial TEXT NOT NULL,"
          " fingerprint TEXT NOT NULL,"
          " client_auth BIGINT NOT NULL,"
          " not_before_ms BIGINT NOT NULL,"
          " not_after_ms BIGINT NOT NULL,"
          " created_ms BIGINT NOT NULL,"
          " activated_ms BIGINT NOT NULL DEFAULT 0,"
          " retired_ms BIGINT NOT NULL DEFAULT 0,"
          " has_key BIGINT NOT NULL,"                /* a sealed_value; 0: destroyed */
          " warned BIGINT NOT NULL);"                /* days ahead of the last warning */
          "CREATE UNIQUE INDEX certificate_current ON certificate (owner) WHERE state = 'current';"
          "CREATE UNIQUE INDEX certificate_next ON certificate (owner) WHERE state = 'next';"
          "CREATE INDEX certificate_of ON certificate (owner, id);"
          "CREATE INDEX certificate_in ON certificate (connection_id);"
          "CREATE INDEX certificate_ending ON certificate (state, not_after_ms);"
          "CREATE TABLE connection_tls ("
          " connection_id TEXT PRIMARY KEY REFERENCES connection (id) ON DELETE CASCADE,"
          " source TEXT NOT NULL,"                   /* own | connection | instance; empty: no client certificate */
          " authorities TEXT NOT NULL);"             /* PEM of roots that it trusts besides */
          "CREATE INDEX connection_tls_from ON connection_tls (source)" },
    { 12, "identity providers",
      .both =
          "CREATE TABLE identity_provider ("
          " id TEXT PRIMARY KEY,"
          " key TEXT NOT NULL,"
          " name TEXT NOT NULL,"
          " issuer TEXT NOT NULL,"
          " keys_url TEXT NOT NULL,"                 /* empty: as discovery says */
          " disabled BIGINT NOT NULL,"
          " sign_in TEXT,"                           /* JSON object; NULL: people do not sign in through it */
          " callers TEXT,"                           /* JSON object; NULL: its tokens are not taken */
          " secret_ms BIGINT NOT NULL DEFAULT 0,"    /* since when its client secret is a sealed_value; 0: it has none */
          " revision BIGINT NOT NULL,"
          " created_ms BIGINT NOT NULL,"
          " updated_ms BIGINT NOT NULL);"
          "CREATE UNIQUE INDEX identity_provider_key ON identity_provider (key);"
          "CREATE TABLE identity_rule_connection ("  /* connections that its rules for callers name: who depends on them */
          " provider_id TEXT NOT NULL REFERENCES identity_provider (id) ON DELETE CASCADE,"
          " connection_id TEXT NOT NULL,"
          " PRIMARY KEY (connection_id, provider_id));"
          "CREATE INDEX identity_rule_connection_of ON identity_rule_connection (provider_id);"
          "CREATE TABLE identity_link ("             /* whom a provider's subject is here */
          " provider_id TEXT NOT NULL REFERENCES identity_provider (id) ON DELETE CASCADE,"
          " subject TEXT NOT NULL,"
          " user_id TEXT NOT NULL REFERENCES principal (id) ON DELETE CASCADE,"
          " created_ms BIGINT NOT NULL,"
          " seen_ms BIGINT NOT NULL,"
          " PRIMARY KEY (provider_id, subject));"
          "CREATE INDEX identity_link_of ON identity_link (user_id);"
          "CREATE TABLE identity_group ("            /* the group here that stands for a provider's */
          " provider_id TEXT NOT NULL REFERENCES identity_provider (id) ON DELETE CASCADE,"
          " name TEXT NOT NULL,"
          " group_id TEXT NOT NULL REFERENCES principal (id) ON DELETE CASCADE,"
          " PRIMARY KEY (provider_id, name));"
          "CREATE TABLE identity_attempt ("          /* sign-ins on their way through a provider */
          " state TEXT PRIMARY KEY,"                 /* hex SHA-256, as is what the browser holds */
          " browser TEXT NOT NULL,"
          " provider_id TEXT NOT NULL REFERENCES identity_provider (id) ON DELETE CASCADE,"
          " return_path TEXT NOT NULL,"
          " network TEXT NOT NULL DEFAULT '',"       /* hex SHA-256 of where it was begun, for its limit */
          " session TEXT NOT NULL DEFAULT '',"       /* ses_... that shows again who it is; '': a sign-in */
          " used_ms BIGINT NOT NULL DEFAULT 0,"      /* came back, and was not right so far */
          " expires_ms BIGINT NOT NULL);"
          "CREATE INDEX identity_attempt_by_age ON identity_attempt (expires_ms)" },
    { 13, "OAuth clients",
      .both =
          "CREATE TABLE oauth_client ("              /* its secrets are sealed_values */
          " id TEXT PRIMARY KEY,"
          " key TEXT NOT NULL,"
          " name TEXT NOT NULL,"
          " connector TEXT NOT NULL,"                /* empty: of none in particular */
          " client_id TEXT NOT NULL,"
          " settings TEXT NOT NULL,"                 /* JSON object: vault/oauth_settings.h */
          " secret_ms BIGINT NOT NULL DEFAULT 0,"    /* since when there is one; 0: there is none */
          " next_secret_ms BIGINT NOT NULL DEFAULT 0,"
          " private_key_ms BIGINT NOT NULL DEFAULT 0,"
          " next_private_key_ms BIGINT NOT NULL DEFAULT 0,"
          " jwk TEXT NOT NULL DEFAULT '',"           /* the public half of private_key, JSON; empty: there is none */
          " next_jwk TEXT NOT NULL DEFAULT '',"
          " discovered_ms BIGINT NOT NULL DEFAULT 0," /* when its issuer was asked; 0: never */
          " revision BIGINT NOT NULL,"
          " created_ms BIGINT NOT NULL,"
          " updated_ms BIGINT NOT NULL);"
          "CREATE UNIQUE INDEX oauth_client_key ON oauth_client (key);"
          "CREATE TABLE connection_oauth ("          /* of connections whose credential is a grant */
          " connection_id TEXT PRIMARY KEY REFERENCES connection (id) ON DELETE CASCADE,"
          " client_id TEXT NOT NULL DEFAULT '',"     /* cli_..., or pol_.../connector of a preset; empty: the connection's own */
          " scopes TEXT);"                           /* one blank between; NULL: those of the client, or the connector's */
          "CREATE INDEX connection_oauth_of ON connection_oauth (client_id)" },
    { 14, "grants and their renewals",
      .both =
          "CREATE TABLE connection_grant ("
          " connection_id TEXT PRIMARY KEY REFERENCES connection (id) ON DELETE CASCADE,"
          " state TEXT NOT NULL DEFAULT 'none',"     /* none | good | failing | paused | over */
          " generation BIGINT NOT NULL DEFAULT 0,"   /* of the stored tokens, which are sealed_values of kind 'grant' */
          " obtained_ms BIGINT NOT NULL DEFAULT 0,"
          " expires_ms BIGINT NOT NULL DEFAULT 0,"   /* 0: not known */
          " next_ms BIGINT NOT NULL DEFAULT 0,"      /* when it is renewed by itself; 0: not */
          " again_ms BIGINT NOT NULL DEFAULT 0,"     /* after a failure: not before */
          " refreshable BIGINT NOT NULL DEFAULT 0,"
          " requested TEXT NOT NULL DEFAULT '',"
          " granted TEXT NOT NULL DEFAULT '',"
          " reason TEXT NOT NULL DEFAULT '',"
          " failures BIGINT NOT NULL DEFAULT 0,"     /* in a row */
          " client TEXT NOT NULL DEFAULT '',"        /* cli_...; empty: the connection's own */
          " forced_ms BIGINT NOT NULL DEFAULT 0,"    /* the last renewal because the provider refused the token */
          " skew_ms BIGINT NOT NULL DEFAULT 0,"      /* the token server's clock less ours */
          " from_backup BIGINT NOT NULL DEFAULT 0,"
          " fence BIGINT NOT NULL DEFAULT 0,"        /* counts leases: no write with an older one is taken */
          " holder TEXT NOT NULL DEFAULT '',"        /* of the lease; empty: nobody renews it just now */
          " beat BIGINT NOT NULL DEFAULT 0,"         /* counts while the holder lives */
          " intent_ms BIGINT NOT NULL DEFAULT 0,"    /* since when a request is on its way; 0: none */
          " intent_print TEXT NOT NULL DEFAULT '',"  /* fingerprint of the token in it that can be used once; empty: none */
          " attempt BIGINT NOT NULL DEFAULT 0,"
          " unknown BIGINT NOT NULL DEFAULT 0);"     /* such requests whose answer never came, since the last that did */
          "CREATE INDEX connection_grant_next ON connection_grant (next_ms);"
          "CREATE INDEX connection_grant_held ON connection_grant (holder);"
          "CREATE INDEX connection_grant_of ON connection_grant (client, state);"
          "CREATE INDEX connection_grant_state ON connection_grant (state, connection_id);"
          "CREATE INDEX connection_grant_restored ON connection_grant (connection_id) WHERE from_backup = 1;"
          "CREATE TABLE grant_event ("
          " connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,"
          " number BIGINT NOT NULL,"
          " at_ms BIGINT NOT NULL,"
          " generation BIGINT NOT NULL,"
          " what TEXT NOT NULL,"
          " cause TEXT NOT NULL,"
          " reason TEXT NOT NULL,"
          " node TEXT NOT NULL,"
          " took_ms BIGINT NOT NULL,"
          " PRIMARY KEY (connection_id, number));"
          "CREATE TABLE revocation ("                /* tokens on their way back; each request is a sealed_value */
          " id TEXT PRIMARY KEY,"
          " connection_id TEXT NOT NULL,"            /* which may be gone */
          " name TEXT NOT NULL,"                     /* as it was then, for the audit log */
          " folder TEXT NOT NULL,"
          " host TEXT NOT NULL,"
          " tries BIGINT NOT NULL,"
          " next_ms BIGINT NOT NULL,"
          " created_ms BIGINT NOT NULL);"
          "CREATE INDEX revocation_next ON revocation (next_ms)" },
    { 15, "authorizations under way, connect sessions",
      .both =
          "CREATE TABLE authorization_attempt ("
          " id TEXT PRIMARY KEY,"                    /* aut_...; a device's code is a sealed_value of it */
          " connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,"
          " principal_id TEXT NOT NULL REFERENCES principal (id) ON DELETE CASCADE," /* in whose name */
          " token_id TEXT NOT NULL,"                 /* by which token it was begun, and ends with it; or empty */
          " session TEXT NOT NULL,"                  /* css_..., or empty */
          " device BIGINT NOT NULL,"
          " state TEXT NOT NULL,"                    /* pending | returned | done | failed */
          " reason TEXT NOT NULL,"
          " link TEXT NOT NULL,"                     /* hex SHA-256, as are the next two */
          " browser TEXT NOT NULL,"                  /* empty: nobody followed the link yet */
          " code_state TEXT NOT NULL,"               /* what travels through the provider; empty: not sent yet */
          " issuer TEXT NOT NULL,"
          " redirect_uri TEXT NOT NULL,"
          " return_path TEXT NOT NULL,"
          " user_code TEXT NOT NULL DEFAULT '',"
          " verification_uri TEXT NOT NULL DEFAULT '',"
          " verification_uri_complete TEXT NOT NULL DEFAULT '',"
          " interval_ms BIGINT NOT NULL DEFAULT 0,"
          " next_ms BIGINT NOT NULL DEFAULT 0,"      /* when the provider is asked again; 0: it has given no code yet */
          " created_ms BIGINT NOT NULL,"
          " expires_ms BIGINT NOT NULL,"
          " accept_account BIGINT NOT NULL DEFAULT 0," /* 1: another account than before is meant */
          " ended_ms BIGINT NOT NULL DEFAULT 0);"    /* 0: it has not */
          "CREATE INDEX authorization_attempt_link ON authorization_attempt (link);"
          "CREATE INDEX authorization_attempt_state ON authorization_attempt (code_state);"
          "CREATE INDEX authorization_attempt_of ON authorization_attempt (connection_id, created_ms);"
          "CREATE INDEX authorization_attempt_age ON authorization_attempt (created_ms);"
          "CREATE INDEX authorization_attempt_next ON authorization_attempt (device, state, next_ms);"
          "CREATE TABLE connect_session ("           /* links for people who have no account here */
          " id TEXT PRIMARY KEY,"                    /* css_... */
          " connection_id TEXT REFERENCES connection (id) ON DELETE CASCADE," /* NULL: it is made when the form comes */
          " wanted TEXT NOT NULL DEFAULT '',"        /* JSON: what was said of it by then, or what its person changes */
          " accept_account BIGINT NOT NULL DEFAULT 0," /* 1: another account than before is meant */
          " change_fields BIGINT NOT NULL DEFAULT 0," /* 1: its person may change fields of a connection that is there */
          " principal_id TEXT NOT NULL REFERENCES principal (id) ON DELETE CASCADE," /* who made it, in whose name it acts */
          " token_id TEXT NOT NULL,"                 /* by which token, with whose end it ends; or empty */
          " link TEXT NOT NULL,"                     /* hex SHA-256, as is the next */
          " browser TEXT NOT NULL,"                  /* empty: nobody has begun */
          " state TEXT NOT NULL,"                    /* open | done | withdrawn */
          " authorization_id TEXT NOT NULL,"         /* aut_..., the last one that was begun; or empty */
          " created_ms BIGINT NOT NULL,"
          " expires_ms BIGINT NOT NULL,"
          " ended_ms BIGINT NOT NULL DEFAULT 0);"
          "CREATE UNIQUE INDEX connect_session_link ON connect_session (link);"
          "CREATE INDEX connect_session_of ON connect_session (principal_id, created_ms);"
          "CREATE INDEX connect_session_age ON connect_session (expires_ms)" },
    { 16, "announcements",
      .sqlite = "SELECT 1", /* whoever changes a database of one process tells the rest of it himself */
      .postgres = ANNOUNCEMENTS },
    { 17, "the version of the tree of folders", .sqlite = FOLDER_VERSION_SQLITE, .postgres = FOLDER_VERSION_POSTGRES },
};

const struct migration *migrations_all(size_t *count)
{
    *count = COUNT(migrations);
    return migrations;
}

bool migrations_sound(void)
{
    for (size_t i = 0; i < COUNT(migrations); i++) {
        const struct migration *m = &migrations[i];
        bool one = m->both && !m->sqlite && !m->postgres;
        bool pair = !m->both && m->sqlite && m->postgres;
        if (m->number != (int)i + 1 || !m->what || !(one || pair))
            return false;
    }
    return true;
}
