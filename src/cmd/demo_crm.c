#include "cmd/demo_crm.h"

#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/json.h"
#include "crypto/hash.h"

#define CONTACTS_MAX 10000
#define TEXT_MAX 200         /* bytes of one value */
#define ANSWER_MAX (1024 * 1024)
#define WAIT_MAX_MS 60000
#define STREAM_MAX (16ull << 30)
#define CONTACT_FIRST 1001   /* the first id */

/* --- The data ------------------------------------------------------------------------------------------------------- */

enum { FIRST_NAME, LAST_NAME, EMAIL, PHONE, COMPANY, CITY, COUNTRY, LANGUAGE, NOTES, CONTACT_TEXTS };
static const struct {
    const char *name;
    bool required;
} contact_texts[CONTACT_TEXTS] = {
    [FIRST_NAME] = { "first_name", false }, [LAST_NAME] = { "last_name", true }, [EMAIL] = { "email", true },
    [PHONE] = { "phone", false },           [COMPANY] = { "company", false },    [CITY] = { "city", false },
    [COUNTRY] = { "country", false },       [LANGUAGE] = { "language", false },  [NOTES] = { "notes", false },
};

struct contact {
    int64_t id;
    char *text[CONTACT_TEXTS]; /* heap; NULL: none */
    char *balance;             /* a JSON number, as it was given */
    int version;
    wall_ms created, updated;
};

struct demo_crm {
    pthread_mutex_t lock;      /* over contacts */
    struct contact *contacts[CONTACTS_MAX]; /* by id; no gaps in the array */
    size_t count;
    int64_t next_id;
    char *origin;
    struct secret token;
};

/* Every row draws from its own seed: the data are the same at every start, whatever the order of making them. */
struct dice {
    uint64_t state;
};
static uint64_t roll(struct dice *d, uint64_t sides) /* splitmix64 */
{
    uint64_t z = d->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % sides;
}

static const char *const first_names[] = {
    "Camille", "Léa", "Manon", "Chloé", "Inès", "Jade", "Zoé", "Éloïse", "Anaïs", "Margaux", "Hugo", "Louis", "Jules", "Théo",
    "Raphaël", "Gaël", "Noël", "Maël", "Aurélien", "Benoît", "Emily", "Olivia", "Grace", "Amelia", "Charlotte", "Harriet", "Imogen",
    "Niamh", "Siân", "Zara", "James", "Oliver", "Henry", "George", "Arthur", "Callum", "Rhys", "Owen", "Zoë", "Frederick",
};
static const char *const last_names[] = {
    "Martin", "Bernard", "Dubois", "Lefèvre", "Moreau", "Girard", "Fournier", "Mercier", "Boyer", "Chevalier", "Gauthier", "Perrin",
    "Clément", "Rousseau", "Lemaître", "D’Aubigné", "Hébert", "Besançon", "Le Goff", "Saint-Clair", "Smith", "Taylor", "Walker",
    "Wright", "Thompson", "Hughes", "Edwards", "Bennett", "Cooper", "Richardson", "O’Connor", "MacLeod", "Fitzgerald", "Ashworth",
    "Pemberton", "Whitaker", "Sinclair", "Holloway", "Brontë", "Llewellyn",
};
static const char *const company_heads[] = {
    "Atelier", "Maison", "Groupe", "Ateliers", "Compagnie", "Fonderie", "Librairie", "Verrerie", "North", "Harbour", "Silver",
    "Oak", "River", "Castle", "Meridian", "Beacon",
};
static const char *const company_tails[] = {
    "Horizon", "Lumière", "du Rhône", "Bellecour", "des Alpes", "Océane", "Garance", "Mistral", "Logistics", "Instruments",
    "Partners", "Foods", "Robotics", "Textiles", "Energy", "& Sons",
};
static const struct { const char *name, *country, *prefix; } cities[] = {
    { "Lyon", "FR", "+33 4 72" },       { "Paris", "FR", "+33 1 44" },     { "Nantes", "FR", "+33 2 40" },
    { "Lille", "FR", "+33 3 20" },      { "Orléans", "FR", "+33 2 38" },   { "Besançon", "FR", "+33 3 81" },
    { "Genève", "CH", "+41 22 310" },   { "Liège", "BE", "+32 4 221" },    { "Montréal", "CA", "+1 514 555" },
    { "London", "GB", "+44 20 7946" },  { "Leeds", "GB", "+44 113 496" },  { "Cardiff", "GB", "+44 29 2018" },
    { "Edinburgh", "GB", "+44 131 496" }, { "Dublin", "IE", "+353 1 555" }, { "Bristol", "GB", "+44 117 496" },
};
#define PICK(d, list) ((list)[roll((d), COUNT(list))])

