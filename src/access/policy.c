#include "access/policy.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"

#define RULES_MAX 200
#define VALUES_MAX 500
#define TEXT_MAX 256
#define SCOPE_MAX 512
#define QUOTA_MAX 1000000

/* What a rule's `values` are. */
enum entry { NO_VALUES, A_CONNECTOR, AN_AUTH_TYPE, A_DOMAIN, A_METHOD, A_RISK, AN_ADDRESS };
/* What its `value` is. */
enum single { NO_VALUE, A_COUNT, AN_AGE, A_STATE, A_PRESET };

#define STORED (POLICY_CREATE | POLICY_AUTHENTICATE | POLICY_CALL)

static const struct policy_kind_row kinds[] = {
    [POLICY_CONNECTORS_ALLOW] = { "connectors_allow", "values: connector ids", STORED, ERR_CONNECTOR_BLOCKED,
                                  "Only these connectors." },
    [POLICY_CONNECTORS_BLOCK] = { "connectors_block", "values: connector ids", STORED, ERR_CONNECTOR_BLOCKED,
                                  "Not these connectors." },
    [POLICY_AUTH_TYPES_ALLOW] = { "auth_types_allow", "values: auth types; connectors", STORED, ERR_AUTH_TYPE_BLOCKED,
                                  "Only these auth types." },
    [POLICY_AUTH_TYPES_BLOCK] = { "auth_types_block", "values: auth types; connectors", STORED, ERR_AUTH_TYPE_BLOCKED,
                                  "Not these auth types." },
    [POLICY_DOMAINS_ALLOW] = { "domains_allow", "values: hosts or *.patterns; connectors", STORED, ERR_DOMAIN_BLOCKED,
                               "The allowed domain of a connection lies inside one of these." },
    [POLICY_DOMAINS_BLOCK] = { "domains_block", "values: hosts or *.patterns; connectors", STORED, ERR_DOMAIN_BLOCKED,
                               "The allowed domain of a connection touches none of these." },
    [POLICY_DOMAINS_EXACT] = { "domains_exact", "connectors", STORED, ERR_DOMAIN_BLOCKED,
                               "The allowed domain is one host, without a wildcard." },
    [POLICY_MANAGED_ONLY] = { "managed_only", "connectors", STORED, ERR_MANAGED_ONLY,
                              "OAuth clients come from a preset; one's own are refused." },
    [POLICY_PRESET] = { "preset",
                        "connectors, part: field, credential, scopes, oauth_client; name; value; mode: optional, enforced, hidden",
                        STORED, ERR_PRESET_ENFORCED,
                        "The value that is filled in. Enforced: another one is refused. Hidden: enforced, and not shown." },
    [POLICY_METHODS_ALLOW] = { "methods_allow", "values: methods; connectors", POLICY_CALL, ERR_CALL_BLOCKED,
                               "Only calls with these methods." },
    [POLICY_METHODS_BLOCK] = { "methods_block", "values: methods; connectors", POLICY_CALL, ERR_CALL_BLOCKED,
                               "No calls with these methods." },
    [POLICY_RISKS_ALLOW] = { "risks_allow", "values: read, write, destructive; connectors", POLICY_CALL, ERR_CALL_BLOCKED,
                             "Only calls of these risks." },
    [POLICY_RISKS_BLOCK] = { "risks_block", "values: read, write, destructive; connectors", POLICY_CALL, ERR_CALL_BLOCKED,
                             "No calls of these risks." },
    [POLICY_ADDRESSES_ALLOW] = { "addresses_allow", "values: addresses or ranges; connectors", POLICY_CALL, ERR_CALL_BLOCKED,
                                 "Only calls from here." },
    [POLICY_ADDRESSES_BLOCK] = { "addresses_block", "values: addresses or ranges; connectors", POLICY_CALL, ERR_CALL_BLOCKED,
                                 "No calls from here." },
    [POLICY_QUOTA] = { "quota", "value: a number; connectors", 0, ERR_QUOTA_EXCEEDED,
                       "At most so many connections of each connector, in the instance or in the folder and all below." },
    [POLICY_NEW_STATE] = { "new_connections", "value: active or disabled; connectors", 0, ERR_NONE,
                           "How a connection starts once it has its credentials." },
    [POLICY_NAME_FROZEN] = { "name_frozen", "connectors", 0, ERR_NAME_FROZEN, "Names of connections do not change." },
    [POLICY_SECRET_MAX_AGE] = { "secret_max_age", "value: a duration such as 365d; connectors", POLICY_CALL,
                                ERR_CREDENTIALS_TOO_OLD, "Credentials older than this are not used until they are replaced." },
    [POLICY_IDLE_MAX] = { "idle_max", "value: a duration such as 90d; connectors", 0, ERR_NONE,
                          "Connections unused and unchanged for longer are disabled." },
    [POLICY_RUN_RETENTION] = { "run_retention", "value: a duration such as 30d; whole instance only", 0, ERR_NONE,
                               "Run records older than this are removed, where the setting retention.runs does not remove them "
                               "earlier." },
    [POLICY_SECURE] = { "secure", "connectors", 0, ERR_NONE, "Run records keep no path." },
};
_Static_assert(COUNT(kinds) == POLICY_KINDS, "a row for each kind");

