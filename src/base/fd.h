/* base/fd.h - whole reads and writes of a file descriptor: short ones go on, interrupted ones again. errno says why one failed. */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define FD_HERE ((off_t)-1) /* where the descriptor stands, which then moves on */

/* As many bytes as there are, up to n; -1 on an error. */
ssize_t fd_read(int fd, void *bytes, size_t n, off_t at);
/* False when not all could be written. */
bool fd_write(int fd, const void *bytes, size_t n, off_t at);

#endif
