#include "cmd/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/yaml.h"

/* ---- The table ---- */

#define SECRET    1u /* from the environment only; never listed, logged or taken from argv or the file */
#define LIST      2u /* comma-separated; in the file a YAML list will do */
#define MASKED    4u /* may hold a password: taken from everywhere, never listed */

#define KIB       ((int64_t)1024)
#define MIB       (KIB * 1024)
#define GIB       (MIB * 1024)
#define SECOND_MS ((int64_t)1000)
#define HOUR_MS   (3600 * SECOND_MS)
#define DAY_MS    (24 * HOUR_MS)

enum kind { KIND_TEXT, KIND_BYTES, KIND_MS, KIND_BOOL, KIND_NUMBER, KIND_CHOICE };

struct setting {
    const char *name;
    enum kind kind;
    size_t at;           /* offset in struct config */
    const char *preset;  /* as one would write it; empty text: not set */
    int64_t min, max;    /* of sizes, times and numbers, in their unit */
    const char *choices; /* "a|b|c"; the value is the position */
    unsigned flags;
    const char *help;
};

/* The place of a field; does not compile when the field is of another type than its kind writes. */
#define AT(field, type)                                                                                                            \
    (offsetof(struct config, field) + 0 * sizeof(char[_Generic(((struct config *)NULL)->field, type : 1, default : -1)]))
#define ROW(field, type, k, ...)                                                                                                   \
    {                                                                                                                              \
        .name = #field, .kind = k, .at = AT(field, type), __VA_ARGS__                                                              \
    }
#define TEXT(field, p, f, h)           ROW(field, struct str, KIND_TEXT, .preset = p, .flags = f, .help = h)
#define BYTES(field, p, low, high, h)  ROW(field, int64_t, KIND_BYTES, .preset = p, .min = low, .max = high, .help = h)
#define TIME(field, p, low, high, h)   ROW(field, int64_t, KIND_MS, .preset = p, .min = low, .max = high, .help = h)
#define NUMBER(field, p, low, high, h) ROW(field, int64_t, KIND_NUMBER, .preset = p, .min = low, .max = high, .help = h)
#define BOOL(field, p, h)              ROW(field, bool, KIND_BOOL, .preset = p, .help = h)
#define CHOICE(field, p, c, h)         ROW(field, int, KIND_CHOICE, .preset = p, .choices = c, .help = h)

