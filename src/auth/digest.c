/* auth/digest.c - HTTP Digest (RFC 7616): user name and password prove themselves without being sent.
 *
 * What the server's challenge says is kept per connection, so that one challenge serves many requests, each with a count of its
 * own; a stale nonce costs one more round. Bodies are held back, for the request may have to be sent again. MD5, SHA-256 and
 * SHA-512-256, their -sess forms, qop=auth, and the form without qop (RFC 2069) of old servers; qop=auth-int is refused.
 */
#include <pthread.h>
#include <stdlib.h>

#include "auth/challenge.h"
#include "auth/methods.h"
#include "auth/value.h"
#include "base/encode.h"
#include "crypto/digest.h"
#include "crypto/hash.h"

#define PART_MAX 2048 /* bytes of a nonce, a realm or an opaque */
#define HEX_MAX (2 * DIGEST_MAX)

static const struct auth_field fields[] = { { "username", true }, { "password", false }, { NULL, false } };

/* What one server asked for. */
struct demand {
    struct arena *memory; /* of the texts; NULL: nothing asked yet */
    struct str host, realm, nonce, opaque, algorithm;
    enum digest_kind kind;
    bool session, qop, hash_user, stale;
    uint32_t count;       /* requests with this nonce */
    struct secret proof;  /* H(A1) in hex: as good as the password */
    char cnonce[32];
};

struct signer {
    pthread_mutex_t lock; /* guards `demand` */
    struct demand demand;
    struct secret user, password;
};

static enum err check_part(const struct secret *s, const char *name, struct fault *why)
{
    struct str part = s ? secret_str(*s) : STR("");
    const char *flaw = part.n > VALUE_MAX       ? "longer than 8 KiB"
                       : str_has_control(part)  ? "holds a line break or another control character"
                       : !utf8_valid(part)      ? "is not UTF-8"
                                                : NULL;
    return flaw ? value_refuse(ERR_FIELD_INVALID, str_of(flaw), why, "/credentials/%s", name) : ERR_NONE;
}

static enum err check(const struct auth_input *in, struct fault *why)
{
    const struct secret *user = auth_secret(in, "username");
    if (!user || !user->n)
        return value_refuse(ERR_FIELD_REQUIRED, STR("username"), why, "/credentials/username");
    /* RFC 7616 3.4.2: the first colon ends the user name. */
    if (str_find(secret_str(*user), ':') != SIZE_MAX)
        return value_refuse(ERR_FIELD_INVALID, STR("a user name cannot hold “:” with HTTP Digest"), why, "/credentials/username");
    enum err e = check_part(user, "username", why);
    return e ? e : check_part(auth_secret(in, "password"), "password", why);
}

static enum err prepare(struct arena *a, const struct auth_input *in, struct injections *out, struct fault *why)
{
    (void)a, (void)in, (void)why;
    out->count = 0;
    value_inject(out, INJECT_SIGNED, STR("Authorization"), SECRET_NONE);
    return ERR_NONE;
}

static enum err signer_new(struct arena *a, const struct auth_input *in, struct signer **out, struct fault *why)
{
    (void)a, (void)why;
    const struct secret *password = auth_secret(in, "password");
    struct signer *s = mem_zero(sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    s->user = secret_copy(*auth_secret(in, "username"));
    s->password = password ? secret_copy(*password) : SECRET_NONE;
    *out = s;
    return ERR_NONE;
}

static void demand_end(struct demand *d)
{
    secret_end(&d->proof);
    arena_free(d->memory);
    *d = (struct demand){ 0 };
}

static void signer_free(struct signer *s)
{
    demand_end(&s->demand);
    secret_end(&s->user);
    secret_end(&s->password);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static enum sign_body signs_body(const struct signer *s)
{
    (void)s;
    return SIGN_ANY_BODY;
}

/* ---- the answer to a challenge ---- */

/* H(parts joined by ':') in hex; bytes written, 0 where the system has no such digest. Parts may be secret. */
static size_t hash(enum digest_kind kind, const struct str *parts, size_t count, char out[HEX_MAX])
{
    struct str joined[2 * 6];
    unsigned char sum[DIGEST_MAX];
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (i)
            joined[n++] = STR(":");
        joined[n++] = parts[i];
    }
    AUTO_SECRET text = value_join(joined, n);
    return hex_write(out, (struct str){ (const char *)sum, digest(kind, secret_str(text), sum) });
}

/* 3.4.2. False: no such digest here. */
static bool make_proof(const struct signer *s, struct demand *d)
{
    char hex[HEX_MAX];
    size_t n = hash(d->kind, (struct str[]){ secret_str(s->user), d->realm, secret_str(s->password) }, 3, hex);
    if (n && d->session) {
        char again[HEX_MAX];
        n = hash(d->kind, (struct str[]){ { hex, n }, d->nonce, { d->cnonce, sizeof d->cnonce } }, 3, again);
        memcpy(hex, again, sizeof hex);
        secret_wipe(again, sizeof again);
    }
    d->proof = secret_from((struct str){ hex, n });
    secret_wipe(hex, sizeof hex);
    return n > 0;
}

/* Inside quotes (RFC 9110 5.6.4). */
static void put_quoted(struct buf *out, const char *name, struct str value)
{
    buf_add(out, str_of(name));
    buf_add(out, STR("=\""));
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == '"' || value.p[i] == '\\')
            buf_char(out, '\\');
        buf_char(out, value.p[i]);
    }
    buf_char(out, '"');
}

