/* web/policy_explain.c - may this principal do that, and why? The same questions in the same order as the doors ask them, told. */
#include "access/folder.h"
#include "access/policy_store.h"
#include "access/rights.h"
#include "access/token.h"
#include "auth/jwt_caller.h"
#include "call/switchboard.h"
#include "vault/trash.h"
#include "web/body.h"
#include "web/connection_view.h"
#include "web/handlers.h"
#include "web/policy_check.h"

#define TEXT_MAX 1024

struct question {
    struct web_request *q;   /* who asks */
    struct web_request as;   /* the same request, by whom it is about */
    struct caller who;
    const struct route *route;
    struct str principal, operation, connector, auth_type, domain, connection, folder, method, path, action, token, provider;
    const struct json *claims;
    struct address address;
    bool has_address;
    struct policy_trace trace;
    enum err decision;
    struct fault because;
};

/* ---- reading ---- */

static const struct route *route_of(struct str operation)
{
    size_t n;
    const struct route *routes = routes_all(&n);
    /* The audit log calls it what it becomes: connection.create. */
    for (size_t i = 0; i < n; i++)
        if (routes[i].handle == connections_duplicate && str_is(operation, "connection.duplicate"))
            return &routes[i];
    for (size_t i = 0; i < n; i++)
        if (routes[i].audit && str_is(operation, routes[i].audit))
            return &routes[i];
    /* Doors that only read have no name in the audit log: "GET /api/v1/runs". */
    for (size_t i = 0; i < n; i++)
        if (routes[i].methods == METHOD_GET && str_starts(operation, STR("GET ")) &&
            str_is(str_sub(operation, 4, operation.n), routes[i].path))
            return &routes[i];
    return NULL;
}

static enum err read_question(struct question *x, struct fault *why)
{
    static const char *const members[] = { "principal",  "operation", "connector", "auth_type", "domain", "connection", "folder",
                                           "method",     "path",      "address",   "action",    "token",  "identity_provider",
                                           "claims",     NULL };
    const struct json *body = body_of(x->q);
    struct str address;
    struct {
        const char *name;
        struct str *to;
    } texts[] = { { "principal", &x->principal }, { "operation", &x->operation }, { "connector", &x->connector },
                  { "auth_type", &x->auth_type }, { "domain", &x->domain },       { "connection", &x->connection },
                  { "folder", &x->folder },       { "method", &x->method },       { "path", &x->path },
                  { "address", &address },        { "action", &x->action },       { "token", &x->token },
                  { "identity_provider", &x->provider } };
    enum err e = json_only(body, members, "", why);
    for (size_t i = 0; !e && i < COUNT(texts); i++)
        e = body_text(body, texts[i].name, texts[i].to == &x->operation, TEXT_MAX, texts[i].to, why);
    if (e)
        return e;
    if ((e = body_object(body, "claims", &x->claims, why)))
        return e;
    if (!x->claims != !x->provider.p)
        return body_fault(why, ERR_FIELD_REQUIRED, x->claims ? "identity_provider" : "claims", "");
    if (x->claims && (x->principal.p || x->token.p))
        return body_fault(why, ERR_FIELD_INVALID, x->token.p ? "token" : "principal", "the claims say who it is");
    x->has_address = address.p;
    if (address.p && !address_parse(address, &x->address))
        return body_fault(why, ERR_FIELD_INVALID, "address", "an address such as 192.0.2.7");
    x->route = route_of(x->operation);
    if (!x->route)
        return body_fault(why, ERR_FIELD_INVALID, "operation",
                          "as the audit log names it, such as connection.call, or GET and a path");
    return ERR_NONE;
}

static void tell(struct question *x, const char *layer, const char *rule, enum err e, struct str says)
{
    policy_trace_add(&x->trace, (struct policy_step){ .layer = layer, .rule = rule, .allows = !e, .says = says });
}

/* The first refusal is the decision. True: go on. */
static bool settle(struct question *x, enum err e, const struct fault *f)
{
    if (e && !x->decision) {
        x->decision = e;
        x->because = *f;
    }
    return !e;
}

/* ---- who ---- */

