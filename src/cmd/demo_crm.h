/* cmd/demo_crm.h - the demonstration provider's data and answers: a small CRM, without any network.
 *
 * 2,000 contacts and 1,500 deals, the same at every start. Amounts are decimals and ids of deals odd integers above 2^53: a program
 * on the way that reads numbers as doubles shows itself. Everything needs the bearer token. Safe from any thread.
 *
 *   GET /v1/me                         whose account it is
 *   GET POST /v1/contacts              ?limit= 1..100 &cursor= &search=; Link: rel="next"
 *   GET PATCH DELETE /v1/contacts/{id} ETag, If-None-Match, If-Match
 *   GET /v1/deals  /v1/deals/{id}      ?limit= &cursor= &stage=
 *   GET /v1/slow?ms=                   answers late
 *   GET /v1/fail?status=               fails as asked
 *   GET /v1/download?bytes=            that many bytes
 *   GET /v1/redirect                   302 to another host
 */
#ifndef CMD_DEMO_CRM_H
#define CMD_DEMO_CRM_H

#include "base/arena.h"
#include "base/buf.h"
#include "http/head.h"

#define DEMO_CONTACTS 2000
#define DEMO_DEALS 1500
#define DEMO_DEAL_FIRST 9007199254740993 /* 2^53 + 1 */

struct demo_crm;

/* `origin`: "https://localhost:1234", for links; it and `token` are copied. */
struct demo_crm *demo_crm_new(struct str origin, struct str token);
void demo_crm_free(struct demo_crm *crm); /* NULL is fine */

struct demo_request {
    struct arena *arena;
    const struct head *head; /* method, path, query, headers */
    struct str body;
};
struct demo_answer {
    int status;
    struct str headers[8][2];
    size_t header_count;
    struct str body;         /* JSON; owned by the request's arena */
    uint64_t stream;         /* instead of a body: this many bytes of demo_byte() */
    int64_t wait_ms;         /* before answering */
};
void demo_crm_answer(struct demo_crm *crm, const struct demo_request *q, struct demo_answer *out);

/* The byte at that place of a download. */
static inline char demo_byte(uint64_t at) { return (char)('a' + at % 23); }

#endif
