/* cmd/errand.h - what most client verbs are: one request to the API. List, show, send, delete after asking. All say what went wrong
 * on stderr and answer the exit code. */
#ifndef CMD_ERRAND_H
#define CMD_ERRAND_H

#include "cmd/client.h"

int errand_list(struct command *c, struct listing *l);
/* GET one, by the first argument. */
int errand_get(struct command *c, const char *collection);
/* And show the answer. `body` NULL: none. */
int errand_send(struct command *c, const char *method, struct str path, const struct buf *body);
/* The body is --body, @FILE or -, into locked memory: it may hold secrets. At most `max` bytes. */
int errand_send_file(struct command *c, const char *method, struct str path, size_t max);
int errand_body_read(struct command *c, size_t max, struct secret *out);

/* An object's body, begun: until json_close(&o, '}'). */
struct json_out errand_open(struct buf *b);
/* The option as a text member, when it is given. */
void errand_member(struct json_out *o, const struct command *c, enum option option, const char *name);
/* All values of one that repeats, as a list; "" takes all away. */
void errand_members(struct json_out *o, const struct command *c, enum option option, const char *name);

/* NAME=TEXT and NAME:=JSON of an option that repeats, as an object; none given: nothing. */
int errand_pairs(struct command *c, struct json_out *o, enum option option, const char *member);

/* "/tokens/{first argument}{tail}", encoded, without ?folder=. */
struct str errand_path(struct command *c, const char *collection, const char *tail);

/* Asks at a terminal, after `said`; without one --yes is needed. EXIT_DONE: go on. */
int errand_confirm(struct command *c, const char *said);
/* Looks the object up, says what is lost, asks, deletes, and says so. */
struct errand_harm {
    const char *noun;  /* "the group" */
    const char *name;  /* the member that names it to people */
    const char *lost;  /* what else goes: ", and what was given to it"; or "" */
};
int errand_delete(struct command *c, const char *collection, const struct errand_harm *harm);
/* DELETE without asking: it can be made good again, or must be quick. Says `said` and the first argument. */
int errand_drop(struct command *c, struct str path, const char *said);

#endif