static const struct {
    enum entry entry;
    enum single single;
    bool no_connectors, needs_connectors, instance_only;
} forms[] = {
    [POLICY_CONNECTORS_ALLOW] = { A_CONNECTOR, .no_connectors = true },
    [POLICY_CONNECTORS_BLOCK] = { A_CONNECTOR, .no_connectors = true },
    [POLICY_AUTH_TYPES_ALLOW] = { AN_AUTH_TYPE },
    [POLICY_AUTH_TYPES_BLOCK] = { AN_AUTH_TYPE },
    [POLICY_DOMAINS_ALLOW] = { A_DOMAIN },
    [POLICY_DOMAINS_BLOCK] = { A_DOMAIN },
    [POLICY_METHODS_ALLOW] = { A_METHOD },
    [POLICY_METHODS_BLOCK] = { A_METHOD },
    [POLICY_RISKS_ALLOW] = { A_RISK },
    [POLICY_RISKS_BLOCK] = { A_RISK },
    [POLICY_ADDRESSES_ALLOW] = { AN_ADDRESS },
    [POLICY_ADDRESSES_BLOCK] = { AN_ADDRESS },
    [POLICY_PRESET] = { .single = A_PRESET, .needs_connectors = true },
    [POLICY_QUOTA] = { .single = A_COUNT },
    [POLICY_NEW_STATE] = { .single = A_STATE },
    [POLICY_SECRET_MAX_AGE] = { .single = AN_AGE },
    [POLICY_IDLE_MAX] = { .single = AN_AGE },
    [POLICY_RUN_RETENTION] = { .single = AN_AGE, .no_connectors = true, .instance_only = true },
    [POLICY_SECURE] = { NO_VALUES, .single = NO_VALUE },
};
_Static_assert(COUNT(forms) == POLICY_KINDS, "a form for each kind");

static const char *const parts[] = {
    [PRESET_FIELD] = "field", [PRESET_CREDENTIAL] = "credential", [PRESET_OAUTH_CLIENT] = "oauth_client",
    [PRESET_SCOPES] = "scopes"
};
static const char *const modes[] = { [PRESET_OPTIONAL] = "optional", [PRESET_ENFORCED] = "enforced", [PRESET_HIDDEN] = "hidden" };

const struct policy_kind_row *policy_kind_row(size_t kind) { return kind < COUNT(kinds) ? &kinds[kind] : NULL; }

/* Seed limits of the origin that counts integrations per organisation (LIM-01 to LIM-03). */
static const struct {
    const char *name, *rules;
} presets[] = {
    { "genesys",
      "[{\"rule\": \"quota\", \"connectors\": [\"aws-lambda\", \"microsoft-dynamics-365\", \"genesys-cloud\", \"zendesk\"],"
      " \"value\": 10},"
      " {\"rule\": \"quota\", \"connectors\": [\"salesforce\", \"http\"], \"value\": 50},"
      " {\"rule\": \"quota\", \"connectors\": [\"google-cloud\"], \"value\": 100}]" },
};

const char *policy_preset(struct str name)
{
    for (size_t i = 0; i < COUNT(presets); i++)
        if (str_is(name, presets[i].name))
            return presets[i].rules;
    return NULL;
}

/* -- sets ------------------------------------------------------------------------------------------------------ */

struct policy_set *policy_set_keep(struct policy_set *s)
{
    if (s)
        atomic_fetch_add(&s->references, 1);
    return s;
}

void policy_set_release(struct policy_set *s)
{
    if (!s || atomic_fetch_sub(&s->references, 1) != 1)
        return;
    arena_free(s->arena);
    free(s);
}