/* Whoever presents a token with these claims, of that provider's issuer: rules are for those who may read them. */
static enum err find_issued(struct question *x, struct fault *why)
{
    struct web_request *q = x->q;
    struct identity_provider provider;
    size_t rule;
    enum err e;
    for (size_t i = 0; i < 2; i++) {
        enum right needed = i ? RIGHT_POLICIES : RIGHT_PEOPLE;
        if (!caller_may(q->caller, needed))
            return fault(why, ERR_DENIED, str_of(right_name(needed)), "explain for an issuer's token");
    }
    if ((e = identity_provider_get(q->db, q->arena, x->provider, &provider, why)))
        return e;
    e = jwt_caller_of_claims(q->db, q->arena, &provider, x->claims, &x->who, &rule, &x->because);
    if (e && e != ERR_TOKEN_INVALID) {
        *why = x->because;
        return e;
    }
    x->decision = e; /* that is the answer */
    if (rule != JWT_CALLER_NO_RULE)
        tell(x, "token", "jwt_callers", e, str_fmt(q->arena, "rule %zu of the provider, as %.*s", rule, STR_ARG(x->who.name)));
    else if (x->who.name.n)
        tell(x, "token", "jwt_callers", e, str_fmt(q->arena, "its users, as %.*s", STR_ARG(x->who.name)));
    return ERR_NONE;
}

/* Who it is about. Oneself, with what one holds; others are for administrators to ask about. */
static enum err find_who(struct question *x, struct fault *why)
{
    struct web_request *q = x->q;
    enum err e = ERR_NONE;
    if (x->provider.p)
        return find_issued(x, why);
    bool self =
        !x->token.p && (!x->principal.p || str_eq(x->principal, q->caller->principal) || str_eq(x->principal, q->caller->name));
    if (self) {
        x->who = *q->caller;
        x->who.asked = NULL; /* what is asked about is not what the door asks */
        return ERR_NONE;
    }
    if (x->token.p)
        e = token_caller(q->db, q->arena, x->token, &x->who, &x->because);
    else
        e = principal_caller(q->db, q->arena, x->principal, &x->who, &x->because);
    bool own = str_eq(x->who.principal, q->caller->principal);
    if (!own && !caller_may(q->caller, RIGHT_POLICIES))
        return fault(why, ERR_DENIED, str_of(right_name(RIGHT_POLICIES)), "explain for another");
    if (x->token.p && x->who.principal.p && x->principal.p && !str_eq(x->principal, x->who.principal) &&
        !str_eq(x->principal, x->who.name))
        return body_fault(why, ERR_FIELD_INVALID, "token", "a token of that principal");
    if (e == ERR_TOKEN_INVALID || e == ERR_TOKEN_EXPIRED || e == ERR_UNAUTHENTICATED)
        x->decision = e; /* that is the answer */
    else if (e)
        *why = x->because;
    return x->decision ? ERR_NONE : e;
}

/* ---- answering ---- */

static void ask_right(struct question *x)
{
    struct fault f;
    enum err e = ERR_NONE;
    /* One of folders is asked where the folder is known. */
    if (right_in_folder(x->route->right) || x->route->right == RIGHT_OPEN)
        return;
    e = route_open(x->route, &x->who, &f);
    tell(x, "rights", right_name(x->route->right), e, str_fmt(x->q->arena, "role %s", role_name(caller_role(&x->who))));
    settle(x, e, &f);
}

static const char *const method_names[] = { "GET", "POST", "PUT", "PATCH", "DELETE" };

static struct str door_method(const struct route *r)
{
    for (size_t i = 0; i < COUNT(method_names); i++)
        if (r->methods & 1u << i)
            return str_of(method_names[i]);
    return STR("GET");
}

/* What the token leaves of `method`; where the address is not known it is not asked. */
static void ask_token(struct question *x, struct str method, struct str path)
{
    struct fault f;
    struct narrow n = x->who.narrow;
    if (!x->who.token.p || !n.calls)
        return;
    if (!x->has_address)
        n.lists[NARROW_ADDRESS].set = false;
    enum err e = narrow_check(&n, method, path, x->address.family, x->address.ip, &f);
    tell(x, "token", "grants", e, e ? str_of(arena_cstr(x->q->arena, str_of(f.subject))) : method);
    settle(x, e, &f);
}

