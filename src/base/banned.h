/* base/banned.h - included before every file: calls that have a safer twin do not compile.
 *
 *   strcpy, strcat   str_copy, arena_cstr, buf_add      sprintf   snprintf, str_fmt, buf_fmt
 *   strtok           str_piece, str_cut                 atoi      str_u64, json_i64
 *   gmtime           gmtime_r, clock_format             localtime never: times are UTC
 */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <time.h>

#undef strcpy
#undef strcat
#undef sprintf
#undef strtok
#undef atoi
#undef gmtime
#undef localtime
#pragma GCC poison strcpy strcat sprintf strtok atoi gmtime localtime

#endif