/* -- domains --------------------------------------------------------------------------------------------------- */

static bool is_wild(struct str s) { return str_starts(s, STR("*.")); }

/* Is `host` at or below `top`? */
static bool at_or_below(struct str host, struct str top)
{
    return str_eq(host, top) || (host.n > top.n && str_ends(host, top) && host.p[host.n - top.n - 1] == '.');
}

bool policy_pattern_covers(struct str pattern, struct str domain)
{
    if (str_is(pattern, "*"))
        return true;
    if (!is_wild(pattern))
        return str_eq(pattern, domain);
    return at_or_below(is_wild(domain) ? str_sub(domain, 2, domain.n) : domain, str_sub(pattern, 2, pattern.n));
}

bool policy_pattern_overlaps(struct str pattern, struct str domain)
{
    return policy_pattern_covers(pattern, domain) || policy_pattern_covers(domain, pattern);
}

/* -- reading --------------------------------------------------------------------------------------------------- */

struct reading {
    struct arena *arena;
    const char *prefix;
    size_t at;
    bool for_folder;
};

static enum err wrong(const struct reading *r, const char *member, struct str says, struct fault *why)
{
    fault(why, ERR_FIELD_INVALID, says, "rule %zu", r->at);
    return fault_at(why, "%s/%zu/%s", r->prefix, r->at, member);
}

static bool plain_word(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_alpha(s.p[i]) && !ascii_digit(s.p[i]) && s.p[i] != '-' && s.p[i] != '_' && s.p[i] != '.')
            return false;
    return s.n && s.n <= 128;
}

/* A-label hosts in lower case: what is compared with. */
static bool domain_pattern(struct str s)
{
    bool wild = is_wild(s);
    struct str host = wild ? str_sub(s, 2, s.n) : s;
    if (str_is(s, "*"))
        return true;
    for (size_t i = 0; i < host.n; i++)
        if (!(host.p[i] >= 'a' && host.p[i] <= 'z') && !ascii_digit(host.p[i]) && host.p[i] != '-' && host.p[i] != '.' &&
            host.p[i] != ':')
            return false;
    return host.n && host.n <= 253 && host.p[0] != '.' && host.p[host.n - 1] != '.';
}

static enum err read_entry(const struct reading *r, enum entry form, struct str typed, struct str *out, struct fault *why)
{
    *out = typed;
    switch (form) {
    case A_METHOD: return narrow_entry(r->arena, NARROW_METHOD, typed, out, why);
    case A_RISK: return narrow_entry(r->arena, NARROW_RISK, typed, out, why);
    case AN_ADDRESS: return narrow_entry(r->arena, NARROW_ADDRESS, typed, out, why);
    case A_DOMAIN:
        return domain_pattern(typed) ? ERR_NONE
                                     : fault(why, ERR_FIELD_INVALID, STR("a host in lower case, *.host, or *"), "domain pattern");
    default:
        return plain_word(typed) ? ERR_NONE : fault(why, ERR_FIELD_INVALID, STR("letters, digits, '-', '_' and '.'"), "word");
    }
}

static enum err read_list(const struct reading *r, const struct json *list, const char *member, enum entry form,
                          struct narrow_list *out, struct fault *why)
{
    if (!json_is(list, JSON_ARRAY) || !list->count || list->count > VALUES_MAX)
        return wrong(r, member, STR("a list of 1 to 500 texts"), why);
    *out = (struct narrow_list){ true, arena_array(r->arena, list->count, sizeof *out->at), 0 };
    json_each (v, list) {
        if (v->type != JSON_STRING)
            return wrong(r, member, STR("a list of 1 to 500 texts"), why);
        enum err e = read_entry(r, form, v->text, &out->at[out->count], why);
        if (e) {
            fault_at(why, "%s/%zu/%s/%zu", r->prefix, r->at, member, out->count);
            return e;
        }
        out->count++;
    }
    return ERR_NONE;
}

static int word_index(struct str word, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_is(word, words[i]))
            return (int)i;
    return -1;
}

static bool scopes_good(struct str list)
{
    struct str one;
    size_t n = 0;
    while (str_word(&list, SCOPES_BETWEEN, &one)) {
        if (one.n > SCOPE_MAX || str_has_control(one))
            return false;
        n++;
    }
    return n > 0;
}