static void ask_action(struct question *x)
{
    struct fault f;
    if (!x->action.p || !x->who.narrow.lists[NARROW_ACTION].set)
        return;
    enum err e = narrow_permits_action(&x->who.narrow, x->action)
                     ? ERR_NONE
                     : fault(&f, ERR_TOKEN_NOT_GRANTED, STR("this action"), "narrowed by action");
    tell(x, "token", "actions", e, x->action);
    settle(x, e, &f);
}

static bool is(const struct question *x, const char *operation) { return str_is(x->operation, operation); }
static bool makes_call(const struct question *x) { return is(x, "connection.call") || is(x, "connection.verify"); }
static bool creates(const struct question *x) { return is(x, "connection.create"); }
static bool copies(const struct question *x) { return is(x, "connection.duplicate"); }
static bool moves(const struct question *x) { return is(x, "connection.move"); }
static bool restores(const struct question *x) { return is(x, "connection.restore"); }
static bool authenticates(const struct question *x) { return is(x, "connection.credentials") || is(x, "connection.enable"); }
/* A deleted one, by id: the door's own right is the first thing that is asked of it. */
static enum err find_deleted(struct question *x, struct connection_row *row, struct fault *f)
{
    enum err e = trash_get(x->q->db, x->q->arena, x->connection, row, f);
    return e ? e : rights_need_on_connection(x->q->db, x->q->arena, &x->who, row->id, row->folder, RIGHT_VIEW, f);
}

/* Found, visible, granted, editable, in a state to be called; false: nothing more can be asked. */
static bool ask_connection(struct question *x, struct connection_row *row)
{
    struct fault f;
    enum err e = restores(x) ? find_deleted(x, row, &f) : connection_seen(&x->as, x->q->db, x->connection, row, &f);
    tell(x, "connection", "visible", e, x->connection);
    if (!settle(x, e, &f))
        return false;
    if (right_in_folder(x->route->right)) {
        e = rights_need_on_connection(x->q->db, x->q->arena, &x->who, row->id, row->folder, x->route->right, &f);
        tell(x, "rights", right_name(x->route->right), e, str_fmt(x->q->arena, "role %s", role_name(caller_role(&x->who))));
        settle(x, e, &f);
    }
    if (makes_call(x)) {
        e = switchboard_state_permits(row, &f);
        tell(x, "connection", "state", e, str_of(connection_state_name(row->state)));
        settle(x, e, &f);
    }
    return true;
}

/* The folder that a new connection would go to; a workspace that is not made yet has no policies of its own. */
static bool ask_folder(struct question *x, struct connection_row *row)
{
    struct fault f;
    struct folder_row folder = { 0 };
    bool user = str_starts(x->who.principal, STR("usr_"));
    bool personal = user && (!x->folder.p || str_is(x->folder, "personal"));
    struct str wanted = personal ? STR("personal") : x->folder.p ? x->folder : STR("shared");
    enum err e = folder_resolve(x->q->db, x->q->arena, &x->who, wanted, &folder, &f);
    if (e && personal && !x->who.narrow.lists[NARROW_FOLDER].set)
        return true;
    tell(x, "folder", "visible", e, x->folder.p ? x->folder : folder.path);
    if (!settle(x, e, &f))
        return false;
    row->folder = folder.id;
    e = rights_need(x->q->db, x->q->arena, &x->who, folder.id, RIGHT_EDIT, &f);
    tell(x, "rights", right_name(RIGHT_EDIT), e, folder.path);
    settle(x, e, &f);
    return true;
}

/* The door's own right, in the folder that it is about, or in one in which such a connection would be. */
static bool ask_right_in_folder(struct question *x, struct connection_row *row)
{
    struct fault f;
    struct folder_row folder;
    enum err e = folder_resolve(x->q->db, x->q->arena, &x->who, x->folder, &folder, &f);
    tell(x, "folder", "visible", e, x->folder);
    if (!settle(x, e, &f))
        return false;
    row->folder = folder.id;
    e = rights_need(x->q->db, x->q->arena, &x->who, folder.id, x->route->right, &f);
    tell(x, "rights", right_name(x->route->right), e, folder.path);
    settle(x, e, &f);
    return true;
}

