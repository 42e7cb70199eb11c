#include "web/body.h"

#include <stdio.h>

#include "crypto/secret.h"

const struct json *body_of(const struct web_request *q)
{
    static const struct json none = { .type = JSON_OBJECT };
    return q->json ? q->json : &none;
}

enum err body_fault(struct fault *why, enum err e, const char *name, const char *says)
{
    char subject[sizeof why->subject];
    snprintf(subject, sizeof subject, "%s%s%s", name, *says ? ": " : "", says);
    fault(why, e, str_of(subject), "member %s", name);
    return fault_at(why, "/%s", name);
}

static bool only_line_breaks(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (((unsigned char)s.p[i] < 0x20 && s.p[i] != '\n' && s.p[i] != '\t' && s.p[i] != '\r') || s.p[i] == 0x7f)
            return false;
    return true;
}

static enum err text_of(const struct json *body, const char *name, size_t max, struct str *out, struct fault *why)
{
    *out = STR_NONE;
    const struct json *v = json_get(body, name);
    if (!v || v->type == JSON_NULL)
        return ERR_NONE;
    if (v->type != JSON_STRING)
        return body_fault(why, ERR_FIELD_INVALID, name, "text is expected");
    if (v->text.n > max) {
        char says[64];
        snprintf(says, sizeof says, "at most %zu bytes", max);
        return body_fault(why, ERR_FIELD_INVALID, name, says);
    }
    *out = v->text.p ? v->text : STR("");
    return ERR_NONE;
}

enum err body_text(const struct json *body, const char *name, bool required, size_t max, struct str *out, struct fault *why)
{
    enum err e = text_of(body, name, max, out, why);
    if (e)
        return e;
    if (required && !out->n)
        return body_fault(why, ERR_FIELD_REQUIRED, name, "");
    if (str_has_control(*out))
        return body_fault(why, ERR_FIELD_INVALID, name, "control characters");
    return ERR_NONE;
}

enum err body_prose(const struct json *body, const char *name, size_t max, struct str *out, struct fault *why)
{
    enum err e = text_of(body, name, max, out, why);
    if (!e && !only_line_breaks(*out))
        return body_fault(why, ERR_FIELD_INVALID, name, "control characters");
    return e;
}

enum err body_bool(const struct json *body, const char *name, bool *out, struct fault *why)
{
    const struct json *v = json_get(body, name);
    if (!v)
        return ERR_NONE;
    if (v->type != JSON_TRUE && v->type != JSON_FALSE)
        return body_fault(why, ERR_FIELD_INVALID, name, "true or false is expected");
    *out = v->type == JSON_TRUE;
    return ERR_NONE;
}

enum err body_object(const struct json *body, const char *name, const struct json **out, struct fault *why)
{
    const struct json *v = json_get(body, name);
    *out = NULL;
    if (!v || v->type == JSON_NULL)
        return ERR_NONE;
    if (v->type != JSON_OBJECT)
        return body_fault(why, ERR_FIELD_INVALID, name, "an object is expected");
    *out = v;
    return ERR_NONE;
}

static void wipe_texts(struct json *v)
{
    if (v->type == JSON_STRING && v->text.n)
        secret_wipe((void *)(uintptr_t)v->text.p, v->text.n);
    json_each (child, v)
        wipe_texts(child);
}

void body_wipe(struct web_request *q)
{
    if (q->json)
        wipe_texts(q->json);
    if (q->body.n)
        secret_wipe((void *)(uintptr_t)q->body.p, q->body.n);
}
