#include "auth/sigv4.h"

#include <stdlib.h>

#include "auth/sorted_form.h"
#include "base/encode.h"

void sigv4_date(wall_ms now, char out[SIGV4_DATE_SIZE])
{
    struct tm tm;
    time_t seconds = (time_t)(now / 1000);
    gmtime_r(&seconds, &tm);
    strftime(out, SIGV4_DATE_SIZE, "%Y%m%dT%H%M%SZ", &tm);
}

void sigv4_hash(struct str body, char out[SIGV4_HASH_SIZE])
{
    unsigned char sum[DIGEST_MAX];
    hex_write(out, (struct str){ (const char *)sum, digest(DIGEST_SHA256, body, sum) });
}

/* ---- the path ---- */

/* The segments that count, once "." and ".." and empty ones are resolved (RFC 3986 5.2.4). */
static size_t resolve_segments(struct arena *a, struct str path, struct str **out)
{
    struct str segment, rest = path;
    size_t n = 0, most = 1;
    for (size_t i = 0; i < path.n; i++)
        most += path.p[i] == '/';
    *out = arena_array(a, most, sizeof **out);
    while (str_piece(&rest, '/', &segment)) {
        if (!segment.n || str_is(segment, "."))
            continue;
        if (!str_is(segment, ".."))
            (*out)[n++] = segment;
        else if (n)
            n--;
    }
    return n;
}

static void put_path(struct arena *a, struct str path, struct buf *out)
{
    struct str *segments;
    size_t n = resolve_segments(a, path, &segments);
    for (size_t i = 0; i < n; i++) {
        buf_char(out, '/');
        percent_encode(out, segments[i]);
    }
    bool ends_in_slash = str_ends(path, STR("/")) || str_ends(path, STR("/.")) || str_ends(path, STR("/.."));
    if (!n || ends_in_slash)
        buf_char(out, '/');
}

static struct str decoded(struct arena *a, struct str text)
{
    struct str plain;
    return percent_decode(a, text, &plain) ? plain : text;
}

static void put_raw_path(struct arena *a, struct str path, struct buf *out)
{
    struct str segment, rest = str_sub(path, 1, path.n);
    bool more = true;
    while (more) {
        more = str_cut(rest, '/', &segment, &rest);
        buf_char(out, '/');
        percent_encode(out, decoded(a, segment));
    }
}

/* '+' is a blank to those who read it; escapes are made uniform. */
static void put_query(struct arena *a, struct str query, struct buf *out)
{
    struct sorted_form form;
    sorted_form_init(&form, a);
    sorted_form_read(&form, query);
    sorted_form_put(&form, out);
}

/* ---- the headers ---- */

struct named { struct str name, value; size_t at; };

static int by_name(const void *x, const void *y)
{
    const struct named *a = x, *b = y;
    int order = str_cmp(a->name, b->name);
    return order ? order : a->at < b->at ? -1 : 1; /* several of one name stay in their order */
}

/* Blanks at the ends go, several in a row become one. */
static void put_value(struct str value, struct buf *out)
{
    value = str_trim(value);
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] != ' ' || value.p[i - 1] != ' ')
            buf_char(out, value.p[i]);
}

static void put_headers(struct arena *a, const struct sigv4_request *q, struct buf *out, struct buf *names)
{
    struct named *sorted = arena_array(a, q->header_count, sizeof *sorted);
    for (size_t i = 0; i < q->header_count; i++) {
        char *name = arena_cstr(a, q->headers[i].name);
        for (size_t k = 0; k < q->headers[i].name.n; k++)
            name[k] = ascii_lower(name[k]);
        sorted[i] = (struct named){ { name, q->headers[i].name.n }, q->headers[i].value, i };
    }
    qsort(sorted, q->header_count, sizeof *sorted, by_name);
    for (size_t i = 0; i < q->header_count; i++) {
        bool again = i && str_eq(sorted[i].name, sorted[i - 1].name);
        if (!again) {
            if (i) {
                buf_char(out, '\n');
                buf_char(names, ';');
            }
            buf_add(out, sorted[i].name);
            buf_add(names, sorted[i].name);
        }
        buf_char(out, again ? ',' : ':');
        put_value(sorted[i].value, out);
    }
    buf_char(out, '\n');
}

/* ---- together ---- */

void sigv4_canonical(struct arena *a, const struct sigv4_request *q, struct buf *out, struct buf *names)
{
    buf_add(out, q->method);
    buf_char(out, '\n');
    if (q->raw_path)
        put_raw_path(a, q->path, out);
    else
        put_path(a, q->path, out);
    buf_char(out, '\n');
    put_query(a, q->query, out);
    buf_char(out, '\n');
    put_headers(a, q, out, names);
    buf_char(out, '\n');
    buf_add(out, buf_str(names));
    buf_char(out, '\n');
    buf_add(out, q->payload);
}

static size_t most_bytes(const struct sigv4_request *q)
{
    size_t n = 256 + q->method.n + 3 * (q->path.n + q->query.n) + 2 * q->query.n + q->payload.n;
    for (size_t i = 0; i < q->header_count; i++)
        n += 2 * q->headers[i].name.n + q->headers[i].value.n + 4;
    return n;
}

static void sign_text(const struct sigv4_key *key, const char *date, struct str text, unsigned char out[DIGEST_MAX])
{
    static const char word[] = "AWS4";
    const struct str steps[] = { { date, 8 }, key->region, key->service, STR("aws4_request"), text };
    struct secret first = secret_new(sizeof word - 1 + key->secret.n);
    memcpy(first.p, word, sizeof word - 1);
    if (key->secret.n)
        memcpy(first.p + sizeof word - 1, key->secret.p, key->secret.n);
    unsigned char next[DIGEST_MAX];
    size_t n = digest_hmac(DIGEST_SHA256, secret_str(first), steps[0], out);
    for (size_t i = 1; i < COUNT(steps); i++) {
        memcpy(next, out, n);
        n = digest_hmac(DIGEST_SHA256, (struct str){ (const char *)next, n }, steps[i], out);
    }
    secret_wipe(next, sizeof next);
    secret_end(&first);
}

struct str sigv4_authorization(struct arena *a, const struct sigv4_key *key, const struct sigv4_request *q,
                               const char date[SIGV4_DATE_SIZE], struct str *signature)
{
    AUTO_BUF canonical, names;
    char hash[SIGV4_HASH_SIZE];
    unsigned char sum[DIGEST_MAX];
    buf_init(&canonical, most_bytes(q));
    buf_room(&canonical, canonical.max); /* all at once: no outgrown copy of a session token */
    buf_init(&names, most_bytes(q));
    sigv4_canonical(a, q, &canonical, &names);
    sigv4_hash(buf_str(&canonical), hash);
    secret_wipe(canonical.p, canonical.n);

    struct str scope = str_fmt(a, "%.8s/%.*s/%.*s/aws4_request", date, STR_ARG(key->region), STR_ARG(key->service));
    struct str text = str_fmt(a, "AWS4-HMAC-SHA256\n%s\n%.*s\n%.*s", date, STR_ARG(scope), SIGV4_HASH_SIZE, hash);
    char hex[2 * DIGEST_MAX];
    sign_text(key, date, text, sum);
    hex_write(hex, (struct str){ (const char *)sum, 32 });
    struct str list = buf_str(&names);
    struct str value = str_fmt(a, "AWS4-HMAC-SHA256 Credential=%.*s/%.*s, SignedHeaders=%.*s, Signature=%.64s", STR_ARG(key->id),
                               STR_ARG(scope), STR_ARG(list), hex);
    *signature = str_sub(value, value.n - 64, value.n);
    return value;
}