/* A right that is held on objects cannot be told of none: the answer would be “allow” for everybody. What lists show is each one's
 * own business, and where a new connection would go is known. */
static enum err check_object(const struct question *x, struct fault *why)
{
    struct str path = str_of(x->route->path);
    bool list = x->route->methods == METHOD_GET && str_find(path, '{') == SIZE_MAX;
    bool one = copies(x) || moves(x) || restores(x);
    if (!right_in_folder(x->route->right) || x->connection.p || list || creates(x) || (x->folder.p && !one))
        return ERR_NONE;
    return body_fault(why, ERR_FIELD_REQUIRED, str_starts(path, STR("/api/v1/folders")) ? "folder" : "connection", "");
}

/* Whatever of the two is given, in the order of the doors; false: nothing more can be asked. */
static bool ask_object(struct question *x, struct connection_row *row)
{
    if (x->connection.p)
        return ask_connection(x, row);
    if (creates(x))
        return ask_folder(x, row);
    return !x->folder.p || !right_in_folder(x->route->right) || ask_right_in_folder(x, row);
}

/* Where a copy or what is moved would be; STR_NONE: that is not known, or not to be seen. */
static struct str ask_target(struct question *x, const struct connection_row *row)
{
    struct fault f;
    struct folder_row folder = { .id = row->folder, .path = STR("") };
    enum err e = ERR_NONE;
    if (x->folder.p) {
        e = folder_resolve(x->q->db, x->q->arena, &x->who, x->folder, &folder, &f);
        tell(x, "folder", "visible", e, x->folder);
        if (!settle(x, e, &f))
            return STR_NONE;
    }
    e = rights_need(x->q->db, x->q->arena, &x->who, folder.id, RIGHT_EDIT, &f);
    tell(x, "rights", right_name(RIGHT_EDIT), e, folder.path);
    settle(x, e, &f);
    return folder.id;
}

/* A copy is made as any other is; what is moved is asked where it goes. */
static enum err ask_elsewhere(struct question *x, struct connection_row *row, struct fault *why)
{
    const struct policy_set *set = policies_now(x->q);
    struct policy_subject s;
    struct fault f;
    if (moves(x) && !x->folder.p)
        return ERR_NONE;
    struct str to = ask_target(x, row);
    if (!to.p)
        return ERR_NONE;
    if (moves(x)) {
        enum err e = policy_check_move(x->q, x->q->db, row, to, &x->trace, &f);
        settle(x, e, &f);
        return ERR_NONE;
    }
    row->folder = to;
    if (x->auth_type.p)
        row->auth_type = x->auth_type;
    enum err e = policy_subject_of(x->q, x->q->db, row, POLICY_CREATE, &s, why);
    if (e)
        return e;
    settle(x, policy_decide(set, &s, &x->trace, &f), &f);
    settle(x, policy_check_quota(x->q, x->q->db, set, &s, &x->trace, &f), &f);
    return ERR_NONE;
}

static void ask_gates(struct question *x, const struct policy_set *set, struct policy_subject s, struct str method)
{
    struct policy_gate *gates;
    size_t n;
    struct fault f;
    policy_gates(set, &s, x->q->arena, &gates, &n);
    for (size_t i = 0; i < n; i++) {
        bool by_address = gates[i].kind == POLICY_ADDRESSES_ALLOW || gates[i].kind == POLICY_ADDRESSES_BLOCK;
        if (by_address && !x->has_address)
            continue;
        enum err e = policy_gate_check(&gates[i], method, x->address.family, x->address.ip, &f);
        policy_trace_add(&x->trace, (struct policy_step){ gates[i].layer, gates[i].id, gates[i].policy,
                                                          policy_kind_row(gates[i].kind)->name, !e, method });
        settle(x, e, &f);
    }
}

