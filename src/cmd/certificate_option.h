/* cmd/certificate_option.h - a client certificate as options give it: files, or who should issue one. */
#ifndef CMD_CERTIFICATE_OPTION_H
#define CMD_CERTIFICATE_OPTION_H

#include "base/json.h"
#include "cmd/command.h"
#include "crypto/secret.h"

struct certificate_option {
    bool given;
    bool pkcs12;                  /* `certificate` is such a file */
    struct secret certificate, key, passphrase;
    const char *issue;
};

/* --client-certificate, --client-key, --client-passphrase-file, or --issue. Answers the exit code. */
int certificate_option_read(struct command *c, struct certificate_option *out);
void certificate_option_end(struct certificate_option *o);
#define AUTO_CERTIFICATE __attribute__((cleanup(certificate_option_end))) struct certificate_option
/* The members of the API's object; `o` is inside it. */
void certificate_option_write(struct json_out *o, const struct certificate_option *from);

#endif
