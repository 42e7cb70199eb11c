/* The calls that change files, with a memory of what is not on the disk yet: see power.c. */
#ifndef POWER_H
#define POWER_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

/* As the system calls, errno too. Without $TEST_POWER nothing else than these. */
long disk_pwrite(int fd, const void *p, size_t n, off_t at);
long disk_write(int fd, const void *p, size_t n);
long disk_writev(int fd, const struct iovec *v, int count);
long disk_pwritev(int fd, const struct iovec *v, int count, off_t at, int flags);
long disk_truncate(int fd, off_t n);
long disk_allocate(int fd, int mode, off_t at, off_t n);
long disk_sync(int fd, long number);    /* SYS_fsync or SYS_fdatasync */
long disk_open(int directory, const char *path, int flags, mode_t mode);
long disk_mkdir(int directory, const char *path, mode_t mode);
long disk_link(int directory, const char *path, int directory2, const char *path2, int flags);
long disk_rename(int directory, const char *path, int directory2, const char *path2, unsigned flags);
long disk_unlink(int directory, const char *path, int flags);

#endif
