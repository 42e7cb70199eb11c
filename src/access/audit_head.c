#include "access/audit_head.h"

#include "base/encode.h"
#include "base/json.h"
#include "crypto/hash.h"

#define TAIL (64 * 1024)
#define LINE_MAX_BYTES 512
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static void digest_text(struct str text, char out[AUDIT_HASH])
{
    unsigned char digest[SHA256_SIZE];
    sha256(text, digest);
    hex_write(out, (struct str){ (const char *)digest, sizeof digest });
}

static void mac_text(struct secret key, struct str text, char out[AUDIT_HASH])
{
    unsigned char mac[SHA256_SIZE];
    hmac_sha256(secret_str(key), text, mac);
    hex_write(out, (struct str){ (const char *)mac, sizeof mac });
}

static enum err load(const struct audit_heads *h, size_t most, struct buf *out, int64_t *size, struct fault *why)
{
    return h->file ? head_file_load(h->file, most, out, size, why) : head_file_load_here(h->path, most, out, size, why);
}

/* ---- appending ---- */

/* The last whole line of the file, without its end; empty: there is none. *torn: bytes stand behind it. */
static struct str last_line(struct str text, bool *torn)
{
    size_t end = text.n;
    while (end && text.p[end - 1] != '\n')
        end--;
    *torn = end < text.n;
    if (!end)
        return STR("");
    size_t start = end - 1;
    while (start && text.p[start - 1] != '\n')
        start--;
    return str_sub(text, start, end - 1);
}

/* Lines that a crash cut in two are passed over by the chain, too. */
static bool is_whole(struct str line) { return str_starts(line, STR("{\"number\":")) && str_ends(line, STR("\"}")); }

static struct str last_whole(struct str text, bool *torn)
{
    bool unused;
    struct str line = last_line(text, torn);
    while (line.n && !is_whole(line) && line.p > text.p)
        line = last_line((struct str){ text.p, (size_t)(line.p - text.p) }, &unused);
    return is_whole(line) ? line : STR("");
}

static void write_line(struct buf *out, const struct audit_heads *h, const struct audit_mark *mark, struct str before)
{
    char previous[AUDIT_HASH], mac[AUDIT_HASH], at[CLOCK_TEXT];
    memcpy(previous, ZEROS, AUDIT_HASH);
    if (before.n)
        digest_text(before, previous);
    size_t start = out->n;
    buf_fmt(out, "{\"number\":%lld,\"hash\":\"%.*s\",\"at\":\"%s\",\"previous\":\"%.*s\"", (long long)mark->number, AUDIT_HASH,
            mark->hash, clock_format(clock_wall(), at), AUDIT_HASH, previous);
    mac_text(h->key, (struct str){ out->p + start, out->n - start }, mac);
    buf_fmt(out, ",\"mac\":\"%.*s\"}\n", AUDIT_HASH, mac);
}

enum err audit_heads_add(const struct audit_heads *h, const struct audit_mark *mark, struct fault *why)
{
    AUTO_BUF old, line;
    int64_t size;
    bool torn;
    buf_init(&old, 2 * TAIL + 1);
    buf_init(&line, LINE_MAX_BYTES);
    enum err e = load(h, TAIL, &old, &size, why);
    if (e)
        return e;
    struct str before = last_whole(buf_str(&old), &torn);
    if (torn)
        buf_char(&line, '\n');
    write_line(&line, h, mark, before);
    return h->file ? head_file_append(h->file, buf_str(&line), why) : head_file_append_here(h->path, buf_str(&line), why);
}

/* ---- reading ---- */

struct reading {
    const struct audit_heads *heads;
    struct audit_heads_found *out;
    struct str before; /* the line before; p == NULL: not known */
    int64_t line;
};

static void flaw(struct reading *r, enum audit_flaw f)
{
    if (r->out->flaw)
        return;
    r->out->flaw = f;
    r->out->line = r->line;
}

static bool mac_right(const struct reading *r, struct str line)
{
    static const size_t tail = sizeof ",\"mac\":\"" - 1 + AUDIT_HASH + 2;
    char mac[AUDIT_HASH];
    if (!r->heads->key.n)
        return true;
    if (line.n <= tail || !str_starts(str_sub(line, line.n - tail, line.n), STR(",\"mac\":\"")))
        return false;
    mac_text(r->heads->key, str_sub(line, 0, line.n - tail), mac);
    return equal_constant_time(mac, line.p + line.n - 2 - AUDIT_HASH, AUDIT_HASH);
}