static const struct setting settings[] = {
    TEXT(listen, "127.0.0.1:8640", 0, "address and port to serve"),
    TEXT(public_url, "", 0,
         "address under which people and providers reach the hub, path prefix included; empty: made from listen"),
    TEXT(data, "./raccord-data", 0, "directory of the database and the generated master key"),
    TEXT(database_url, "", MASKED,
         "a PostgreSQL server (postgres://...), for more than one node; empty or \"sqlite\": the embedded database"),
    TEXT(master_key_file, "", 0,
         "file with the master key; empty: systemd's credential master-key, or else master.key in the data directory"),
    TEXT(master_key, "", SECRET, "the master key itself instead of a file: 32 bytes in base64 or hexadecimal"),
    TEXT(tls.certificate, "", 0, "certificate chain to serve https with, PEM; empty: http"),
    TEXT(tls.key, "", 0, "private key of the certificate, PEM"),
    TEXT(trusted_proxies, "", LIST,
         "addresses or ranges of proxies in front of the hub: only from these is X-Forwarded-For believed"),
    TEXT(hosts, "", LIST, "further host names under which browsers reach the hub, beside those of public_url and listen"),
    BYTES(sign_in.password_memory, "64M", 19 * MIB, GIB, "memory that hashing a password takes (Argon2id)"),
    NUMBER(sign_in.password_passes, "3", 2, 64, "passes over that memory"),
    CHOICE(sign_in.require_second_factor, "none", "none|admins|all", "who must sign in with a second factor"),
    TEXT(public_suffix_file, "", 0, "public suffix list; empty: the system's"),
    TEXT(connectors, "", 0, "directory of connector files beside the built-in ones; read at start"),
    BOOL(header_names.allow_digits, "false", "permit digits in the names of credential headers"),
    CHOICE(oauth.callback, "/oauth/callback", "/oauth/callback|/provisioning_/callback",
           "path of the redirect URI that providers are told"),
    BYTES(oauth.granted_scopes, "16K", 255, 16 * KIB,
          "longest list of scopes that a token may come with; 255 for what cannot store more"),
    BOOL(insecure_listen, "false", "permit serving without TLS on an address that is not loopback"),
    TEXT(egress.allow_private, "", LIST, "ranges, hosts or host:port that calls may reach though they are not public"),
    TEXT(egress.allow_http, "", LIST, "hosts or host:port that calls may reach without TLS"),
    TEXT(egress.ports, "", LIST, "ports that calls may reach; empty: any that a base URL names"),
    TEXT(egress.ca_file, "", 0, "certificate authorities to trust towards providers, PEM; empty: the system's"),
    TEXT(egress.proxy, "", MASKED, "reserved"),
    BYTES(limits.request_head, "32K", KIB, 64 * KIB, "largest head of a request"),
    NUMBER(limits.request_headers, "100", 10, 128, "most headers of a request"),
    BYTES(limits.request_uri, "8K", 256, 64 * KIB, "longest target of a request"),
    BYTES(limits.api_body, "1M", KIB, 256 * MIB, "largest body of a request to the API"),
    BYTES(limits.proxy_body, "10G", KIB, 1024 * GIB, "largest body that a proxied request may send"),
    BYTES(limits.call_request, "10M", KIB, GIB, "largest body that a buffered call may send"),
    BYTES(limits.call_response, "20M", KIB, GIB, "largest answer that a buffered call may get"),
    NUMBER(limits.clients, "20000", 1, 1000000, "most open client connections"),
    NUMBER(limits.upstreams_per_connection, "512", 0, 10000, "most idle sockets kept open per connection, host and thread"),
    NUMBER(limits.workers, "8", 1, 1024, "threads for what blocks: the database, password hashing, imports"),
    NUMBER(limits.worker_queue, "1024", 1, 1000000, "most requests that wait for a worker"),
    TIME(timeouts.connect, "5s", 1, HOUR_MS, "longest time to connect to a provider"),
    TIME(timeouts.tls, "5s", 1, HOUR_MS, "longest time for the TLS handshake with a provider"),
    TIME(timeouts.first_byte, "30s", 1, HOUR_MS, "longest wait for the first byte of an answer"),
    TIME(timeouts.idle, "30s", 1, HOUR_MS, "longest silence within an answer"),
    TIME(timeouts.total, "120s", 0, DAY_MS, "longest time for a whole call; 0: no limit for streams in progress"),
    TIME(timeouts.client_head, "10s", 1, HOUR_MS, "longest time for a client to send its request's head"),
    TIME(timeouts.client_idle, "60s", 1, HOUR_MS, "longest silence of a client"),
    TIME(timeouts.client_total, "300s", 1, DAY_MS, "longest time for a client to send its request"),
    TIME(timeouts.circuit, "5s", 0, HOUR_MS,
         "how long a provider is left alone after half of a connection's last twenty calls failed; 0: never"),
    TIME(timeouts.drain, "30s", 0, HOUR_MS, "longest time for open requests to finish when the hub stops"),
    TIME(retention.runs, "30d", HOUR_MS, 3653 * DAY_MS, "how long run records are kept"),
    TIME(retention.deleted_connections, "31d", 0, 3653 * DAY_MS, "how long a deleted connection can be restored"),
    TIME(retention.deleted_secrets, "31d", 0, 3653 * DAY_MS,
         "how long its credentials are kept, at most as long as itself; 0: they are destroyed at once"),
    TIME(retention.ended_tokens, "31d", 0, 3653 * DAY_MS, "how long a revoked or expired token is listed"),
    TIME(probes.interval, "24h", 0, 365 * DAY_MS, "how often each connection is verified by itself, more or less; 0: never"),
    TEXT(client_certificates.organization, "", 0, "organisation named in client certificates that the hub issues; empty: none"),
    CHOICE(client_certificates.key, "ec-p256", "ec-p256|ec-p384|rsa-3072",
           "kind of key of client certificates and their authority"),
    TIME(client_certificates.valid, "365d", HOUR_MS, 3652 * DAY_MS, "how long a client certificate that the hub issues is valid"),
    TIME(client_certificates.authority_valid, "3650d", HOUR_MS, 3652 * DAY_MS, "how long the authority that issues them is valid"),
    TIME(client_certificates.publish_before, "60d", 0, 3652 * DAY_MS,
         "how long before the end of a client certificate its successor is made and published"),
    TIME(client_certificates.activate_before, "30d", 0, 3652 * DAY_MS,
         "how long before the end of a client certificate its successor is put to use"),
    TIME(client_certificates.keep_retired, "7d", 0, 3652 * DAY_MS,
         "how long a retired client certificate keeps its key, so that it may be put to use again"),
    TEXT(audit.head_file, "", 0,
         "file that the audit log's heads are appended to, best on another machine; empty: audit-heads.log in the data directory"),
    TIME(audit.head_interval, "30s", SECOND_MS, 60 * SECOND_MS, "how often the audit log's head is exported and compared"),
    BOOL(audit.strict, "false", "no audit, no secret: each call is on the disk before its credential is used, or is refused"),
    TEXT(audit.file, "", 0, "with audit.strict: file that calls are appended to before they are made; empty: the database alone"),
    TIME(keys.max_age, "90d", SECOND_MS, 3653 * DAY_MS, "age at which wrapping keys and data keys are replaced"),
    NUMBER(keys.max_uses, "4000000000", 2, 4294967295, "uses after which a wrapping key is replaced"),
    NUMBER(keys.rate, "5000", 1, 1000000, "most data keys that a rotation seals anew in a second"),
    NUMBER(renewals.threads, "8", 1, 64, "renewals of credentials under way at once; half of them towards one host"),
    NUMBER(renewals.rate, "50", 1, 10000, "most token requests a second to one host"),
    CHOICE(log.format, "text", "text|json", "form of the log"),
    CHOICE(log.level, "info", "error|warn|info|debug", "least level that is logged"),
    NUMBER(threads, "0", 0, 1024, "event loops; 0: one per core"),
    TEXT(metrics.listen, "", 0, "address and port of a listener for /metrics alone; empty: none"),
};

