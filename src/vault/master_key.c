#include "vault/master_key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/fd.h"
#include "crypto/hash.h"
#include "crypto/seal.h"

#define KEY_FILE "master.key"
#define KEY_FILE_MAX 4096 /* bytes; a key has 32 to 65, and a larger file is some other one */

static enum err missing(struct fault *why, const char *path, const char *what)
{
    char say[sizeof why->subject];
    snprintf(say, sizeof say, "%s %s", path, what);
    return fault(why, ERR_KEY_MISSING, str_of(say), "%m");
}

/* 64 hex digits or the base64 of 32 bytes. The copies that decoding makes are wiped. */
static bool key_from_text(struct str text, struct secret *out)
{
    AUTO_ARENA a = arena_new(512);
    struct str bytes = STR_NONE, t = str_trim(text);
    if (t.n > 64 || !(t.n == 64 ? hex_decode(a, t, &bytes) : base64_decode(a, t, BASE64_STANDARD, &bytes)))
        return false;
    bool right = bytes.n == SEAL_KEY;
    if (right)
        *out = secret_from(bytes);
    secret_wipe((char *)bytes.p, bytes.n);
    return right;
}

static enum err check_file(int fd, const char *path, bool shared_ok, struct fault *why)
{
    struct stat st;
    if (fstat(fd, &st))
        return missing(why, path, "cannot be read");
    if (!S_ISREG(st.st_mode))
        return missing(why, path, "is not a file");
    if (!shared_ok && st.st_mode & 077)
        return missing(why, path, "may be read by others; run chmod 600 on it");
    return ERR_NONE;
}

/* Exactly 32 bytes are the key itself; else its text. `shared_ok`: systemd guards its credentials' directory in other ways. */
static enum err key_from_fd(int fd, const char *path, bool shared_ok, struct secret *out, struct fault *why)
{
    enum err e = check_file(fd, path, shared_ok, why);
    if (e)
        return e;
    AUTO_SECRET content = secret_new(KEY_FILE_MAX);
    ssize_t n = fd_read(fd, content.p, content.n, FD_HERE);
    if (n < 0)
        return missing(why, path, "cannot be read");
    if (n == SEAL_KEY) {
        *out = secret_from((struct str){ (char *)content.p, SEAL_KEY });
        return ERR_NONE;
    }
    if (!key_from_text((struct str){ (char *)content.p, (size_t)n }, out))
        return missing(why, path, "does not hold 32 bytes in base64 or hex");
    return ERR_NONE;
}

static enum err key_from_file(const char *path, bool shared_ok, struct secret *out, struct fault *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return missing(why, path, errno == ENOENT ? "does not exist" : "cannot be opened");
    enum err e = key_from_fd(fd, path, shared_ok, out, why);
    close(fd);
    return e;
}

/* The key in base64 and a line end, on the disk. */
static bool write_key(int fd, struct secret key)
{
    AUTO_SECRET text = secret_new(base64_size(SEAL_KEY) + 1);
    size_t n = base64_write((char *)text.p, secret_str(key), BASE64_STANDARD);
    text.p[n++] = '\n';
    return fchmod(fd, 0600) == 0 && fd_write(fd, text.p, n, FD_HERE) && fsync(fd) == 0;
}

/* To its name, unless a file has it already. Not every file system knows both ways. */
static bool name_without_clobber(int directory, const char *temporary)
{
    if (linkat(directory, temporary, directory, KEY_FILE, 0) == 0)
        return true;
    return errno != EEXIST && renameat2(directory, temporary, directory, KEY_FILE, RENAME_NOREPLACE) == 0;
}

/* Complete and on the disk before it has its name: a crash leaves the whole key or none (requirement 18.1). */
static bool create_in(int directory, struct secret key)
{
    char temporary[] = KEY_FILE ".xxxxxxxxxxxx";
    random_text(temporary + sizeof KEY_FILE, 12);
    int fd = openat(directory, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return false;
    bool done = write_key(fd, key);
    done = close(fd) == 0 && done && name_without_clobber(directory, temporary);
    int error = errno;
    unlinkat(directory, temporary, 0);
    errno = error;
    return done && fsync(directory) == 0;
}

static enum err create_key(const char *directory, const char *path, struct secret *out, bool *created, struct fault *why)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return missing(why, directory, "cannot be opened");
    struct secret key = secret_new(SEAL_KEY);
    random_bytes(key.p, key.n);
    bool done = create_in(fd, key);
    int error = errno;
    close(fd);
    errno = error;
    if (done) {
        *out = key;
        *created = true;
        return ERR_NONE;
    }
    secret_end(&key);
    if (error == EEXIST) /* another process was quicker: its key is the key */
        return key_from_file(path, false, out, why);
    return missing(why, path, "cannot be created");
}

