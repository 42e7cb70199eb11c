/* web/certificates.h - client certificates as the API shows them. */
#ifndef WEB_CERTIFICATES_H
#define WEB_CERTIFICATES_H

#include "vault/certificate.h"
#include "web/web.h"

/* What a connection shows of its own. */
struct certificate_view {
    struct connection_tls tls;
    bool found;                 /* `row` is the certificate in use */
    struct certificate_row row;
};
/* Of a page of connections: out[i] for connections->keys[i]. */
enum err certificate_views(struct web_request *q, const struct many *connections, struct certificate_view *out,
                           struct fault *why) MUST_CHECK;
/* Members `client_certificate` and `tls_ca`. */
void certificate_view_write(struct json_out *o, const struct certificate_view *v);
/* For /metrics. */
enum err certificates_metrics(struct web_request *q, struct buf *out, struct fault *why) MUST_CHECK;

#endif
