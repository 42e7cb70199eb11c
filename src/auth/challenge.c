#include "auth/challenge.h"

static bool token_char(char c) { return ascii_alpha(c) || ascii_digit(c) || (c && strchr("!#$%&'*+-.^_`|~", c)); }

static void skip(struct str *s, const char *set)
{
    while (s->n && s->p[0] && strchr(set, s->p[0]))
        *s = str_sub(*s, 1, s->n);
}

static struct str take_token(struct str *s)
{
    size_t n = 0;
    while (n < s->n && token_char(s->p[n]))
        n++;
    struct str token = { s->p, n };
    *s = str_sub(*s, n, s->n);
    return token;
}

static bool take_value(struct str *s, struct str *value)
{
    if (!s->n || s->p[0] != '"') {
        *value = take_token(s);
        return value->n > 0;
    }
    size_t n = 1;
    while (n < s->n && s->p[n] != '"')
        n += s->p[n] == '\\' ? 2 : 1;
    if (n >= s->n)
        return false;
    *value = str_sub(*s, 1, n);
    *s = str_sub(*s, n + 1, s->n);
    return true;
}

/* "name = value" at the front of *s; *s stays where it is when there is none. */
static bool take_param(struct str *s, struct str *name, struct str *value)
{
    struct str at = *s;
    *name = take_token(&at);
    skip(&at, " \t");
    if (!name->n || !at.n || at.p[0] != '=')
        return false;
    at = str_sub(at, 1, at.n);
    skip(&at, " \t");
    if (!take_value(&at, value))
        return false;
    *s = at;
    return true;
}

/* "Negotiate YII...==": one opaque text in place of parameters. */
static void skip_token68(struct str *s)
{
    size_t n = 0;
    while (n < s->n && (ascii_alpha(s->p[n]) || ascii_digit(s->p[n]) || strchr("-._~+/=", s->p[n])))
        n++;
    struct str after = str_sub(*s, n, s->n);
    skip(&after, " \t");
    if (n && (!after.n || after.p[0] == ','))
        *s = after;
}

bool challenge_next(struct str *rest, struct challenge *out)
{
    struct str name, value;
    *out = (struct challenge){ 0 };
    skip(rest, " \t,");
    out->scheme = take_token(rest);
    if (!out->scheme.n)
        return false;
    skip(rest, " \t");
    skip_token68(rest);
    for (;;) {
        skip(rest, " \t,");
        if (!take_param(rest, &name, &value))
            return true;
        if (out->count < CHALLENGE_PARAMS) {
            out->params[out->count].name = name;
            out->params[out->count++].value = value;
        }
    }
}

struct str challenge_param(const struct challenge *c, const char *name)
{
    for (int i = 0; i < c->count; i++)
        if (str_ieq(c->params[i].name, str_of(name)))
            return c->params[i].value;
    return STR_NONE;
}