static enum err key_from_directory(struct str directory, bool may_create, struct secret *out, bool *created, struct fault *why)
{
    AUTO_ARENA a = arena_new(512);
    const char *path = arena_cstr(a, str_fmt(a, "%.*s/" KEY_FILE, STR_ARG(directory)));
    if (access(path, F_OK) == 0 || errno != ENOENT)
        return key_from_file(path, false, out, why);
    if (!may_create)
        return missing(why, path, "is gone, and this database was made with it; put it back from where you keep it");
    return create_key(arena_cstr(a, directory), path, out, created, why);
}

enum err master_key_load(const struct master_key_source *from, bool may_create, struct secret *out, bool *created,
                         struct fault *why)
{
    AUTO_ARENA a = arena_new(512);
    *created = false;
    errno = 0;
    if (from->text.n) {
        if (key_from_text(from->text, out))
            return ERR_NONE;
        return fault(why, ERR_KEY_MISSING, STR("RACCORD_MASTER_KEY is not 32 bytes in base64 or hex"), "text of %zu bytes",
                     from->text.n);
    }
    if (from->file.n)
        return key_from_file(arena_cstr(a, from->file), false, out, why);
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    if (credentials) {
        const char *path = arena_cstr(a, str_fmt(a, "%s/master-key", credentials));
        if (access(path, F_OK) == 0)
            return key_from_file(path, true, out, why);
    }
    return key_from_directory(from->directory, may_create, out, created, why);
}

struct master_key_id master_key_id(struct secret key)
{
    unsigned char mac[SHA256_SIZE];
    struct master_key_id id = { "" };
    hmac_sha256(secret_str(key), STR("master_key_id|1"), mac);
    hex_write(id.text, (struct str){ (char *)mac, MASTER_KEY_ID / 2 });
    secret_wipe(mac, sizeof mac);
    return id;
}

struct secret master_key_derive(struct secret key, struct str label)
{
    struct secret out = secret_new(SHA256_SIZE);
    hmac_sha256(secret_str(key), label, out.p);
    return out;
}

/* ---- changing it ---- */

struct str master_key_path(struct arena *a, const struct master_key_source *from)
{
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    if (from->text.n)
        return STR_NONE;
    if (from->file.n)
        return arena_str(a, from->file);
    if (credentials && access(arena_cstr(a, str_fmt(a, "%s/master-key", credentials)), F_OK) == 0)
        return STR_NONE;
    return str_fmt(a, "%.*s/" KEY_FILE, STR_ARG(from->directory));
}

static bool replace_in(int directory, const char *name, struct secret key)
{
    char temporary[] = KEY_FILE ".xxxxxxxxxxxx";
    random_text(temporary + sizeof KEY_FILE, 12);
    int fd = openat(directory, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return false;
    struct stat before;
    /* root's command must not lock the server's own user out. */
    bool owned = fstatat(directory, name, &before, 0) || geteuid() != 0 || fchown(fd, before.st_uid, before.st_gid) == 0;
    bool done = owned && write_key(fd, key);
    done = close(fd) == 0 && done && renameat(directory, temporary, directory, name) == 0;
    int error = errno;
    if (!done)
        unlinkat(directory, temporary, 0);
    errno = error;
    return done && fsync(directory) == 0;
}

enum err master_key_replace(struct str path, struct secret key, struct fault *why)
{
    AUTO_ARENA a = arena_new(512);
    char *whole = arena_cstr(a, path), *slash = strrchr(whole, '/');
    const char *name = slash ? slash + 1 : whole, *directory = slash == whole ? "/" : slash ? whole : ".";
    if (slash)
        *slash = 0;
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool done = fd >= 0 && replace_in(fd, name, key);
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    if (done)
        return ERR_NONE;
    return fault(why, ERR_FILE, str_fmt(a, "%.*s cannot be written; the master key was not changed", STR_ARG(path)), "%m");
}