static bool chain_right(const struct reading *r, struct str previous)
{
    char hash[AUDIT_HASH];
    if (!r->before.p)
        return true;
    memcpy(hash, ZEROS, AUDIT_HASH);
    if (r->before.n)
        digest_text(r->before, hash);
    return str_eq(previous, (struct str){ hash, AUDIT_HASH });
}

/* Witnesses ascend. A number that comes again with another hash, or a lower one, is a history that went back. */
static void take(struct reading *r, int64_t number, struct str hash)
{
    struct audit_heads_found *out = r->out;
    struct audit_witness *last = out->count ? &out->witnesses[out->count - 1] : NULL;
    if (last && number == last->number && !memcmp(last->hash, hash.p, AUDIT_HASH))
        return;
    if (last && number <= last->number) {
        flaw(r, AUDIT_ROLLED_BACK);
        return;
    }
    struct audit_witness *w = &out->witnesses[out->count++];
    w->number = number;
    memcpy(w->hash, hash.p, AUDIT_HASH);
}

/* Whether the mac is of another key is decided at the end: an older key's line is vouched for by the lines that follow it. */
static bool read_line(struct reading *r, struct str line, struct arena *scratch, bool *mac)
{
    struct json *v;
    struct fault unused;
    int64_t number;
    struct str hash, at;
    if (!is_whole(line) || json_read(scratch, line, &v, &unused)) {
        return false;
    }
    hash = json_str(v, "hash");
    at = json_str(v, "at");
    if (!json_i64(json_get(v, "number"), &number) || number < 0 || hash.n != AUDIT_HASH || !clock_parse(at, &r->out->newest) ||
        !chain_right(r, json_str(v, "previous")))
        flaw(r, AUDIT_HEADS_CHANGED);
    else if (number)
        take(r, number, hash);
    *mac = mac_right(r, line);
    r->before = line;
    return true;
}

static void read_lines(struct reading *r, struct str text, bool tail)
{
    AUTO_ARENA scratch = arena_new(2048);
    struct str line;
    bool mac = true, any = false;
    size_t end = text.n;
    while (end && text.p[end - 1] != '\n')
        end--;
    text.n = end ? end - 1 : 0;
    if (tail && str_cut(text, '\n', &line, &text))
        r->before = STR_NONE; /* the first may be cut */
    r->line = 0;
    while (text.n) {
        str_cut(text, '\n', &line, &text);
        r->line++;
        any |= read_line(r, line, scratch, &mac);
        arena_reset(scratch);
    }
    if (any && !mac)
        flaw(r, AUDIT_HEADS_CHANGED);
}

enum err audit_heads_read(const struct audit_heads *h, bool tail, struct arena *a, struct audit_heads_found *out,
                          struct fault *why)
{
    AUTO_BUF text;
    int64_t size;
    *out = (struct audit_heads_found){ 0 };
    buf_init(&text, SIZE_MAX / 2);
    enum err e = load(h, tail ? TAIL : 0, &text, &size, why);
    if (e || size < 0)
        return e;
    bool cut = tail && size > TAIL;
    size_t lines = 0;
    for (size_t i = 0; i < text.n; i++)
        lines += text.p[i] == '\n';
    out->there = lines > 0;
    out->witnesses = arena_array(a, lines + 1, sizeof *out->witnesses);
    struct reading r = { .heads = h, .out = out, .before = STR("") };
    read_lines(&r, buf_str(&text), cut);
    return ERR_NONE;
}

enum err audit_heads_compare(struct db *db, const struct audit_heads_found *heads, struct audit_finding *out, struct fault *why)
{
    AUTO_ARENA a = arena_new(1024);
    *out = (struct audit_finding){ .flaw = heads->flaw };
    enum err e = audit_newest(db, &out->newest, why);
    if (e || out->flaw)
        return e;
    for (size_t i = heads->count; !e && i; i--) {
        const struct audit_witness *w = &heads->witnesses[i - 1];
        struct query *q = query_begin(db, "SELECT hash FROM audit WHERE number = $1");
        query_i64(q, w->number);
        bool there = query_next(q);
        bool same = there && str_eq(query_get_text(q, 0, a), (struct str){ w->hash, AUDIT_HASH });
        e = query_end(q, why);
        if (e || same)
            continue;
        /* the lowest number that is wrong comes last */
        out->number = w->number;
        out->flaw = there ? AUDIT_ROLLED_BACK : w->number > out->newest.number ? AUDIT_TRUNCATED : AUDIT_MISSING;
    }
    if (out->flaw == AUDIT_TRUNCATED)
        out->number = out->newest.number + 1;
    return e;
}
