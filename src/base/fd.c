#include "base/fd.h"

#include <errno.h>
#include <unistd.h>

ssize_t fd_read(int fd, void *bytes, size_t n, off_t at)
{
    size_t done = 0;
    while (done < n) {
        char *p = (char *)bytes + done;
        ssize_t got = at == FD_HERE ? read(fd, p, n - done) : pread(fd, p, n - done, at + (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (!got)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

bool fd_write(int fd, const void *bytes, size_t n, off_t at)
{
    size_t done = 0;
    while (done < n) {
        const char *p = (const char *)bytes + done;
        ssize_t put = at == FD_HERE ? write(fd, p, n - done) : pwrite(fd, p, n - done, at + (off_t)done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        done += (size_t)put;
    }
    return true;
}