/* RACCORD_* variables that are not settings but belong to the program or its tests. */
static const char *const other_variables[] = { "RACCORD_SERVER", "RACCORD_TOKEN", "RACCORD_SOURCE" };

#define FILE_MAX   (1024 * 1024) /* bytes */
#define VALUE_MAX  4096          /* bytes of one value */
#define NAME_SIZE  64
#define ENV_PREFIX "RACCORD_"

enum source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_FLAG };
static const char *const source_names[] = { "default", "file", "environment", "flag" };

struct config_origin {
    enum source source;
    struct str text; /* as it was written; .p NULL for secrets that are not set */
};

struct loading {
    struct arena *a;
    struct config *out;
    struct config_origin *origins;
    const char *file;
    struct fault *why;
};

/* ---- Names ---- */

/* limits.workers -> RACCORD_LIMITS_WORKERS */
static char *variable_name(const char *name, char out[NAME_SIZE])
{
    size_t n = (size_t)snprintf(out, NAME_SIZE, ENV_PREFIX "%s", name);
    for (size_t i = 0; i < n && i < NAME_SIZE - 1; i++)
        out[i] = out[i] == '.' ? '_' : out[i] >= 'a' && out[i] <= 'z' ? (char)(out[i] - 'a' + 'A') : out[i];
    return out;
}

/* limits.workers -> --limits-workers */
static char *flag_name(const char *name, char out[NAME_SIZE])
{
    size_t n = (size_t)snprintf(out, NAME_SIZE, "--%s", name);
    for (size_t i = 0; i < n && i < NAME_SIZE - 1; i++)
        if (out[i] == '.' || out[i] == '_')
            out[i] = '-';
    return out;
}

static char *setting_name(const char *name, char out[NAME_SIZE]) { return str_copy(out, NAME_SIZE, str_of(name)); }

/* How a source spells the settings' names. */
typedef char *spelling(const char *name, char out[NAME_SIZE]);

static const struct setting *find(struct str wanted, spelling *spell)
{
    char name[NAME_SIZE];
    for (size_t i = 0; i < COUNT(settings); i++)
        if (str_is(wanted, spell(settings[i].name, name)))
            return &settings[i];
    return NULL;
}

/* The first setting inside a group such as "tls", or NULL. */
static const struct setting *find_inside(struct str group)
{
    for (size_t i = 0; i < COUNT(settings); i++) {
        struct str name = str_of(settings[i].name);
        if (name.n > group.n && name.p[group.n] == '.' && str_starts(name, group))
            return &settings[i];
    }
    return NULL;
}

/* Single-character edits between two names (Levenshtein). */
static size_t distance(struct str x, struct str y)
{
    size_t row[NAME_SIZE + 1];
    if (x.n >= NAME_SIZE || y.n >= NAME_SIZE)
        return SIZE_MAX;
    for (size_t j = 0; j <= y.n; j++)
        row[j] = j;
    for (size_t i = 1; i <= x.n; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= y.n; j++) {
            size_t change = corner + (x.p[i - 1] != y.p[j - 1]);
            size_t insert = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            corner = row[j];
            row[j] = change < insert ? change : insert;
        }
    }
    return row[y.n];
}

