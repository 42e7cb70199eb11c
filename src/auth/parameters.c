#include "auth/parameters.h"

#include "vault/oauth_settings.h"

static void append(struct parameters *p, struct str name, struct str value)
{
    if (p->n < PARAMETERS_MOST)
        p->at[p->n++] = (struct token_param){ name, value };
}

/* The first of that name has its place, those behind it go. */
void parameters_put(struct parameters *p, struct str name, struct str value)
{
    size_t n = 0;
    bool placed = false;
    for (size_t i = 0; i < p->n; i++) {
        bool named = str_eq(p->at[i].name, name);
        if (named && placed)
            continue;
        p->at[n] = p->at[i];
        if (named)
            p->at[n].value = value;
        placed |= named;
        n++;
    }
    p->n = n;
    if (!placed)
        append(p, name, value);
}

void parameters_add(struct parameters *p, struct str name, struct str value)
{
    if (!oauth_parameter_repeats(name)) {
        parameters_put(p, name, value);
        return;
    }
    for (size_t i = 0; i < p->n; i++)
        if (str_eq(p->at[i].name, name) && str_eq(p->at[i].value, value))
            return;
    append(p, name, value);
}

void parameters_lay(struct parameters *p, const struct json *map)
{
    json_each(v, map) {
        bool several = v->type == JSON_ARRAY;
        if (!several && v->type != JSON_STRING)
            continue;
        parameters_put(p, v->key, several ? STR("") : v->text);
        json_each(one, several ? v : NULL)
            parameters_add(p, v->key, one->text);
    }
}

bool parameters_have(const struct parameters *p, struct str name)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->at[i].value.n && str_eq(p->at[i].name, name))
            return true;
    return false;
}

void parameters_leave_out_empty(struct parameters *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++)
        if (p->at[i].value.n)
            p->at[n++] = p->at[i];
    p->n = n;
}
