/* loop/uv.h - what the room itself needs of libuv; no other room includes this. */
#ifndef LOOP_UV_H
#define LOOP_UV_H

#include <uv.h>

struct loop;
uv_loop_t *loop_uv(struct loop *l);

#endif