/* " did you mean X?" when a name is close, else nothing. */
static char *suggestion(struct str wrong, spelling *spell, char out[NAME_SIZE + 32])
{
    size_t best = 3;
    out[0] = 0;
    for (size_t i = 0; i < COUNT(settings); i++) {
        char name[NAME_SIZE];
        size_t d = distance(wrong, str_of(spell(settings[i].name, name)));
        if (d >= best)
            continue;
        best = d;
        snprintf(out, NAME_SIZE + 32, "; did you mean %s?", name);
    }
    return out;
}

/* ---- Values ---- */

static const struct {
    const char *unit;
    int64_t size;
} byte_units[] = { { "G", GIB }, { "M", MIB }, { "K", KIB }, { "", 1 } },
  ms_units[] = { { "d", DAY_MS }, { "h", HOUR_MS }, { "m", 60 * SECOND_MS }, { "s", SECOND_MS }, { "ms", 1 } };

/* "32K", "10m", or plain bytes. */
static bool size_parse(struct str s, int64_t *out)
{
    size_t n = 0;
    while (n < s.n && ascii_digit(s.p[n]))
        n++;
    uint64_t value, total;
    if (!str_u64(str_sub(s, 0, n), &value))
        return false;
    for (size_t i = 0; i < COUNT(byte_units); i++)
        if (str_ieq(str_sub(s, n, s.n), str_of(byte_units[i].unit))) {
            if (__builtin_mul_overflow(value, (uint64_t)byte_units[i].size, &total) || total > INT64_MAX)
                return false;
            *out = (int64_t)total;
            return true;
        }
    return false;
}

static bool number_parse(struct str s, int64_t *out)
{
    uint64_t value;
    if (!str_u64(s, &value) || value > INT64_MAX)
        return false;
    *out = (int64_t)value;
    return true;
}

/* A bound as one would write it: 65536 -> "64K", 3600000 -> "1h". */
static char *bound_text(const struct setting *s, int64_t value, char out[32])
{
    for (size_t i = 0; s->kind == KIND_BYTES && i < COUNT(byte_units); i++)
        if (value >= byte_units[i].size && value % byte_units[i].size == 0) {
            snprintf(out, 32, "%" PRId64 "%s", value / byte_units[i].size, byte_units[i].unit);
            return out;
        }
    for (size_t i = 0; s->kind == KIND_MS && i < COUNT(ms_units); i++)
        if (value >= ms_units[i].size && value % ms_units[i].size == 0) {
            snprintf(out, 32, "%" PRId64 "%s", value / ms_units[i].size, ms_units[i].unit);
            return out;
        }
    snprintf(out, 32, "%" PRId64, value);
    return out;
}

/* "a size from 1K to 64K": what would have been right. */
static char *expected(const struct setting *s, char out[128])
{
    static const char *const nouns[] = { [KIND_BYTES] = "a size", [KIND_MS] = "a time", [KIND_NUMBER] = "a whole number" };
    char low[32], high[32];
    switch (s->kind) {
    case KIND_TEXT:
        snprintf(out, 128, "a text without control characters");
        break;
    case KIND_BOOL:
        snprintf(out, 128, "true or false");
        break;
    case KIND_CHOICE:
        snprintf(out, 128, "one of %s", s->choices);
        break;
    default:
        snprintf(out, 128, "%s from %s to %s", nouns[s->kind], bound_text(s, s->min, low), bound_text(s, s->max, high));
    }
    return out;
}

static bool store_number(const struct setting *s, int64_t value, void *to)
{
    if (value < s->min || value > s->max)
        return false;
    *(int64_t *)to = value;
    return true;
}

static bool store_bool(struct str text, void *to)
{
    bool yes = str_is(text, "true");
    if (!yes && !str_is(text, "false"))
        return false;
    *(bool *)to = yes;
    return true;
}

static bool store_choice(const struct setting *s, struct str text, void *to)
{
    struct str rest = str_of(s->choices), choice;
    for (int i = 0; str_piece(&rest, '|', &choice); i++)
        if (str_eq(choice, text)) {
            *(int *)to = i;
            return true;
        }
    return false;
}

