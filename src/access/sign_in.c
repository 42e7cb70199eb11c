#include "access/sign_in.h"

#include "access/guard.h"
#include "access/user.h"
#include "crypto/password.h"

struct found {
    struct str user, hash;
    bool second_factor;
};

static enum err find(struct store *s, struct arena *a, const char *email, struct found *out, struct fault *why)
{
    struct db *db = store_reader(s, why);
    *out = (struct found){ 0 };
    if (!db)
        return ERR_STORE;
    struct query *q = query_begin(db, "SELECT p.id, p.password, f.confirmed_ms FROM principal p"
                                      " LEFT JOIN second_factor f ON f.user_id = p.id"
                                      " WHERE p.kind = 'user' AND p.name = $1 AND p.disabled = 0");
    query_text(q, str_of(email));
    if (query_next(q))
        *out = (struct found){ query_get_text(q, 0, a), query_get_text(q, 1, a), query_get_i64(q, 2) != 0 };
    return query_end(q, why);
}

/* *user stays NULL when the password is wrong, and when there is nobody to have one; both take as long. */
static void check_password(const struct found *f, struct str password, struct str *user)
{
    *user = STR_NONE;
    if (!f->user.p || !f->hash.p)
        password_check_nobody(password);
    else if (password_check(f->hash, password))
        *user = f->user;
}

struct taking {
    struct sign_in *in;
    struct str user, hash;
    enum err (*take)(struct db *db, const struct second_factor_keeper *k, struct str user, struct str code, struct fault *why);
};

static enum err take_code(struct db *db, void *context, struct fault *why)
{
    struct taking *t = context;
    return t->take(db, t->in->keeper, t->user, t->in->code, why);
}

static enum err rehash(struct db *db, void *context, struct fault *why)
{
    struct taking *t = context;
    struct query *q = query_begin(db, "UPDATE principal SET password = $2 WHERE id = $1");
    query_text(q, t->user);
    query_text(q, t->hash);
    return query_end(q, why);
}

/* While the password is at hand. That it fails keeps nobody out. */
static void keep_hash_of_today(struct store *s, struct arena *a, const struct found *f, struct str password)
{
    struct taking t = { .user = f->user };
    if (password_stale(f->hash) && !password_hash(a, password, &t.hash, NULL))
        (void)!store_write(s, rehash, &t, NULL);
}

static enum err check_code(struct store *s, const struct found *f, struct sign_in *in, struct fault *why)
{
    if (!in->code.n)
        return fault(why, ERR_SECOND_FACTOR_REQUIRED, STR(""), "the password was right");
    in->second_factor = true;
    return store_write(s, take_code, &(struct taking){ .in = in, .user = f->user, .take = second_factor_take }, why);
}

static enum err both(struct store *s, struct arena *a, const struct found *f, struct sign_in *in, struct fault *why)
{
    check_password(f, in->password, &in->user);
    if (!in->user.p)
        return fault(why, ERR_BAD_CREDENTIALS, STR(""), "wrong password, or no such user");
    enum err e = f->second_factor ? check_code(s, f, in, why) : ERR_NONE;
    if (!e)
        keep_hash_of_today(s, a, f, in->password);
    return e;
}

static enum err either(struct store *s, struct arena *a, const struct found *f, struct sign_in *in, struct fault *why)
{
    (void)a;
    if (!in->password.n && f->second_factor)
        return check_code(s, f, in, why);
    check_password(f, in->password, &in->user);
    return in->user.p ? ERR_NONE : fault(why, ERR_BAD_CREDENTIALS, STR(""), "wrong password");
}

static enum err first_code(struct store *s, struct arena *a, const struct found *f, struct sign_in *in, struct fault *why)
{
    (void)a;
    return store_write(s, take_code, &(struct taking){ .in = in, .user = f->user, .take = second_factor_confirm }, why);
}

typedef enum err checking(struct store *s, struct arena *a, const struct found *f, struct sign_in *in, struct fault *why);

static enum guard_end end_of(enum err e)
{
    return e == ERR_NONE ? GUARD_RIGHT : e == ERR_SECOND_FACTOR_REQUIRED || e == ERR_NOT_FOUND ? GUARD_UNDECIDED : GUARD_WRONG;
}

static enum err guarded(struct store *s, struct arena *a, struct sign_in *in, checking *check, struct fault *why)
{
    char email[USER_EMAIL + 1] = "";
    /* What cannot be an address is nobody's, and is counted like any other. */
    bool possible = user_email_parse(in->email, email);
    struct guard g = { .account = possible ? str_of(email) : in->email, .address = in->address };
    struct found f;
    struct fault unused;
    in->user = STR_NONE;
    in->second_factor = false;
    enum err e = guard_enter(s, &g, why);
    if (e)
        return e;
    if (!(e = find(s, a, possible ? email : "", &f, why)))
        e = check(s, a, &f, in, why);
    enum err left = guard_leave(s, &g, end_of(e), e ? &unused : why);
    if (!e && !left)
        in->user = f.user;
    else
        in->user = STR_NONE;
    return e ? e : left;
}

enum err sign_in(struct store *s, struct arena *a, struct sign_in *in, struct fault *why) { return guarded(s, a, in, both, why); }

enum err sign_in_again(struct store *s, struct arena *a, struct sign_in *in, struct fault *why)
{
    return guarded(s, a, in, either, why);
}

enum err sign_in_confirm_code(struct store *s, struct arena *a, struct sign_in *in, struct fault *why)
{
    return guarded(s, a, in, first_code, why);
}