static bool scopes_within(struct str inner, struct str outer)
{
    struct str one, other;
    while (str_word(&inner, SCOPES_BETWEEN, &one)) {
        struct str rest = outer;
        bool found = false;
        while (!found && str_word(&rest, SCOPES_BETWEEN, &other))
            found = str_eq(one, other);
        if (!found)
            return false;
    }
    return true;
}

bool policy_scopes_same(struct str x, struct str y) { return scopes_within(x, y) && scopes_within(y, x); }

static bool scalar(const struct json *v)
{
    return v && (v->type == JSON_STRING || v->type == JSON_NUMBER || v->type == JSON_TRUE || v->type == JSON_FALSE);
}

static enum err read_preset(const struct reading *r, const struct json *v, struct policy_rule *out, struct fault *why)
{
    struct str mode = json_str(v, "mode");
    int part = word_index(json_str(v, "part"), parts, COUNT(parts)),
        how = word_index(mode.p ? mode : STR("optional"), modes, COUNT(modes));
    out->preset.name = json_str(v, "name");
    if (part < 0)
        return wrong(r, "part", STR("field, credential, scopes, oauth_client"), why);
    if (how < 0)
        return wrong(r, "mode", STR("optional, enforced, hidden"), why);
    if (part == PRESET_SCOPES && !out->preset.name.p)
        out->preset.name = STR("scopes");
    if (!plain_word(out->preset.name))
        return wrong(r, "name", STR("letters, digits, '-', '_' and '.'"), why);
    out->preset.part = (enum policy_part)part;
    out->preset.mode = (enum policy_mode)how;
    out->preset.access_key = json_is(json_get(json_get(v, "value"), "access_key"), JSON_TRUE);
    out->preset.client = json_str(json_get(v, "value"), "client");
    if (preset_is_sealed(out->preset.part))
        return ERR_NONE;
    out->preset.value = json_get(v, "value");
    if (part == PRESET_SCOPES && (!json_is(out->preset.value, JSON_STRING) || !scopes_good(out->preset.value->text)))
        return wrong(r, "value", STR("scopes, with blanks or commas between"), why);
    return scalar(out->preset.value) ? ERR_NONE : wrong(r, "value", STR("a text, a number, true or false"), why);
}

static enum err read_single(const struct reading *r, enum single form, const struct json *v, struct policy_rule *out,
                            struct fault *why)
{
    const struct json *value = json_get(v, "value");
    switch (form) {
    case A_COUNT:
        if (!json_i64(value, &out->number) || out->number < 0 || out->number > QUOTA_MAX)
            return wrong(r, "value", STR("0 to 1000000"), why);
        return ERR_NONE;
    case AN_AGE:
        if (!json_is(value, JSON_STRING) || !duration_parse(value->text, &out->number) || out->number < 1000)
            return wrong(r, "value", STR("a duration such as 12h or 30d"), why);
        out->said = value->text;
        return ERR_NONE;
    case A_STATE:
        out->disabled = str_is(json_str(v, "value"), "disabled");
        if (!out->disabled && !str_is(json_str(v, "value"), "active"))
            return wrong(r, "value", STR("active, disabled"), why);
        return ERR_NONE;
    case A_PRESET: return read_preset(r, v, out, why);
    default: return ERR_NONE;
    }
}

/* Members that the kind takes. */
static enum err check_members(const struct reading *r, enum policy_kind kind, const struct json *v, struct fault *why)
{
    const char *allowed[8] = { "rule" };
    char prefix[96];
    size_t n = 1;
    if (!forms[kind].no_connectors)
        allowed[n++] = "connectors";
    if (forms[kind].entry)
        allowed[n++] = "values";
    if (forms[kind].single)
        allowed[n++] = "value";
    if (forms[kind].single == A_PRESET) {
        allowed[n++] = "part";
        allowed[n++] = "name";
        allowed[n++] = "mode";
    }
    allowed[n] = NULL;
    snprintf(prefix, sizeof prefix, "%s/%zu", r->prefix, r->at);
    return json_only(v, allowed, prefix, why);
}

static void prepare(struct arena *a, struct policy_rule *rule)
{
    enum entry form = forms[rule->kind].entry;
    struct narrow n = { 0 };
    if (form != A_METHOD && form != A_RISK && form != AN_ADDRESS)
        return;
    n.lists[form == A_METHOD ? NARROW_METHOD : form == A_RISK ? NARROW_RISK : NARROW_ADDRESS] = rule->values;
    narrow_prepare(a, &n);
    rule->methods = n.methods;
    rule->ranges = n;
}

