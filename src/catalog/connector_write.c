/* A connector as the API shows it. */
#include "catalog/connector.h"

/* In milliseconds; null: the hub's own. */
static void write_times(struct json_out *o, const struct http_times *t)
{
    const struct {
        const char *name;
        int64_t ms;
    } rows[] = { { "connect", t->connect_ms },
                 { "tls", t->tls_ms },
                 { "first_byte", t->first_byte_ms },
                 { "idle", t->idle_ms },
                 { "total", t->total_ms } };
    json_key(o, "timeouts_ms");
    json_open(o, '{');
    for (size_t i = 0; i < COUNT(rows); i++) {
        json_key(o, rows[i].name);
        if (rows[i].ms)
            json_put_i64(o, rows[i].ms);
        else
            json_put_null(o);
    }
    json_close(o, '}');
}

static void write_list(struct json_out *o, const char *key, const struct str *items, size_t count)
{
    json_key(o, key);
    json_open(o, '[');
    for (size_t i = 0; i < count; i++)
        json_put_str(o, items[i]);
    json_close(o, ']');
}

static void write_text(struct json_out *o, const char *key, struct str s)
{
    if (s.n)
        json_member_str(o, key, s);
}

static void write_flag(struct json_out *o, const char *key, bool set)
{
    if (set)
        json_member_bool(o, key, true);
}

static size_t filled(const struct str *items, size_t size)
{
    size_t n = 0;
    while (n < size && items[n].n)
        n++;
    return n;
}

static void write_preset(struct json_out *o, const struct connector_field *f)
{
    if (!f->preset.n)
        return;
    if (f->type == FIELD_BOOLEAN || f->type == FIELD_NUMBER)
        json_member_raw(o, "default", f->preset);
    else
        json_member_str(o, "default", f->preset);
}

static void write_field(struct json_out *o, const struct connector_field *f, enum language lang)
{
    json_open(o, '{');
    json_member_str(o, "key", f->key);
    json_member_str(o, "type", str_of(field_type_name(f->type)));
    write_text(o, "format", str_of(field_format_name(f->format)));
    json_member_str(o, "label", f->label[lang]);
    write_text(o, "help", f->help[lang]);
    write_text(o, "placeholder", f->placeholder);
    write_text(o, "pattern", f->pattern);
    write_text(o, "host_suffix", f->host_suffix);
    if (f->hosts[0].n)
        write_list(o, "hosts", f->hosts, filled(f->hosts, COUNT(f->hosts)));
    write_preset(o, f);
    if (f->type == FIELD_SELECT)
        write_list(o, "options", f->options, filled(f->options, COUNT(f->options)));
    json_member_bool(o, "required", f->required);
    json_member_bool(o, "secret", f->secret);
    json_member_bool(o, "advanced", f->advanced);
    json_member_bool(o, "generated", f->generated);
    write_flag(o, "changeable", f->changeable);
    write_flag(o, "may_be_empty", f->may_be_empty);
    write_flag(o, "keep_blanks", f->keep_blanks);
    if (f->aliases[0].n)
        write_list(o, "aliases", f->aliases, filled(f->aliases, COUNT(f->aliases)));
    json_close(o, '}');
}

static void write_fields(struct json_out *o, const char *key, const struct connector_field *fields, size_t count,
                         enum language lang)
{
    json_key(o, key);
    json_open(o, '[');
    for (size_t i = 0; i < count; i++)
        write_field(o, &fields[i], lang);
    json_close(o, ']');
}

static void write_verify(struct json_out *o, const struct connector_verify *v)
{
    json_key(o, "verify");
    json_open(o, '{');
    json_member_str(o, "method", v->method);
    json_member_str(o, "path", v->path);
    json_close(o, '}');
}

static void write_auth(struct json_out *o, const struct connector_auth *auth, enum language lang)
{
    json_open(o, '{');
    json_member_str(o, "type", auth->type);
    json_member_str(o, "label", auth->label[lang]);
    write_fields(o, "credentials", auth->credentials, auth->credential_count, lang);
    json_member_bool(o, "open_credentials", auth->open_credentials);
    write_fields(o, "fields", auth->fields, auth->field_count, lang);
    json_member_str(o, "instructions", auth->instructions[lang]);
    if (auth->own_target) {
        json_member_str(o, "base_url", auth->base_url);
        write_text(o, "allowed_domain", auth->allowed_domain);
    }
    if (auth->own_verify)
        write_verify(o, &auth->verify);
    json_close(o, '}');
}

static void write_full(struct json_out *o, const struct connector *c, enum language lang)
{
    json_member_str(o, "base_url", c->base_url);
    json_member_str(o, "allowed_domain", c->allowed_domain.n ? c->allowed_domain : STR_NONE);
    write_fields(o, "fields", c->fields, c->field_count, lang);
    json_key(o, "auth");
    json_open(o, '[');
    for (size_t i = 0; i < c->auth_count; i++)
        write_auth(o, &c->auth[i], lang);
    json_close(o, ']');
    json_key(o, "headers");
    json_open(o, '{');
    for (size_t i = 0; i < c->header_count; i++) {
        const char *name = c->headers[i][0].p; /* NUL-terminated when read: see connector_read() */
        json_member_str(o, name, c->headers[i][1]);
    }
    json_close(o, '}');
    if (c->verify.path.n)
        write_verify(o, &c->verify);
    else
        json_member_null(o, "verify");
    json_member_bool(o, "follow_redirects", c->follow_redirects);
    write_times(o, &c->times);
    json_member_str(o, "prerequisites", c->prerequisites[lang]);
}

void connector_write(struct json_out *o, const struct connector *c, enum language lang, bool full, const struct str *blocked_by,
                     size_t blocked_count)
{
    json_open(o, '{');
    json_member_str(o, "id", c->id);
    json_member_str(o, "name", c->name);
    json_member_str(o, "version", c->version);
    json_member_str(o, "stage", c->stage);
    json_member_str(o, "description", c->description[lang]);
    json_member_str(o, "homepage", c->homepage.n ? c->homepage : STR_NONE);
    json_member_str(o, "documentation", c->documentation);
    write_list(o, "domains", c->domains, c->domain_count);
    write_list(o, "keywords", c->keywords, c->keyword_count);
    json_key(o, "auth_types");
    json_open(o, '[');
    for (size_t i = 0; i < c->auth_count; i++)
        json_put_str(o, c->auth[i].type);
    json_close(o, ']');
    write_list(o, "blocked_by", blocked_by, blocked_count);
    if (full)
        write_full(o, c, lang);
    json_close(o, '}');
}