static bool store(const struct setting *s, struct str text, void *to)
{
    int64_t value;
    switch (s->kind) {
    case KIND_TEXT:
        *(struct str *)to = text;
        return text.n <= VALUE_MAX && !str_has_control(text);
    case KIND_BYTES:
        return size_parse(text, &value) && store_number(s, value, to);
    case KIND_MS:
        return duration_parse(text, &value) && store_number(s, value, to);
    case KIND_NUMBER:
        return number_parse(text, &value) && store_number(s, value, to);
    case KIND_BOOL:
        return store_bool(text, to);
    case KIND_CHOICE:
        return store_choice(s, text, to);
    }
    return false;
}

/* `where` is what the person wrote: a file, a variable, a flag. Secrets stay where they are, the rest is copied. */
static enum err take(struct loading *l, const struct setting *s, struct str text, enum source source, const char *where)
{
    char name[NAME_SIZE], form[128];
    if (s->flags & SECRET && source != SOURCE_ENVIRONMENT)
        return fault(l->why, ERR_CONFIG,
                     str_fmt(l->a, "%s is taken from the environment only: %s", s->name, variable_name(s->name, name)),
                     "given in %s", where);
    if (!(s->flags & SECRET))
        text = arena_str(l->a, text);
    if (!store(s, text, (char *)l->out + s->at))
        return fault(l->why, ERR_CONFIG, str_fmt(l->a, "%s must be %s (%s)", s->name, expected(s, form), where),
                     "setting %s from the %s", s->name, source_names[source]);
    l->origins[s - settings] = (struct config_origin){ source, text };
    return ERR_NONE;
}

/* ---- Defaults ---- */

static enum err load_presets(struct loading *l)
{
    for (size_t i = 0; i < COUNT(settings); i++) {
        const struct setting *s = &settings[i];
        if (s->flags & SECRET)
            continue;
        if (!store(s, str_of(s->preset), (char *)l->out + s->at))
            bug("setting %s: its default is not valid", s->name);
        l->origins[i] = (struct config_origin){ SOURCE_DEFAULT, str_of(s->preset) };
    }
    return ERR_NONE;
}

/* ---- The file ---- */

static inline void file_end(FILE **f)
{
    if (*f)
        fclose(*f);
}
#define AUTO_FILE __attribute__((cleanup(file_end))) FILE *

static enum err file_fault(struct loading *l, const char *what)
{
    return fault(l->why, ERR_FILE, str_fmt(l->a, "the configuration file cannot be read: %s (%s)", what, l->file), "configuration");
}

static enum err file_read(struct loading *l, struct str *out)
{
    AUTO_FILE f = fopen(l->file, "re");
    if (!f)
        return file_fault(l, strerror(errno));
    char *text = arena_alloc(l->a, FILE_MAX + 1);
    size_t n = fread(text, 1, FILE_MAX + 1, f);
    if (ferror(f))
        return file_fault(l, strerror(errno));
    if (n > FILE_MAX)
        return file_fault(l, "larger than 1M");
    *out = (struct str){ text, n };
    return ERR_NONE;
}

/* A scalar as text; false for the rest. */
static bool scalar_text(const struct json *v, struct str *out)
{
    *out = v->type == JSON_TRUE ? STR("true") : v->type == JSON_FALSE ? STR("false") : v->text;
    return v->type != JSON_ARRAY && v->type != JSON_OBJECT && v->type != JSON_NULL;
}

static bool list_text(struct arena *a, const struct json *v, struct str *out)
{
    *out = STR("");
    json_each (item, v) {
        struct str text;
        if (!scalar_text(item, &text) || str_find(text, ',') != SIZE_MAX)
            return false;
        *out = out->n ? arena_join(a, arena_join(a, *out, STR(",")), text) : text;
    }
    return true;
}

static enum err file_setting(struct loading *l, const struct setting *s, const struct json *v)
{
    struct str text;
    if (v->type == JSON_NULL) /* "name:" and nothing behind it */
        return ERR_NONE;
    bool fits = s->flags & LIST && v->type == JSON_ARRAY ? list_text(l->a, v, &text) : scalar_text(v, &text);
    if (!fits)
        return fault(
            l->why, ERR_CONFIG,
            str_fmt(l->a, "%s must be a single value%s (%s)", s->name, s->flags & LIST ? " or a list of them" : "", l->file),
            "wrong shape");
    if (l->origins[s - settings].source == SOURCE_FILE)
        return fault(l->why, ERR_CONFIG, str_fmt(l->a, "%s is given twice (%s)", s->name, l->file), "nested and dotted");
    return take(l, s, text, SOURCE_FILE, l->file);
}