static enum err read_rule(const struct reading *r, const struct json *v, struct policy_rule *out, struct fault *why)
{
    struct str name = json_str(v, "rule");
    enum policy_kind kind = 0;
    enum err e;
    while (kind < POLICY_KINDS && !str_is(name, kinds[kind].name))
        kind++;
    if (!json_is(v, JSON_OBJECT) || kind == POLICY_KINDS)
        return wrong(r, "rule", STR("the name of a rule; docs/policies.md lists them"), why);
    out->kind = kind;
    if (forms[kind].instance_only && r->for_folder)
        return wrong(r, "rule", STR("it holds for the whole instance only"), why);
    if ((e = check_members(r, kind, v, why)))
        return e;
    const struct json *connectors = json_get(v, "connectors");
    if (!connectors && forms[kind].needs_connectors)
        return wrong(r, "connectors", STR("a list of 1 to 500 texts"), why);
    if (connectors && (e = read_list(r, connectors, "connectors", A_CONNECTOR, &out->connectors, why)))
        return e;
    if (forms[kind].entry && (e = read_list(r, json_get(v, "values"), "values", forms[kind].entry, &out->values, why)))
        return e;
    if ((e = read_single(r, forms[kind].single, v, out, why)))
        return e;
    prepare(r->arena, out);
    return ERR_NONE;
}

enum err policy_read(struct arena *a, const struct json *rules, bool for_folder, const char *prefix, struct policy *out,
                     struct fault *why)
{
    struct reading r = { a, prefix, 0, for_folder };
    if (!json_is(rules, JSON_ARRAY) || rules->count > RULES_MAX) {
        fault(why, ERR_FIELD_INVALID, STR("a list of at most 200 rules"), "rules");
        return fault_at(why, "%s", prefix);
    }
    out->rules = arena_array(a, rules->count + 1, sizeof *out->rules);
    out->rule_count = 0;
    json_each (v, rules) {
        enum err e = read_rule(&r, v, &out->rules[out->rule_count], why);
        if (e)
            return e;
        out->rule_count++;
        r.at++;
    }
    return ERR_NONE;
}

/* -- which rules apply ----------------------------------------------------------------------------------------- */

static bool policy_applies(const struct policy *p, const struct policy_subject *q)
{
    for (size_t i = 0; p->folder.p && i < q->folder_count; i++)
        if (str_eq(p->folder, q->folders[i]))
            return true;
    return !p->folder.p;
}

static bool rule_applies(const struct policy_rule *r, const struct policy_subject *q)
{
    return !r->connectors.set || (q->connector.p && narrow_list_holds(&r->connectors, q->connector));
}

const struct policy_rule *policy_next(const struct policy_set *s, const struct policy_subject *q, enum policy_kind kind, size_t *at,
                                      const struct policy **policy)
{
    size_t seen = 0;
    for (size_t i = 0; s && i < s->count; i++) {
        const struct policy *p = &s->at[i];
        if (*at >= seen + p->rule_count || !policy_applies(p, q)) {
            seen += p->rule_count;
            continue;
        }
        for (size_t k = *at > seen ? *at - seen : 0; k < p->rule_count; k++)
            if (p->rules[k].kind == kind && rule_applies(&p->rules[k], q)) {
                *at = seen + k + 1;
                if (policy)
                    *policy = p;
                return &p->rules[k];
            }
        seen += p->rule_count;
        *at = seen;
    }
    return NULL;
}

int64_t policy_least(const struct policy_set *s, const struct policy_subject *q, enum policy_kind kind)
{
    int64_t least = 0;
    size_t at = 0;
    for (const struct policy_rule *r; (r = policy_next(s, q, kind, &at, NULL));)
        least = !least || r->number < least ? r->number : least;
    return least;
}

/* -- deciding -------------------------------------------------------------------------------------------------- */

void policy_trace_add(struct policy_trace *t, struct policy_step step)
{
    if (!t)
        return;
    if (t->count == t->size) {
        struct policy_step *more = arena_array(t->arena, t->size = t->size ? 2 * t->size : 16, sizeof *more);
        if (t->count)
            memcpy(more, t->steps, t->count * sizeof *more);
        t->steps = more;
    }
    t->steps[t->count++] = step;
}

