#include "cmd/certificate_option.h"

#include "base/encode.h"
#include "cmd/terminal.h"

#define FILE_MAX (64 * 1024)

void certificate_option_end(struct certificate_option *o)
{
    secret_end(&o->certificate);
    secret_end(&o->key);
    secret_end(&o->passphrase);
}

static int read_file(struct command *c, enum option option, bool trim, struct secret *out)
{
    struct fault why = { 0 };
    const char *path = command_value(c, option);
    if (!path)
        return EXIT_DONE;
    return secret_read_file(path, FILE_MAX, trim, out, &why) ? command_failed(c, &why) : EXIT_DONE;
}

/* PKCS#12 is binary: it goes into JSON as base64. */
static void to_base64(struct secret *s)
{
    struct secret text = secret_new(base64_size(s->n));
    text.n = base64_write((char *)text.p, secret_str(*s), BASE64_STANDARD);
    secret_end(s);
    *s = text;
}

int certificate_option_read(struct command *c, struct certificate_option *out)
{
    int code;
    out->issue = command_value(c, OPT_ISSUE);
    out->given = out->issue || command_has(c, OPT_CLIENT_CERTIFICATE);
    if (!out->given && (command_has(c, OPT_CLIENT_KEY) || command_has(c, OPT_CLIENT_PASSPHRASE)))
        return command_wrong(c, "--client-certificate is missing.");
    if (out->issue && (command_has(c, OPT_CLIENT_CERTIFICATE) || command_has(c, OPT_CLIENT_KEY)))
        return command_wrong(c, "--issue makes a certificate and its key; it cannot stand beside files.");
    if ((code = read_file(c, OPT_CLIENT_CERTIFICATE, false, &out->certificate)) ||
        (code = read_file(c, OPT_CLIENT_KEY, false, &out->key)) ||
        (code = read_file(c, OPT_CLIENT_PASSPHRASE, true, &out->passphrase)))
        return code;
    out->pkcs12 = out->certificate.n && str_find_str(secret_str(out->certificate), STR("-----BEGIN")) == SIZE_MAX;
    if (out->pkcs12)
        to_base64(&out->certificate);
    else if (out->certificate.n && !out->key.n)
        return command_wrong(c, "--client-key is missing: the file of the certificate's private key.");
    return EXIT_DONE;
}

static void member(struct json_out *o, const char *name, struct secret value)
{
    if (value.n)
        json_member_str(o, name, secret_str(value));
}

void certificate_option_write(struct json_out *o, const struct certificate_option *from)
{
    member(o, from->pkcs12 ? "pkcs12" : "certificate", from->certificate);
    member(o, "private_key", from->key);
    member(o, "passphrase", from->passphrase);
    if (from->issue)
        json_member_str(o, "issue", str_of(from->issue));
}