static enum err file_unknown(struct loading *l, struct str name)
{
    char close[NAME_SIZE + 32];
    const struct setting *inside = find_inside(name);
    if (inside)
        return fault(l->why, ERR_CONFIG,
                     str_fmt(l->a, "%.*s holds settings of its own, such as %s (%s)", STR_ARG(name), inside->name, l->file),
                     "a group without a mapping");
    return fault(l->why, ERR_CONFIG,
                 str_fmt(l->a, "“%.*s” is not a setting%s (%s)", STR_ARG(str_sub(name, 0, name.n < 60 ? name.n : 60)),
                         suggestion(name, setting_name, close), l->file),
                 "unknown key");
}

/* `prefix`: "" or "limits.". Depth is bounded by the reader. */
static enum err file_group(struct loading *l, struct str prefix, const struct json *group)
{
    json_each (v, group) {
        struct str name = arena_join(l->a, prefix, v->key);
        const struct setting *s = find(name, setting_name);
        enum err e = ERR_NONE;
        if (s)
            e = file_setting(l, s, v);
        else if (v->type == JSON_OBJECT && v->child)
            e = file_group(l, arena_join(l->a, name, STR(".")), v);
        else if (!find_inside(name) || (v->type != JSON_NULL && v->type != JSON_OBJECT))
            e = file_unknown(l, name);
        if (e)
            return e;
    }
    return ERR_NONE;
}

static enum err load_file(struct loading *l)
{
    struct str text;
    struct json *doc;
    struct fault bad = { 0 };
    if (!l->file)
        return ERR_NONE;
    enum err e = file_read(l, &text);
    if (e)
        return e;
    if (yaml_read(l->a, text, FILE_MAX, &doc, &bad))
        return fault(l->why, ERR_CONFIG, str_fmt(l->a, "%s (%s)", bad.subject, l->file), "%s", bad.note);
    if (doc->type != JSON_OBJECT && doc->type != JSON_NULL)
        return fault(l->why, ERR_CONFIG, str_fmt(l->a, "the file must hold names and values (%s)", l->file), "no mapping");
    return file_group(l, STR(""), doc);
}

/* ---- The environment ---- */

static bool known_otherwise(struct str name)
{
    for (size_t i = 0; i < COUNT(other_variables); i++)
        if (str_is(name, other_variables[i]))
            return true;
    return false;
}

static void warn(struct loading *l, struct str *warnings, struct str name)
{
    char close[NAME_SIZE + 32];
    struct str shown = str_sub(name, 0, name.n < 60 ? name.n : 60);
    warnings[l->out->warning_count++] =
        str_fmt(l->a, "the environment variable %.*s is not a setting%s", STR_ARG(shown), suggestion(name, variable_name, close));
}

static enum err load_environment(struct loading *l, char *const *env)
{
    size_t n = 0;
    while (env && env[n])
        n++;
    struct str *warnings = arena_array(l->a, n + 1, sizeof *warnings);
    l->out->warnings = warnings;
    for (size_t i = 0; i < n; i++) {
        struct str name, value;
        if (!str_cut(str_of(env[i]), '=', &name, &value) || !value.n || !str_starts(name, STR(ENV_PREFIX)) || known_otherwise(name))
            continue;
        const struct setting *s = find(name, variable_name);
        if (!s) {
            warn(l, warnings, name);
            continue;
        }
        enum err e = take(l, s, value, SOURCE_ENVIRONMENT, arena_cstr(l->a, name));
        if (e)
            return e;
    }
    return ERR_NONE;
}

/* ---- Flags ---- */

struct flag {
    const struct setting *setting; /* NULL: --config */
    struct str value;
};

/* The flag at argv[at], if it is ours; *used says how many arguments it takes. A switch needs no value. */
static enum err flag_read(struct loading *l, char **argv, int argc, int at, struct flag *flag, int *used)
{
    struct str name, value;
    *used = 0;
    bool joined = str_cut(str_of(argv[at]), '=', &name, &value);
    flag->setting = str_is(name, "--config") ? NULL : find(name, flag_name);
    if (!flag->setting && !str_is(name, "--config"))
        return ERR_NONE;
    bool alone = flag->setting && flag->setting->kind == KIND_BOOL;
    if (!joined && !alone && (at + 1 >= argc || str_starts(str_of(argv[at + 1]), STR("--"))))
        return fault(l->why, ERR_CONFIG, str_fmt(l->a, "%.*s needs a value", STR_ARG(name)),
                     "the last argument, or a flag follows");
    *used = joined || alone ? 1 : 2;
    flag->value = joined ? value : alone ? STR("true") : str_of(argv[at + 1]);
    return ERR_NONE;
}