static bool any_covers(const struct narrow_list *l, struct str domain, bool overlap)
{
    for (size_t i = 0; i < l->count; i++)
        if (overlap ? policy_pattern_overlaps(l->at[i], domain) : policy_pattern_covers(l->at[i], domain))
            return true;
    return false;
}

static bool is_oauth(struct str auth_type) { return str_starts(auth_type, STR("oauth2_")) || str_is(auth_type, "custom_oauth"); }

static bool same_scalar(const struct json *x, const struct json *y)
{
    return x && y && x->type == y->type && str_eq(x->text, y->text);
}

enum verdict { NOT_ASKED, SATISFIED, REFUSED };

static enum verdict verdict(bool asked, bool satisfied) { return !asked ? NOT_ASKED : satisfied ? SATISFIED : REFUSED; }

/* *what: what a refusal is about. */
/* Does a connection have the OAuth client that is meant for it? One that has none yet is about to get it. A rule that gives keys
 * for roles says nothing to grants, and the other way round. */
static enum verdict judge_client(const struct policy *p, const struct policy_rule *r, const struct policy_subject *q)
{
    const struct policy_client *has = &q->client;
    char own[128];
    struct str meant = r->preset.client;
    if (r->preset.mode == PRESET_OPTIONAL || !has->known || has->access_key != r->preset.access_key)
        return NOT_ASKED;
    if (str_is(r->preset.name, "client_id")) { /* the policy's own */
        snprintf(own, sizeof own, "%.*s/%.*s", STR_ARG(p->id), STR_ARG(q->connector));
        meant = str_of(own);
    }
    return verdict(has->own || meant.n, !has->own && (!has->id.n || str_eq(has->id, meant)));
}

/* `p`: whose rule it is; those that gates hold do not ask. */
static enum verdict judge(const struct policy *p, const struct policy_rule *r, const struct policy_subject *q, struct str *what)
{
    unsigned method = q->method.p ? narrow_method(q->method) : 0;
    *what = STR("");
    switch (r->kind) {
    case POLICY_CONNECTORS_ALLOW:
    case POLICY_CONNECTORS_BLOCK:
        *what = q->connector;
        return verdict(q->connector.p, narrow_list_holds(&r->values, q->connector) == (r->kind == POLICY_CONNECTORS_ALLOW));
    case POLICY_AUTH_TYPES_ALLOW:
    case POLICY_AUTH_TYPES_BLOCK:
        *what = q->auth_type;
        return verdict(q->auth_type.p, narrow_list_holds(&r->values, q->auth_type) == (r->kind == POLICY_AUTH_TYPES_ALLOW));
    case POLICY_DOMAINS_ALLOW:
        *what = q->domain;
        return verdict(q->domain.p, any_covers(&r->values, q->domain, false));
    case POLICY_DOMAINS_BLOCK:
        *what = q->domain;
        return verdict(q->domain.p, !any_covers(&r->values, q->domain, true));
    case POLICY_DOMAINS_EXACT:
        *what = q->domain;
        return verdict(q->domain.p, !is_wild(q->domain));
    case POLICY_MANAGED_ONLY:
        *what = q->auth_type;
        return verdict(q->auth_type.p && is_oauth(q->auth_type), !q->client.own);
    case POLICY_PRESET:
        *what = r->preset.name;
        if (r->preset.part == PRESET_OAUTH_CLIENT)
            return judge_client(p, r, q);
        if (r->preset.part == PRESET_SCOPES && r->preset.mode != PRESET_OPTIONAL && q->client.known && !q->client.access_key)
            return verdict(true, policy_scopes_same(q->client.scopes, r->preset.value->text));
        if (r->preset.part != PRESET_FIELD || r->preset.mode == PRESET_OPTIONAL || !q->fields)
            return NOT_ASKED;
        return verdict(true, same_scalar(json_get_str(q->fields, r->preset.name), r->preset.value));
    case POLICY_METHODS_ALLOW:
    case POLICY_RISKS_ALLOW:
        *what = q->method;
        return verdict(q->method.p, r->methods & method);
    case POLICY_METHODS_BLOCK:
    case POLICY_RISKS_BLOCK:
        *what = q->method;
        return verdict(q->method.p, !(r->methods & method));
    case POLICY_ADDRESSES_ALLOW:
    case POLICY_ADDRESSES_BLOCK:
        *what = q->method;
        return verdict(q->method.p,
                       narrow_permits_address(&r->ranges, q->family, q->ip) == (r->kind == POLICY_ADDRESSES_ALLOW));
    case POLICY_SECRET_MAX_AGE:
        *what = r->said;
        return verdict(q->secrets_since, q->now - q->secrets_since < r->number);
    default: return NOT_ASKED;
    }
}

