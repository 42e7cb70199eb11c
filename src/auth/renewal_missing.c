/* Until the parts that own these are here. */
#include "auth/obtain.h"

__attribute__((weak)) void token_request_end(struct token_request *r)
{
    secret_end(&r->body);
    secret_end(&r->authorization);
    secret_end(&r->proof);
}

__attribute__((weak)) void obtained_end(struct obtained *o)
{
    for (size_t i = 0; i < o->count; i++)
        secret_end(&o->values[i].value);
    secret_end(&o->answer.access_token);
    secret_end(&o->answer.refresh_token);
}

__attribute__((weak)) const struct secret *obtain_value(const struct obtain_input *q, const char *name)
{
    for (size_t i = 0; i < q->value_count; i++)
        if (str_is(q->values[i].name, name))
            return &q->values[i].value;
    return NULL;
}
