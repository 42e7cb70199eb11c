/* loop/inside.h - what the room itself needs of libuv; no other room includes this. */
#ifndef LOOP_INSIDE_H
#define LOOP_INSIDE_H

#include <uv.h>

struct loop;
uv_loop_t *loop_uv(struct loop *l);
/* First thing in each callback from libuv: loop_now() is as old as the last one. */
void loop_refresh(struct loop *l);

#endif