/* Takes our flags out of argv. They count last, but --config must be known first. */
static enum err flags_take(struct loading *l, int *argc, char **argv, struct flag *flags, size_t *count)
{
    int kept = 0, used = 1;
    enum err e = ERR_NONE;
    bool over = false;
    for (int i = 0; i < *argc; i += used) {
        over = over || !strcmp(argv[i], "--");
        used = 0;
        if (!over && !e)
            e = flag_read(l, argv, *argc, i, &flags[*count], &used);
        if (!used) {
            argv[kept++] = argv[i];
            used = 1;
            continue;
        }
        if (flags[*count].setting)
            (*count)++;
        else
            l->file = arena_cstr(l->a, flags[*count].value);
    }
    *argc = kept;
    return e;
}

static enum err load_flags(struct loading *l, const struct flag *flags, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char name[NAME_SIZE];
        enum err e = take(l, flags[i].setting, flags[i].value, SOURCE_FLAG, flag_name(flags[i].setting->name, name));
        if (e)
            return e;
    }
    return ERR_NONE;
}

/* ---- The whole ---- */

static bool is_postgres(struct str url) { return str_starts(url, STR("postgres://")) || str_starts(url, STR("postgresql://")); }

struct str config_database(const struct config *c) { return is_postgres(c->database_url) ? c->database_url : STR(""); }

/* What no single row can say. */
static enum err check(const struct config *c, struct fault *why)
{
    if (!c->tls.certificate.n != !c->tls.key.n)
        return fault(why, ERR_CONFIG, STR("tls.certificate and tls.key go together: give both or neither"), "half of a pair");
    if (c->database_url.n && !str_is(c->database_url, "sqlite") && !is_postgres(c->database_url))
        return fault(why, ERR_CONFIG, STR("database_url is neither sqlite nor an address that begins with postgres://"),
                     "database");
    if (c->egress.proxy.n)
        return fault(why, ERR_CONFIG, STR("egress.proxy is reserved: this version calls providers directly; leave it out"),
                     "reserved");
    return ERR_NONE;
}

enum err config_load(struct arena *a, const char *file, char *const *env, int *argc, char **argv, struct config *out,
                     struct fault *why)
{
    struct loading l = { .a = a, .out = out, .file = file, .why = why };
    struct flag *flags = arena_array(a, (size_t)(argv ? *argc : 0) + 1, sizeof *flags);
    size_t flag_count = 0;
    enum err e;
    *out = (struct config){ 0 };
    out->origins = l.origins = arena_array(a, COUNT(settings), sizeof *l.origins);
    if (argv && (e = flags_take(&l, argc, argv, flags, &flag_count)))
        return e;
    if ((e = load_presets(&l)) || (e = load_file(&l)) || (e = load_environment(&l, env)) || (e = load_flags(&l, flags, flag_count)))
        return e;
    return check(out, why);
}

/* ---- Showing ---- */

static struct str shown_value(const struct config *c, size_t row)
{
    struct str text = c->origins[row].text;
    if (settings[row].flags & (SECRET | MASKED))
        return text.n ? STR("(set)") : STR("(not set)");
    return text;
}

static void list_json(const struct config *c, struct buf *out)
{
    char name[NAME_SIZE];
    struct json_out o = json_out(out);
    json_open(&o, '{');
    json_key(&o, "items");
    json_open(&o, '[');
    for (size_t i = 0; i < COUNT(settings); i++) {
        const struct setting *s = &settings[i];
        json_open(&o, '{');
        json_member_str(&o, "name", str_of(s->name));
        json_member_str(&o, "value", shown_value(c, i));
        json_member_str(&o, "source", str_of(source_names[c->origins[i].source]));
        json_member_str(&o, "default", str_of(s->preset));
        json_member_str(&o, "environment", str_of(variable_name(s->name, name)));
        json_member_str(&o, "flag", s->flags & SECRET ? STR_NONE : str_of(flag_name(s->name, name)));
        json_member_str(&o, "help", str_of(s->help));
        json_close(&o, '}');
    }
    json_close(&o, ']');
    json_key(&o, "warnings");
    json_open(&o, '[');
    for (size_t i = 0; i < c->warning_count; i++)
        json_put_str(&o, c->warnings[i]);
    json_close(&o, ']');
    json_close(&o, '}');
}

