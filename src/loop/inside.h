/* loop/inside.h - what the room itself needs of libuv; no other room includes this. */
#ifndef LOOP_INSIDE_H
#define LOOP_INSIDE_H

#include <uv.h>

struct loop;
uv_loop_t *loop_uv(struct loop *l);

#endif