/* A value of the server's: goes back exactly as it came. */
static void put_theirs(struct buf *out, const char *name, struct str value)
{
    buf_fmt(out, ", %s=\"", name);
    buf_add(out, value);
    buf_char(out, '"');
}

static void put_user(const struct signer *s, const struct demand *d, struct buf *out)
{
    struct str user = secret_str(s->user);
    char hashed[HEX_MAX];
    bool plain = true;
    for (size_t i = 0; i < user.n; i++)
        plain = plain && (unsigned char)user.p[i] < 0x80;
    if (d->hash_user) {
        put_quoted(out, "username", (struct str){ hashed, hash(d->kind, (struct str[]){ user, d->realm }, 2, hashed) });
    } else if (plain) {
        put_quoted(out, "username", user);
    } else { /* 3.4, RFC 8187 */
        buf_add(out, STR("username*=UTF-8''"));
        percent_encode(out, user);
    }
}

static void put_answer(const struct signer *s, struct demand *d, struct arena *a, const struct sign_request *q,
                       struct signature *out)
{
    char a2[HEX_MAX], response[HEX_MAX], count[9];
    struct str uri = q->query.n ? str_fmt(a, "%.*s?%.*s", STR_ARG(q->path), STR_ARG(q->query)) : q->path;
    struct str proof = secret_str(d->proof), cnonce = { d->cnonce, sizeof d->cnonce };
    snprintf(count, sizeof count, "%08x", ++d->count);
    struct str second = { a2, hash(d->kind, (struct str[]){ q->method, uri }, 2, a2) };
    size_t n = d->qop ? hash(d->kind, (struct str[]){ proof, d->nonce, str_of(count), cnonce, STR("auth"), second }, 6, response)
                      : hash(d->kind, (struct str[]){ proof, d->nonce, second }, 3, response);

    AUTO_BUF value;
    buf_init(&value, 64 * 1024 + 3 * PART_MAX + 3 * VALUE_MAX);
    buf_add(&value, STR("Digest "));
    put_user(s, d, &value);
    put_theirs(&value, "realm", d->realm);
    put_theirs(&value, "nonce", d->nonce);
    buf_add(&value, STR(", "));
    put_quoted(&value, "uri", uri);
    if (d->algorithm.n)
        buf_fmt(&value, ", algorithm=%.*s", STR_ARG(d->algorithm));
    if (d->qop)
        buf_fmt(&value, ", qop=auth, nc=%s, cnonce=\"%.*s\"", count, STR_ARG(cnonce));
    else if (d->session)
        buf_fmt(&value, ", cnonce=\"%.*s\"", STR_ARG(cnonce));
    put_theirs(&value, "response", (struct str){ response, n });
    if (d->opaque.p)
        put_theirs(&value, "opaque", d->opaque);
    if (d->hash_user)
        buf_add(&value, STR(", userhash=true"));
    out->values[0] = arena_str(a, buf_str(&value));
    out->proof = arena_str(a, (struct str){ response, n });
}

static enum err sign(struct signer *s, struct arena *a, const struct sign_request *q, const struct injections *i,
                     struct signature *out, struct fault *why)
{
    (void)i, (void)why;
    pthread_mutex_lock(&s->lock);
    if (s->demand.memory && str_eq(s->demand.host, q->host)) /* a nonce is good for the server that gave it */
        put_answer(s, &s->demand, a, q, out);
    pthread_mutex_unlock(&s->lock);
    return ERR_NONE;
}

