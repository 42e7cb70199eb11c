/* http/times.h - how long each phase of a request to a provider may take, in milliseconds. */
#ifndef HTTP_TIMES_H
#define HTTP_TIMES_H

#include <stdint.h>

/* The hub's own, from its configuration; or a connector's, where 0 stands for the hub's. */
struct http_times {
    int64_t connect_ms;    /* look-up and TCP */
    int64_t tls_ms;        /* handshake */
    int64_t first_byte_ms; /* after the request is sent */
    int64_t idle_ms;       /* between bytes of the answer */
    int64_t total_ms;      /* until the answer's head; buffered: until its end. The hub's may be 0: none */
};

#endif