static struct str says(struct arena *a, const struct policy_rule *r)
{
    AUTO_BUF text;
    buf_init(&text, 4096);
    for (size_t i = 0; i < r->values.count && text.n < 1024; i++)
        buf_fmt(&text, i ? ", %.*s" : "%.*s", STR_ARG(r->values.at[i]));
    if (r->said.n)
        buf_add(&text, r->said);
    if (r->kind == POLICY_PRESET)
        buf_fmt(&text, "%s %.*s", parts[r->preset.part], STR_ARG(r->preset.name));
    return text.n ? arena_str(a, buf_str(&text)) : str_of(kinds[r->kind].help);
}

static enum err refuse(enum policy_kind kind, struct str what, struct str policy, struct fault *why)
{
    char said[256];
    snprintf(said, sizeof said, "%.*s (policy “%.*s”)", STR_ARG(what), STR_ARG(policy));
    return fault(why, kinds[kind].err, str_of(said), "rule %s", kinds[kind].name);
}

enum err policy_decide(const struct policy_set *s, const struct policy_subject *q, struct policy_trace *trace, struct fault *why)
{
    enum err first = ERR_NONE;
    /* By kind, then by policy: the answer to two refusals does not depend on which policy is older. */
    for (enum policy_kind kind = 0; kind < POLICY_KINDS && (trace || !first); kind++) {
        const struct policy *p;
        const struct policy_rule *r;
        size_t at = 0;
        while ((kinds[kind].moments & (unsigned)q->moment) && (r = policy_next(s, q, kind, &at, &p))) {
            struct str what;
            enum verdict v = judge(p, r, q, &what);
            if (v == NOT_ASKED)
                continue;
            if (trace)
                policy_trace_add(trace, (struct policy_step){ p->folder.p ? "folder" : "instance", p->id, p->name, kinds[kind].name,
                                                              v == SATISFIED, says(trace->arena, r) });
            if (v == REFUSED && !first)
                first = refuse(kind, what, p->name, why);
        }
    }
    return first;
}

/* -- gates ----------------------------------------------------------------------------------------------------- */

static struct narrow copy_ranges(struct arena *a, const struct policy_rule *r)
{
    struct narrow n = { 0 };
    if (forms[r->kind].entry != AN_ADDRESS)
        return n;
    struct narrow_list *l = &n.lists[NARROW_ADDRESS];
    *l = (struct narrow_list){ true, arena_array(a, r->values.count, sizeof *l->at), r->values.count };
    for (size_t i = 0; i < l->count; i++)
        l->at[i] = arena_str(a, r->values.at[i]);
    narrow_prepare(a, &n);
    return n;
}

void policy_gates(const struct policy_set *s, const struct policy_subject *q, struct arena *a, struct policy_gate **out, size_t *n)
{
    const struct policy *p;
    const struct policy_rule *r;
    *n = 0;
    for (int fill = 0; fill < 2; fill++) {
        if (fill)
            *out = arena_array(a, *n + 1, sizeof **out);
        size_t count = 0;
        for (enum policy_kind kind = POLICY_METHODS_ALLOW; kind <= POLICY_ADDRESSES_BLOCK; kind++)
            for (size_t at = 0; (r = policy_next(s, q, kind, &at, &p)); count++)
                if (fill)
                    (*out)[count] = (struct policy_gate){ kind,
                                                          r->methods,
                                                          copy_ranges(a, r),
                                                          arena_str(a, p->id),
                                                          arena_str(a, p->name),
                                                          p->folder.p ? "folder" : "instance" };
        *n = count;
    }
}

enum err policy_gate_check(const struct policy_gate *g, struct str method, unsigned char family, const unsigned char *ip,
                           struct fault *why)
{
    struct policy_rule r = { .kind = g->kind, .methods = g->methods, .ranges = g->ranges };
    struct policy_subject q = { .moment = POLICY_CALL, .method = method, .family = family, .ip = ip };
    struct str what;
    return judge(NULL, &r, &q, &what) == REFUSED ? refuse(g->kind, what, g->policy, why) : ERR_NONE;
}
