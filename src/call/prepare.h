/* call/prepare.h - a stored connection made ready for calls: read, judged by policies, opened, its target and its injections worked
 * out. SQL and unsealing: worker threads only. Nothing is kept here; call/switchboard.c has the cache. */
#ifndef CALL_PREPARE_H
#define CALL_PREPARE_H

#include "call/switchboard.h"

/* Fills *p, which has its arena and nothing else. `trial` NULL: for calls. Errors: those of switchboard_prepare(). */
enum err prepare_connection(struct switchboard *s, struct str id, const struct call_trial *trial, struct prepared *p,
                            struct fault *why) MUST_CHECK;

#endif