static enum err ask_policies(struct question *x, const struct connection_row *row, struct fault *why)
{
    const struct policy_set *set = policies_now(x->q);
    enum policy_moment moment = creates(x) || restores(x) ? POLICY_CREATE : authenticates(x) ? POLICY_AUTHENTICATE : POLICY_CALL;
    struct policy_subject s;
    struct fault f;
    struct str method = is(x, "connection.verify") || !x->method.p ? STR("GET") : x->method;
    if (!creates(x) && !restores(x) && !authenticates(x) && !makes_call(x))
        return ERR_NONE;
    enum err e = policy_subject_of(x->q, x->q->db, row, moment, &s, why);
    if (e)
        return e;
    settle(x, policy_decide(set, &s, &x->trace, &f), &f);
    if (creates(x) || restores(x)) {
        e = policy_check_quota(x->q, x->q->db, set, &s, &x->trace, &f);
        settle(x, e, &f);
    }
    if (makes_call(x)) {
        ask_token(x, method, x->path);
        ask_gates(x, set, s, method);
    }
    return ERR_NONE;
}

/* At every door, before anything else: a token from elsewhere opens none. */
static void ask_address(struct question *x)
{
    struct fault f;
    if (!x->has_address || narrow_permits_address(&x->who.narrow, x->address.family, x->address.ip))
        return;
    enum err e = fault(&f, ERR_TOKEN_NOT_GRANTED, STR("from this source address"), "narrowed by address");
    tell(x, "token", "addresses", e, STR("from this source address"));
    settle(x, e, &f);
}

static enum err ask(struct question *x, struct fault *why)
{
    struct connection_row row = { .connector = x->connector, .auth_type = x->auth_type, .allowed_domain = x->domain };
    enum err e = check_object(x, why);
    if (e)
        return e;
    ask_right(x);
    ask_address(x);
    if (!x->route->calls)
        ask_token(x, door_method(x->route), STR_NONE);
    if ((creates(x) || copies(x)) && caller_limited(&x->who)) {
        struct fault f;
        settle(x, fault(&f, ERR_DENIED, str_of(right_name(RIGHT_EDIT)), "limited token"), &f);
        tell(x, "token", "connections", ERR_DENIED, STR("limited to connections"));
    }
    if (!ask_object(x, &row))
        return ERR_NONE;
    bool elsewhere = x->connection.p && (copies(x) || moves(x));
    e = elsewhere ? ask_elsewhere(x, &row, why) : ask_policies(x, &row, why);
    ask_action(x);
    return e;
}

static void write_step(struct json_out *o, const struct policy_step *s)
{
    json_open(o, '{');
    json_member_str(o, "layer", str_of(s->layer));
    json_key(o, "policy");
    if (s->policy.p) {
        json_open(o, '{');
        json_member_str(o, "id", s->policy);
        json_member_str(o, "name", s->policy_name);
        json_close(o, '}');
    } else {
        json_put_null(o);
    }
    json_member_str(o, "rule", str_of(s->rule));
    json_member_str(o, "effect", s->allows ? STR("allow") : STR("block"));
    json_member_str(o, "says", s->says.p ? s->says : STR(""));
    json_close(o, '}');
}

enum err policies_explain(struct web_request *q, struct reply *r, struct fault *why)
{
    struct question *x = arena_zero(q->arena, sizeof *x);
    char said[1024];
    enum err e;
    x->q = q;
    x->trace.arena = q->arena;
    if ((e = read_question(x, why)) || (e = find_who(x, why)))
        return e;
    x->as = *q;
    x->as.caller = &x->who;
    x->as.query = STR_NONE;
    if (!x->decision && (e = ask(x, why)))
        return e;
    struct json_out o = json_out(&r->body);
    json_open(&o, '{');
    json_member_str(&o, "decision", x->decision ? STR("block") : STR("allow"));
    json_member_str(&o, "code", x->decision ? str_of(err_row(x->decision)->code) : STR_NONE);
    json_member_str(&o, "because", x->decision ? str_of(fault_say(&x->because, q->language, said, sizeof said)) : STR_NONE);
    json_key(&o, "trace");
    json_open(&o, '[');
    for (size_t i = 0; i < x->trace.count; i++)
        write_step(&o, &x->trace.steps[i]);
    json_close(&o, ']');
    json_close(&o, '}');
    return ERR_NONE;
}
