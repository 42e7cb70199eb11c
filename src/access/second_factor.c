#include "access/second_factor.h"

#include "access/text.h"
#include "base/encode.h"
#include "crypto/hash.h"
#include "crypto/totp.h"

#define ISSUER "Raccord"

enum err second_factor_state(struct db *db, struct str user, struct second_factor_state *out, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT confirmed_ms, (SELECT count(*) FROM recovery_code r WHERE r.user_id = f.user_id)"
                                      " FROM second_factor f WHERE user_id = $1");
    query_text(q, user);
    bool found = query_next(q);
    *out = (struct second_factor_state){ .since = found ? query_get_i64(q, 0) : 0 };
    out->enabled = out->since != 0;
    out->recovery_codes = out->enabled ? (int)query_get_i64(q, 1) : 0;
    return query_end(q, why);
}

static enum err run(struct db *db, const char *sql, struct str user, struct fault *why)
{
    struct query *q = query_begin(db, sql);
    query_text(q, user);
    return query_end(q, why);
}

enum err second_factor_begin(struct db *db, const struct second_factor_keeper *k, struct str user, struct secret *secret,
                             struct fault *why)
{
    struct second_factor_state state;
    *secret = SECRET_NONE;
    enum err e = second_factor_state(db, user, &state, why);
    if (e)
        return e;
    if (state.enabled)
        return fault(why, ERR_CONFLICT, STR("a second factor; remove it first"), "second factor set up already");
    struct query *q = query_begin(db, "INSERT INTO second_factor (user_id, created_ms) VALUES ($1, $2)"
                                      " ON CONFLICT (user_id) DO UPDATE SET created_ms = $2, last_step = 0");
    query_text(q, user);
    query_i64(q, clock_wall());
    if ((e = query_end(q, why)))
        return e;
    *secret = secret_new(TOTP_SECRET);
    random_bytes(secret->p, secret->n);
    if ((e = k->put(k->context, db, user, *secret, why)))
        secret_end(secret);
    return e;
}

/* RFC 6238 5.2: the second attempt with one code is refused. The row says which step was the last, whoever asks, on whichever node.
 */
static enum err take_step(struct db *db, struct str user, int64_t step, bool confirmed, struct fault *why)
{
    struct query *q = query_begin(db, confirmed ? "UPDATE second_factor SET last_step = $2 WHERE user_id = $1 AND last_step < $2"
                                                  " AND confirmed_ms <> 0"
                                                : "UPDATE second_factor SET last_step = $2, confirmed_ms = $3"
                                                  " WHERE user_id = $1 AND last_step < $2 AND confirmed_ms = 0");
    query_text(q, user);
    query_i64(q, step);
    if (!confirmed)
        query_i64(q, clock_wall());
    enum err e = query_end(q, why);
    if (e)
        return e;
    return db_changes(db) == 1 ? ERR_NONE : fault(why, ERR_SECOND_FACTOR_INVALID, STR(""), "the code was used already");
}

static enum err match(struct db *db, const struct second_factor_keeper *k, struct str user, struct str code, int64_t *step,
                      struct fault *why)
{
    AUTO_SECRET secret = SECRET_NONE;
    enum err e = k->get(k->context, db, user, &secret, why);
    if (e)
        return e;
    *step = totp_match(secret_str(secret), code, clock_wall());
    return *step ? ERR_NONE : fault(why, ERR_SECOND_FACTOR_INVALID, STR(""), "the code matches no step near now");
}

enum err second_factor_confirm(struct db *db, const struct second_factor_keeper *k, struct str user, struct str code,
                               struct fault *why)
{
    struct query *q = query_begin(db, "SELECT 1 FROM second_factor WHERE user_id = $1 AND confirmed_ms = 0");
    query_text(q, user);
    bool found = query_next(q);
    int64_t step;
    enum err e = query_end(q, why);
    if (e)
        return e;
    if (!found)
        return fault(why, ERR_NOT_FOUND, STR("second factor that is being set up"), "nothing to confirm");
    e = match(db, k, user, code, &step, why);
    return e ? e : take_step(db, user, step, false, why);
}

/* As it was shown: letters and digits count, what people put in between does not. */
static enum err take_recovery(struct db *db, struct str user, struct str code, struct fault *why)
{
    char plain[RECOVERY_TEXT], hash[TEXT_HASH];
    size_t n = 0;
    for (size_t i = 0; i < code.n && n < sizeof plain - 1; i++)
        if (ascii_alpha(code.p[i]) || ascii_digit(code.p[i]))
            plain[n++] = ascii_lower(code.p[i]);
    struct query *q = query_begin(db, "DELETE FROM recovery_code WHERE user_id = $1 AND hash = $2");
    query_text(q, user);
    query_text(q, text_hash((struct str){ plain, n }, hash));
    secret_wipe(plain, sizeof plain);
    enum err e = query_end(q, why);
    if (e)
        return e;
    return db_changes(db) == 1 ? ERR_NONE : fault(why, ERR_SECOND_FACTOR_INVALID, STR(""), "no such recovery code is left");
}

enum err second_factor_take(struct db *db, const struct second_factor_keeper *k, struct str user, struct str code,
                            struct fault *why)
{
    int64_t step;
    if (code.n > 3 * TOTP_DIGITS)
        return take_recovery(db, user, code, why);
    enum err e = match(db, k, user, code, &step, why);
    return e ? e : take_step(db, user, step, true, why);
}

static enum err add_recovery(struct db *db, struct str user, char code[RECOVERY_TEXT], struct fault *why)
{
    char plain[16], hash[TEXT_HASH];
    random_text(plain, sizeof plain);
    for (size_t i = 0, n = 0; i < sizeof plain; i++) {
        if (i && i % 4 == 0)
            code[n++] = '-';
        code[n++] = plain[i];
    }
    code[RECOVERY_TEXT - 1] = 0;
    struct query *q = query_begin(db, "INSERT INTO recovery_code (user_id, hash) VALUES ($1, $2)");
    query_text(q, user);
    query_text(q, text_hash((struct str){ plain, sizeof plain }, hash));
    secret_wipe(plain, sizeof plain);
    return query_end(q, why);
}

enum err second_factor_recovery(struct db *db, struct str user, char codes[RECOVERY_CODES][RECOVERY_TEXT], struct fault *why)
{
    enum err e = run(db, "DELETE FROM recovery_code WHERE user_id = $1", user, why);
    for (int i = 0; i < RECOVERY_CODES && !e; i++)
        e = add_recovery(db, user, codes[i], why);
    return e;
}

enum err second_factor_remove(struct db *db, const struct second_factor_keeper *k, struct str user, struct fault *why)
{
    enum err e;
    if ((e = run(db, "DELETE FROM recovery_code WHERE user_id = $1", user, why)) ||
        (e = run(db, "DELETE FROM second_factor WHERE user_id = $1", user, why)))
        return e;
    return k->forget(k->context, db, user, why);
}

struct str second_factor_uri(struct arena *a, struct str account, struct secret secret)
{
    AUTO_BUF label;
    buf_init(&label, 4096);
    percent_encode(&label, account);
    struct str name = buf_str(&label), text = base32_encode(a, secret_str(secret));
    return str_fmt(a, "otpauth://totp/" ISSUER ":%.*s?secret=%.*s&issuer=" ISSUER "&algorithm=SHA1&digits=%d&period=%d",
                   STR_ARG(name), STR_ARG(text), TOTP_DIGITS, TOTP_STEP_MS / 1000);
}