/* ---- challenges ---- */

static bool list_has(struct str list, const char *word)
{
    struct str piece;
    while (str_piece(&list, ',', &piece))
        if (str_ieq(str_trim(piece), str_of(word)))
            return true;
    return false;
}

static bool fits(struct str part) { return part.n <= PART_MAX && !str_has_control(part); }

/* What a Digest challenge asks for, in texts of the answer's. NULL: it can be met; else why not. */
static const char *read_demand(const struct challenge *c, struct demand *d)
{
    static const struct str session = { "-sess", 5 };
    struct str name = d->algorithm = challenge_param(c, "algorithm"), qop = challenge_param(c, "qop");
    d->realm = challenge_param(c, "realm");
    d->nonce = challenge_param(c, "nonce");
    d->opaque = challenge_param(c, "opaque");
    d->hash_user = str_ieq(challenge_param(c, "userhash"), STR("true"));
    d->stale = str_ieq(challenge_param(c, "stale"), STR("true"));
    d->qop = qop.n > 0;
    d->session = name.n > session.n && str_ieq(str_sub(name, name.n - session.n, name.n), session);
    if (d->session)
        name.n -= session.n;
    if (!d->nonce.n || !fits(d->nonce) || !fits(d->realm) || !fits(d->opaque))
        return "its Digest challenge cannot be read";
    if (!name.n)
        d->kind = DIGEST_MD5;
    else if (!digest_parse(name, &d->kind) || (d->kind != DIGEST_MD5 && d->kind != DIGEST_SHA256 && d->kind != DIGEST_SHA512_256))
        return "Digest with an algorithm other than MD5, SHA-256 and SHA-512-256";
    return d->qop && !list_has(qop, "auth") ? "Digest with qop=auth-int, which signs bodies too" : NULL;
}

/* RFC 7616 3.7: the server's first that can be met. *flaw: why the last could not; NULL: there was no Digest at all. */
static bool find_demand(const struct head *answer, struct demand *d, const char **flaw)
{
    *flaw = NULL;
    for (int i = 0; i < answer->count; i++) {
        struct str rest = answer->headers[i].value;
        struct challenge c;
        if (!str_ieq(answer->headers[i].name, STR("www-authenticate")))
            continue;
        while (challenge_next(&rest, &c)) {
            if (!str_ieq(c.scheme, STR("Digest")))
                continue;
            *d = (struct demand){ 0 };
            if (!(*flaw = read_demand(&c, d)))
                return true;
        }
    }
    return false;
}

static void keep(struct demand *d, struct str host)
{
    unsigned char random[sizeof d->cnonce / 2];
    struct arena *a = d->memory = arena_new(1024);
    d->host = arena_str(a, host);
    d->realm = arena_str(a, d->realm);
    d->nonce = arena_str(a, d->nonce);
    d->opaque = d->opaque.p ? arena_str(a, d->opaque) : STR_NONE;
    d->algorithm = arena_str(a, d->algorithm);
    random_bytes(random, sizeof random);
    hex_write(d->cnonce, (struct str){ (const char *)random, sizeof random });
}

/* 3.3: who was answered and does not say that the nonce was stale does not like the password; a second try would count as a second
 * wrong one. The next call starts with the new nonce. */
static enum err challenged(struct signer *s, const struct signature *sent, struct str host, int status, const struct head *answer,
                           bool *again, struct fault *why)
{
    struct demand next;
    const char *flaw;
    *again = false;
    if (status != 401)
        return ERR_NONE;
    if (!find_demand(answer, &next, &flaw))
        return flaw ? fault(why, ERR_AUTH_CHALLENGE, str_of(flaw), "digest challenge") : ERR_NONE;
    keep(&next, host);
    if (!make_proof(s, &next)) {
        demand_end(&next);
        return fault(why, ERR_AUTH_CHALLENGE, STR("Digest with MD5, which this system has switched off"), "no MD5");
    }
    pthread_mutex_lock(&s->lock);
    struct demand before = s->demand;
    s->demand = next;
    pthread_mutex_unlock(&s->lock);
    demand_end(&before);
    *again = next.stale || !sent->values[0].p;
    return ERR_NONE;
}

const struct auth_method auth_digest = {
    .name = "digest", .fields = fields, .check = check, .prepare = prepare, .signer_new = signer_new, .signer_free = signer_free,
    .signs_body = signs_body, .sign = sign, .challenged = challenged,
};