static void list_line(struct buf *out, const int widths[3], const struct str cells[4])
{
    for (int i = 0; i < 3; i++)
        buf_fmt(out, "%-*.*s  ", widths[i], STR_ARG(cells[i]));
    buf_add(out, cells[3]);
    buf_char(out, '\n');
}

static void list_table(const struct config *c, struct buf *out)
{
    int widths[3] = { 4, 5, 11 };
    for (size_t i = 0; i < COUNT(settings); i++) {
        int name = (int)strlen(settings[i].name), value = (int)shown_value(c, i).n;
        widths[0] = name > widths[0] ? name : widths[0];
        widths[1] = value > widths[1] ? value : widths[1];
    }
    widths[1] = widths[1] < 32 ? widths[1] : 32; /* a longer value pushes its own line only */
    list_line(out, widths, (struct str[]){ STR("NAME"), STR("VALUE"), STR("SOURCE"), STR("HELP") });
    for (size_t i = 0; i < COUNT(settings); i++)
        list_line(out, widths,
                  (struct str[]){ str_of(settings[i].name), shown_value(c, i), str_of(source_names[c->origins[i].source]),
                                  str_of(settings[i].help) });
}

void config_list(const struct config *c, struct buf *out, bool as_json)
{
    if (as_json)
        list_json(c, out);
    else
        list_table(c, out);
}

static void markdown_choices(struct buf *out, const struct setting *s)
{
    struct str rest = str_of(s->choices), choice;
    const char *before = " One of ";
    while (str_piece(&rest, '|', &choice)) {
        buf_fmt(out, "%s`%.*s`", before, STR_ARG(choice));
        before = ", ";
    }
    buf_char(out, '.');
}

static void markdown_bounds(struct buf *out, const struct setting *s)
{
    char low[32], high[32];
    if (s->kind == KIND_CHOICE)
        markdown_choices(out, s);
    if (s->kind == KIND_BYTES || s->kind == KIND_MS || s->kind == KIND_NUMBER)
        buf_fmt(out, " From %s to %s.", bound_text(s, s->min, low), bound_text(s, s->max, high));
    if (s->flags & LIST)
        buf_add(out, STR(" A list, or one text with commas."));
    if (s->flags & SECRET)
        buf_add(out, STR(" Secret: from the environment only, never shown."));
}

void config_markdown(struct buf *out)
{
    char name[NAME_SIZE];
    buf_add(
        out,
        STR("# Settings\n\n"
            "<!-- Made from the table in src/cmd/config.c; a test compares the two. -->\n\n"
            "One YAML file (`--config FILE`), each setting overridden by its environment variable, each overridden by its\n"
            "flag. In the file names nest or are dotted: `tls: {certificate: cert.pem}` and `tls.certificate: cert.pem` are the\n"
            "same. A name that is not in this table is refused; an empty environment variable counts as not set.\n\n"
            "Sizes: bytes, or with `K`, `M`, `G` (powers of 1024). Times: seconds, or with `ms`, `s`, `m`, `h`, `d`.\n"
            "Switches: `true` or `false`; as a flag the name alone means `true`, `--name=false` the opposite.\n\n"
            "`raccord config list` shows what is in force and where each value came from; `raccord config check` reads\n"
            "everything and starts nothing.\n\n"
            "| setting | default | environment | flag | meaning |\n"
            "|---|---|---|---|---|\n"));
    for (size_t i = 0; i < COUNT(settings); i++) {
        const struct setting *s = &settings[i];
        buf_fmt(out, "| `%s` | ", s->name);
        if (s->preset[0])
            buf_fmt(out, "`%s`", s->preset);
        buf_fmt(out, " | `%s` | ", variable_name(s->name, name));
        if (!(s->flags & SECRET))
            buf_fmt(out, "`%s`", flag_name(s->name, name));
        buf_fmt(out, " | %c%s.", s->help[0] >= 'a' && s->help[0] <= 'z' ? s->help[0] - 'a' + 'A' : s->help[0], s->help + 1);
        markdown_bounds(out, s);
        buf_add(out, STR(" |\n"));
    }
}

bool config_is_set(const struct config *c, const char *name)
{
    for (size_t i = 0; i < COUNT(settings); i++)
        if (!strcmp(settings[i].name, name))
            return c->origins[i].source != SOURCE_DEFAULT;
    bug("no setting is called %s", name);
}