/* Lower-case ASCII for an address: "Éloïse D’Aubigné" -> "eloise.daubigne". */
static void address_part(char *out, size_t size, const char *name)
{
    static const struct { const char *from; char to; } plain[] = {
        { "é", 'e' }, { "è", 'e' }, { "ê", 'e' }, { "ë", 'e' }, { "É", 'e' }, { "ï", 'i' }, { "î", 'i' }, { "ô", 'o' },
        { "ç", 'c' }, { "â", 'a' }, { "à", 'a' },
    };
    size_t n = 0;
    for (const char *p = name; *p && n + 1 < size; p++) {
        char c = 0;
        for (size_t i = 0; i < COUNT(plain); i++)
            if (strncmp(p, plain[i].from, 2) == 0)
                c = plain[i].to;
        if (ascii_alpha(*p))
            c = ascii_lower(*p);
        if (c)
            out[n++] = c;
    }
    out[n] = 0;
}

static char *text_fmt(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *text_fmt(const char *format, ...)
{
    char text[TEXT_MAX + 1];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return mem_cstr(str_of(text));
}

#define START 1735689600000 /* 2025-01-01 */
#define DAY_MS 86400000

static struct contact *contact_made(int i)
{
    struct dice d = { 0xc0117ac7u + (uint64_t)i * 977 };
    struct contact *c = mem_zero(sizeof *c);
    const char *first = PICK(&d, first_names), *last = PICK(&d, last_names);
    size_t city = roll(&d, COUNT(cities));
    char a[64], b[64];
    address_part(a, sizeof a, first);
    address_part(b, sizeof b, last);
    *c = (struct contact){ .id = CONTACT_FIRST + i, .version = 1 };
    c->text[FIRST_NAME] = text_fmt("%s", first);
    c->text[LAST_NAME] = text_fmt("%s", last);
    c->text[EMAIL] = text_fmt("%s.%s%d@example.%s", a, b, i, roll(&d, 2) ? "com" : "net");
    c->text[PHONE] = text_fmt("%s %04d", cities[city].prefix, (int)roll(&d, 10000));
    c->text[COMPANY] = text_fmt("%s %s", PICK(&d, company_heads), PICK(&d, company_tails));
    c->text[CITY] = text_fmt("%s", cities[city].name);
    c->text[COUNTRY] = text_fmt("%s", cities[city].country);
    c->text[LANGUAGE] = text_fmt("%s", city < 9 ? "fr" : "en");
    c->balance = i == 0 ? text_fmt("19.99") : text_fmt("%d.%02d", (int)roll(&d, 5000), (int)roll(&d, 100));
    c->created = START + (wall_ms)roll(&d, 365) * DAY_MS + (wall_ms)roll(&d, DAY_MS);
    c->updated = c->created + (wall_ms)roll(&d, 30) * DAY_MS;
    return c;
}

static void contact_free(struct contact *c)
{
    for (int i = 0; i < CONTACT_TEXTS; i++)
        free(c->text[i]);
    free(c->balance);
    free(c);
}

struct demo_crm *demo_crm_new(struct str origin, struct str token)
{
    struct demo_crm *crm = mem_zero(sizeof *crm);
    pthread_mutex_init(&crm->lock, NULL);
    crm->origin = mem_cstr(origin);
    crm->token = secret_from(token);
    for (int i = 0; i < DEMO_CONTACTS; i++)
        crm->contacts[crm->count++] = contact_made(i);
    crm->next_id = CONTACT_FIRST + DEMO_CONTACTS;
    return crm;
}

void demo_crm_free(struct demo_crm *crm)
{
    if (!crm)
        return;
    for (size_t i = 0; i < crm->count; i++)
        contact_free(crm->contacts[i]);
    free(crm->origin);
    secret_end(&crm->token);
    pthread_mutex_destroy(&crm->lock);
    free(crm);
}

/* --- Requests and answers ------------------------------------------------------------------------------------------- */

struct visit {
    struct demo_crm *crm;
    const struct demo_request *q;
    struct demo_answer *out;
    struct str id; /* the path's last segment, where a row has one */
    struct buf body;
    struct json_out json;
};

static void header(struct visit *v, const char *name, struct str value)
{
    if (v->out->header_count == COUNT(v->out->headers))
        bug("demonstration: more headers than foreseen");
    v->out->headers[v->out->header_count][0] = str_of(name);
    v->out->headers[v->out->header_count++][1] = value;
}

static void refuse(struct visit *v, int status, const char *code, const char *message)
{
    v->out->status = status;
    json_open(&v->json, '{');
    json_key(&v->json, "error");
    json_open(&v->json, '{');
    json_member_str(&v->json, "code", str_of(code));
    json_member_str(&v->json, "message", str_of(message));
    json_close(&v->json, '}');
    json_close(&v->json, '}');
}

/* The decoded value of a query parameter, or STR_NONE. */
static struct str parameter(const struct visit *v, const char *name)
{
    struct str rest = v->q->head->query, pair;
    while (rest.p && str_piece(&rest, '&', &pair)) {
        struct str key, value, decoded;
        str_cut(pair, '=', &key, &value);
        if (str_is(key, name) && percent_decode(v->q->arena, value, &decoded))
            return decoded.p ? decoded : STR("");
    }
    return STR_NONE;
}

/* A number within bounds; false after an answer of 400. */
static bool number(struct visit *v, const char *name, uint64_t least, uint64_t most, uint64_t preset, uint64_t *out)
{
    struct str text = parameter(v, name);
    *out = preset;
    if (!text.p || (str_u64(text, out) && *out >= least && *out <= most))
        return true;
    struct str message = str_fmt(v->q->arena, "%s must be a number from %llu to %llu", name, (unsigned long long)least,
                                 (unsigned long long)most);
    refuse(v, 400, "invalid_parameter", message.p);
    return false;
}

static void contact_write(struct json_out *o, const struct contact *c)
{
    json_open(o, '{');
    json_member_i64(o, "id", c->id);
    for (int i = 0; i < CONTACT_TEXTS; i++)
        json_member_str(o, contact_texts[i].name, str_of(c->text[i]));
    json_member_raw(o, "balance", str_of(c->balance));
    json_member_time(o, "created_at", c->created);
    json_member_time(o, "updated_at", c->updated);
    json_close(o, '}');
}

struct deal {
    int64_t id, contact;
    char title[TEXT_MAX], amount[32], close[CLOCK_TEXT];
    const char *currency, *stage, *probability;
};

static void deal_made(int i, struct deal *out)
{
    static const struct { const char *name, *probability; } stages[] = {
        { "new", "0.1" }, { "qualified", "0.35" }, { "proposal", "0.60" }, { "won", "1.0" }, { "lost", "0" },
    };
    static const char *const goods[] = { "Licence annuelle", "Audit", "Formation", "Support contract", "Migration", "Équipement" };
    struct dice d = { 0xdea15u + (uint64_t)i * 1013 };
    size_t stage = (size_t)roll(&d, COUNT(stages));
    *out = (struct deal){ .id = DEMO_DEAL_FIRST + 2 * (int64_t)i, .contact = CONTACT_FIRST + (int64_t)roll(&d, DEMO_CONTACTS),
                          .currency = roll(&d, 3) ? "EUR" : "GBP", .stage = stages[stage].name,
                          .probability = stages[stage].probability };
    snprintf(out->title, sizeof out->title, "%s %d", PICK(&d, goods), i + 1);
    if (i == 0)
        snprintf(out->amount, sizeof out->amount, "19.99");
    else
        snprintf(out->amount, sizeof out->amount, "%d.%02d", (int)roll(&d, 90000) + 100, (int)roll(&d, 100));
    clock_format(START + (wall_ms)roll(&d, 700) * DAY_MS, out->close);
    out->close[10] = 0; /* the date alone */
}

static void deal_write(struct json_out *o, const struct deal *d)
{
    json_open(o, '{');
    json_member_i64(o, "id", d->id);
    json_member_str(o, "title", str_of(d->title));
    json_member_i64(o, "contact_id", d->contact);
    json_member_raw(o, "amount", str_of(d->amount));
    json_member_str(o, "currency", str_of(d->currency));
    json_member_str(o, "stage", str_of(d->stage));
    json_member_raw(o, "probability", str_of(d->probability));
    json_member_str(o, "expected_close", str_of(d->close));
    json_close(o, '}');
}

/* A cursor is the place to go on at, not to be read by clients. */
static struct str cursor_make(struct arena *a, int64_t at)
{
    return base64_encode(a, str_fmt(a, "v1:%lld", (long long)at), BASE64_URL);
}

static bool cursor_read(struct visit *v, uint64_t *at)
{
    struct str text = parameter(v, "cursor"), plain;
    *at = 0;
    if (!text.p || (base64_decode(v->q->arena, text, BASE64_URL, &plain) && str_starts(plain, STR("v1:")) &&
                    str_u64(str_sub(plain, 3, plain.n), at)))
        return true;
    refuse(v, 400, "invalid_cursor", "the cursor is not one of ours");
    return false;
}

/* The parameters but cursor, for the next page's link. */
static struct str query_kept(struct visit *v)
{
    struct arena *a = v->q->arena;
    struct str rest = v->q->head->query, pair, kept = STR("");
    while (rest.p && str_piece(&rest, '&', &pair))
        if (pair.n && !str_starts(pair, STR("cursor=")))
            kept = str_fmt(a, "%.*s%.*s&", STR_ARG(kept), STR_ARG(pair));
    return kept;
}

static void page_end(struct visit *v, bool more, uint64_t next, size_t total)
{
    struct arena *a = v->q->arena;
    json_close(&v->json, ']');
    json_member_i64(&v->json, "total", (int64_t)total);
    if (more) {
        struct str cursor = cursor_make(a, (int64_t)next), kept = query_kept(v);
        json_member_str(&v->json, "next_cursor", cursor);
        header(v, "Link", str_fmt(a, "<%s%.*s?%.*scursor=%.*s>; rel=\"next\"", v->crm->origin, STR_ARG(v->q->head->path),
                                  STR_ARG(kept), STR_ARG(cursor)));
    } else {
        json_member_null(&v->json, "next_cursor");
    }
    json_close(&v->json, '}');
}

static void page_begin(struct visit *v)
{
    v->out->status = 200;
    json_open(&v->json, '{');
    json_key(&v->json, "data");
    json_open(&v->json, '[');
}

static bool contact_has(const struct contact *c, struct str search)
{
    static const int where[] = { FIRST_NAME, LAST_NAME, EMAIL, COMPANY, CITY };
    for (size_t i = 0; i < COUNT(where); i++) {
        struct str text = str_of(c->text[where[i]]);
        for (size_t at = 0; text.p && at + search.n <= text.n; at++)
            if (str_istarts(str_sub(text, at, text.n), search))
                return true;
    }
    return false;
}

static void contacts_list(struct visit *v)
{
    uint64_t limit, from;
    struct str search = parameter(v, "search");
    if (!number(v, "limit", 1, 100, 20, &limit) || !cursor_read(v, &from))
        return;
    page_begin(v);
    size_t matching = 0, shown = 0;
    int64_t next = 0;
    for (size_t i = 0; i < v->crm->count; i++) {
        const struct contact *c = v->crm->contacts[i];
        if (search.n && !contact_has(c, search))
            continue;
        matching++;
        if (c->id < (int64_t)from)
            continue;
        if (shown < limit) {
            contact_write(&v->json, c);
            shown++;
        } else if (!next) {
            next = c->id;
        }
    }
    page_end(v, next != 0, (uint64_t)next, matching);
}

static void deals_list(struct visit *v)
{
    uint64_t limit, from;
    struct str stage = parameter(v, "stage");
    if (!number(v, "limit", 1, 100, 20, &limit) || !cursor_read(v, &from))
        return;
    page_begin(v);
    size_t matching = 0, shown = 0;
    int next = 0;
    for (int i = 0; i < DEMO_DEALS; i++) {
        struct deal d;
        deal_made(i, &d);
        if (stage.n && !str_is(stage, d.stage))
            continue;
        matching++;
        if ((uint64_t)i < from)
            continue;
        if (shown < limit) {
            deal_write(&v->json, &d);
            shown++;
        } else if (!next) {
            next = i;
        }
    }
    page_end(v, next != 0, (uint64_t)next, matching);
}

static void deals_get(struct visit *v)
{
    uint64_t id;
    if (!str_u64(v->id, &id) || id < DEMO_DEAL_FIRST || (id - DEMO_DEAL_FIRST) % 2 || (id - DEMO_DEAL_FIRST) / 2 >= DEMO_DEALS) {
        refuse(v, 404, "not_found", "there is no such deal");
        return;
    }
    struct deal d;
    deal_made((int)((id - DEMO_DEAL_FIRST) / 2), &d);
    v->out->status = 200;
    deal_write(&v->json, &d);
}

/* --- One contact ---------------------------------------------------------------------------------------------------- */

static struct str contact_etag(struct arena *a, const struct contact *c)
{
    return str_fmt(a, "\"c%lld-%d\"", (long long)c->id, c->version);
}

/* Its place in the array, or false after an answer of 404. */
static bool contact_find(struct visit *v, size_t *at)
{
    uint64_t id;
    for (*at = 0; str_u64(v->id, &id) && *at < v->crm->count; (*at)++)
        if (v->crm->contacts[*at]->id == (int64_t)id)
            return true;
    refuse(v, 404, "not_found", "there is no such contact");
    return false;
}

static void contact_show(struct visit *v, const struct contact *c, int status)
{
    v->out->status = status;
    header(v, "ETag", contact_etag(v->q->arena, c));
    contact_write(&v->json, c);
}

static void contacts_get(struct visit *v)
{
    size_t at;
    if (!contact_find(v, &at))
        return;
    const struct contact *c = v->crm->contacts[at];
    if (str_eq(head_value(v->q->head, STR("if-none-match")), contact_etag(v->q->arena, c))) {
        v->out->status = 304;
        header(v, "ETag", contact_etag(v->q->arena, c));
        return;
    }
    contact_show(v, c, 200);
}

static bool changed_meanwhile(struct visit *v, const struct contact *c)
{
    struct str wanted = head_value(v->q->head, STR("if-match"));
    if (!wanted.p || str_is(wanted, "*") || str_eq(wanted, contact_etag(v->q->arena, c)))
        return false;
    refuse(v, 412, "precondition_failed", "the contact was changed meanwhile");
    return true;
}

static int contact_member(struct str name)
{
    for (int i = 0; i < CONTACT_TEXTS; i++)
        if (str_is(name, contact_texts[i].name))
            return i;
    return -1;
}

/* NULL when the body is usable; else what is wrong with it. */
static const char *contact_check(const struct json *body, bool whole)
{
    json_each(m, body) {
        int i = contact_member(m->key);
        if (i < 0 && !str_is(m->key, "balance"))
            return "there is a field that contacts do not have";
        if (i < 0 && m->type != JSON_NUMBER)
            return "balance must be a number";
        if (i >= 0 && m->type != JSON_STRING && m->type != JSON_NULL)
            return "every field but balance must be text";
        if (m->text.n > TEXT_MAX)
            return "a value is longer than 200 bytes";
    }
    for (int i = 0; i < CONTACT_TEXTS; i++) {
        const struct json *m = json_get(body, contact_texts[i].name);
        if (contact_texts[i].required && (whole || m) && (!json_is(m, JSON_STRING) || !m->text.n))
            return i == EMAIL ? "email is required" : "last_name is required";
    }
    const struct json *email = json_get(body, "email");
    return email && str_find(email->text, '@') == SIZE_MAX ? "email is not an address" : NULL;
}

static void contact_set(struct contact *c, const struct json *body)
{
    json_each(m, body) {
        int i = contact_member(m->key);
        char **where = i < 0 ? &c->balance : &c->text[i];
        free(*where);
        *where = m->type == JSON_NULL ? NULL : mem_cstr(m->text);
    }
    c->updated = clock_wall();
}

/* The body as an object that may become a contact; NULL after an answer of 400 or 422. */
static const struct json *contact_body(struct visit *v, bool whole)
{
    struct json *body;
    struct fault why = { 0 };
    if (json_read(v->q->arena, v->q->body, &body, &why) || body->type != JSON_OBJECT) {
        refuse(v, 400, "invalid_json", "the body must be a JSON object");
        return NULL;
    }
    const char *wrong = contact_check(body, whole);
    if (!wrong)
        return body;
    refuse(v, 422, "invalid_contact", wrong);
    return NULL;
}

static void contacts_post(struct visit *v)
{
    struct demo_crm *crm = v->crm;
    const struct json *body = contact_body(v, true);
    if (!body)
        return;
    if (crm->count == CONTACTS_MAX) {
        refuse(v, 507, "full", "this demonstration holds no more contacts");
        return;
    }
    struct contact *c = mem_zero(sizeof *c);
    c->id = crm->next_id++;
    c->version = 1;
    c->created = clock_wall();
    contact_set(c, body);
    if (!c->balance)
        c->balance = text_fmt("0.00");
    crm->contacts[crm->count++] = c;
    header(v, "Location", str_fmt(v->q->arena, "%s/v1/contacts/%lld", crm->origin, (long long)c->id));
    contact_show(v, c, 201);
}

static void contacts_patch(struct visit *v)
{
    size_t at;
    if (!contact_find(v, &at) || changed_meanwhile(v, v->crm->contacts[at]))
        return;
    const struct json *body = contact_body(v, false);
    if (!body)
        return;
    contact_set(v->crm->contacts[at], body);
    v->crm->contacts[at]->version++;
    contact_show(v, v->crm->contacts[at], 200);
}

static void contacts_delete(struct visit *v)
{
    size_t at;
    if (!contact_find(v, &at) || changed_meanwhile(v, v->crm->contacts[at]))
        return;
    contact_free(v->crm->contacts[at]);
    v->crm->count--;
    memmove(&v->crm->contacts[at], &v->crm->contacts[at + 1], (v->crm->count - at) * sizeof *v->crm->contacts);
    v->out->status = 204;
}

/* --- The rest ------------------------------------------------------------------------------------------------------- */

static void me(struct visit *v)
{
    v->out->status = 200;
    json_open(&v->json, '{');
    json_member_str(&v->json, "id", STR("acc_demo"));
    json_member_str(&v->json, "name", STR("Atelier Horizon"));
    json_member_str(&v->json, "email", STR("demo@example.com"));
    json_member_str(&v->json, "plan", STR("demonstration"));
    json_close(&v->json, '}');
}

static void slow(struct visit *v)
{
    uint64_t ms;
    if (!number(v, "ms", 0, WAIT_MAX_MS, 1000, &ms))
        return;
    v->out->status = 200;
    v->out->wait_ms = (int64_t)ms;
    json_open(&v->json, '{');
    json_member_i64(&v->json, "waited_ms", (int64_t)ms);
    json_close(&v->json, '}');
}

static void fail_as_asked(struct visit *v)
{
    uint64_t status;
    if (!number(v, "status", 400, 599, 500, &status))
        return;
    if (status == 429 || status == 503)
        header(v, "Retry-After", STR("1"));
    refuse(v, (int)status, "as_asked", "this failure was asked for");
}

static void download(struct visit *v)
{
    uint64_t bytes;
    if (!number(v, "bytes", 0, STREAM_MAX, 1024 * 1024, &bytes))
        return;
    v->out->status = 200;
    v->out->stream = bytes;
}

static void redirect(struct visit *v)
{
    v->out->status = 302;
    header(v, "Location", STR("https://elsewhere.example/v1/contacts"));
}

/* First match wins; "{id}" is one segment. */
static const struct {
    const char *methods; /* GET stands for HEAD too */
    const char *path;
    void (*handle)(struct visit *v);
} rows[] = {
    { "GET", "/v1/me", me },
    { "GET", "/v1/contacts", contacts_list },
    { "POST", "/v1/contacts", contacts_post },
    { "GET", "/v1/contacts/{id}", contacts_get },
    { "PATCH", "/v1/contacts/{id}", contacts_patch },
    { "DELETE", "/v1/contacts/{id}", contacts_delete },
    { "GET", "/v1/deals", deals_list },
    { "GET", "/v1/deals/{id}", deals_get },
    { "GET", "/v1/slow", slow },
    { "GET", "/v1/fail", fail_as_asked },
    { "GET", "/v1/download", download },
    { "GET", "/v1/redirect", redirect },
};

static bool path_matches(struct str pattern, struct str path, struct str *id)
{
    struct str tail = STR("{id}");
    if (!str_ends(pattern, tail))
        return str_eq(pattern, path);
    struct str stem = str_sub(pattern, 0, pattern.n - tail.n);
    if (!str_starts(path, stem))
        return false;
    *id = str_sub(path, stem.n, path.n);
    return id->n && str_find(*id, '/') == SIZE_MAX;
}

static bool signed_in(struct visit *v)
{
    struct str given = head_value(v->q->head, STR("authorization"));
    struct str scheme = STR("Bearer ");
    if (str_istarts(given, scheme)) {
        given = str_sub(given, scheme.n, given.n);
        struct secret typed = { (unsigned char *)(uintptr_t)given.p, given.n };
        if (secret_equal(typed, v->crm->token))
            return true;
    }
    header(v, "WWW-Authenticate", given.p ? STR("Bearer realm=\"demo\", error=\"invalid_token\"") : STR("Bearer realm=\"demo\""));
    refuse(v, 401, "unauthorized", "send the demonstration's token: Authorization: Bearer ...");
    return false;
}

static void dispatch(struct visit *v)
{
    const struct head *h = v->q->head;
    struct str method = str_is(h->method, "HEAD") ? STR("GET") : h->method, allow = STR("");
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (!path_matches(str_of(rows[i].path), h->path, &v->id))
            continue;
        if (str_is(method, rows[i].methods)) {
            rows[i].handle(v);
            return;
        }
        allow = str_fmt(v->q->arena, "%.*s%s%s", STR_ARG(allow), allow.n ? ", " : "", rows[i].methods);
    }
    if (!allow.n) {
        refuse(v, 404, "not_found", "there is nothing at this address");
        return;
    }
    header(v, "Allow", allow);
    refuse(v, 405, "method_not_allowed", "this address does not take that method");
}

void demo_crm_answer(struct demo_crm *crm, const struct demo_request *q, struct demo_answer *out)
{
    struct visit v = { .crm = crm, .q = q, .out = out };
    *out = (struct demo_answer){ 0 };
    buf_init(&v.body, ANSWER_MAX);
    v.json = json_out(&v.body);

    pthread_mutex_lock(&crm->lock);
    if (signed_in(&v))
        dispatch(&v);
    pthread_mutex_unlock(&crm->lock);

    out->body = v.body.n ? arena_str(q->arena, buf_str(&v.body)) : STR_NONE;
    buf_end(&v.body);
}
