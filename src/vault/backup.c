#include "vault/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/fd.h"
#include "base/json.h"
#include "crypto/hash.h"
#include "crypto/stream.h"

#define MAGIC "RACCORD-BACKUP "
#define VERSION 1
#define HEAD_MAX 1024          /* bytes of the first line */
#define MANIFEST_MAX (16 * 1024)
#define SALT 16                /* bytes */
#define SEALED_PIECE (STREAM_PIECE + STREAM_OVERHEAD)

static inline void fd_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
#define AUTO_FD __attribute__((cleanup(fd_end))) int

static enum err file_fault(struct fault *why, struct str path, const char *what)
{
    int error = errno;
    AUTO_ARENA a = arena_new(512);
    struct str say = str_fmt(a, "%.*s %s", STR_ARG(path), what);
    return fault(why, ERR_FILE, say, "%s", error ? strerrordesc_np(error) : "");
}

static enum err damaged(struct fault *why, struct str path, const char *what)
{
    return fault(why, ERR_BACKUP_DAMAGED, path, "%s", what);
}

static struct str backup_label(struct arena *a, struct str salt) { return str_fmt(a, "backup|1|%.*s", STR_ARG(salt)); }

/* ---- writing ---- */

struct writing {
    struct arena *arena;
    const struct backup_order *order;
    char *snapshot, *partial;
    struct stream stream;
    struct str head;           /* authenticated with the first piece */
    int in, out;
    unsigned char *piece, *sealed;
    size_t filled;
    int64_t done, total;
};

static struct str head_text(struct arena *a, struct keyring *k, struct str salt)
{
    char at[CLOCK_TEXT];
    return str_fmt(a, MAGIC "{\"version\":%d,\"master_key\":\"%s\",\"salt\":\"%.*s\",\"created_at\":\"%s\"}\n", VERSION,
                   keyring_master(k).text, STR_ARG(salt), clock_format(clock_wall(), at));
}

static bool flush(struct writing *w, bool last)
{
    stream_seal(&w->stream, w->head, (struct str){ (char *)w->piece, w->filled }, last, w->sealed);
    w->head = STR_NONE;
    size_t n = w->filled + STREAM_OVERHEAD;
    w->filled = 0;
    return fd_write(w->out, w->sealed, n, FD_HERE);
}

static bool add(struct writing *w, const void *bytes, size_t n)
{
    const char *p = bytes;
    while (n) {
        if (w->filled == STREAM_PIECE && !flush(w, false))
            return false;
        size_t now = n < STREAM_PIECE - w->filled ? n : STREAM_PIECE - w->filled;
        memcpy(w->piece + w->filled, p, now);
        w->filled += now;
        p += now;
        n -= now;
    }
    return true;
}

/* SHA-256 of the snapshot; the file is then at its start again. */
static bool digest(struct writing *w, char hex[2 * SHA256_SIZE])
{
    unsigned char sum[SHA256_SIZE];
    struct sha256_run run;
    ssize_t got;
    sha256_begin(&run);
    while ((got = fd_read(w->in, w->piece, STREAM_PIECE, FD_HERE)) > 0) {
        sha256_add(&run, (struct str){ (char *)w->piece, (size_t)got });
        w->total += got;
    }
    sha256_done(&run, sum);
    hex_write(hex, (struct str){ (char *)sum, sizeof sum });
    return got == 0 && lseek(w->in, 0, SEEK_SET) == 0;
}

static bool write_manifest(struct writing *w, struct str sum)
{
    struct str facts = w->order->facts.n ? w->order->facts : STR("{}");
    struct str text = str_fmt(w->arena, "{\"database_bytes\":%lld,\"sha256\":\"%.*s\",\"facts\":%.*s}", (long long)w->total,
                              STR_ARG(sum), STR_ARG(facts));
    unsigned char length[4] = { (unsigned char)(text.n >> 24), (unsigned char)(text.n >> 16), (unsigned char)(text.n >> 8),
                                (unsigned char)text.n };
    if (text.n > MANIFEST_MAX)
        bug("a manifest of %zu bytes", text.n);
    return add(w, length, sizeof length) && add(w, text.p, text.n);
}

static bool write_database(struct writing *w)
{
    unsigned char *bytes = arena_alloc(w->arena, STREAM_PIECE);
    ssize_t got;
    while ((got = fd_read(w->in, bytes, STREAM_PIECE, FD_HERE)) > 0) {
        if (!add(w, bytes, (size_t)got))
            return false;
        w->done += got;
        if (w->order->progress)
            w->order->progress(w->order->context, w->total + w->done, 2 * w->total);
    }
    return got == 0 && w->done == w->total && flush(w, true);
}

static enum err write_out(struct writing *w, struct keyring *k, struct fault *why)
{
    unsigned char header[STREAM_HEADER], bytes[SALT];
    char salt[2 * SALT + 1] = "", sum[2 * SHA256_SIZE];
    AUTO_SECRET key = SECRET_NONE;
    random_bytes(bytes, sizeof bytes);
    hex_write(salt, (struct str){ (char *)bytes, sizeof bytes });
    enum err e = keyring_master_derive(k, backup_label(w->arena, str_of(salt)), &key, why);
    if (e)
        return e;
    w->head = head_text(w->arena, k, str_of(salt));
    stream_seal_begin(&w->stream, key, header);
    bool done = digest(w, sum) && fd_write(w->out, w->head.p, w->head.n, FD_HERE) &&
                fd_write(w->out, header, sizeof header, FD_HERE) && write_manifest(w, (struct str){ sum, sizeof sum }) &&
                write_database(w) && fsync(w->out) == 0;
    stream_end(&w->stream);
    return done ? ERR_NONE : file_fault(why, str_of(w->partial), "cannot be written");
}

static enum err sync_directory(struct arena *a, struct str path, struct fault *why)
{
    char *copy = arena_cstr(a, path), *slash = strrchr(copy, '/');
    if (slash)
        *slash = 0;
    AUTO_FD fd = open(!slash ? "." : slash == copy ? "/" : copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && fsync(fd) == 0 ? ERR_NONE : file_fault(why, path, "is in a directory that cannot be synced");
}

/* To its name, when all of it is on the disk. */
static enum err name_it(struct writing *w, struct fault *why)
{
    char *path = arena_cstr(w->arena, w->order->path);
    int failed = w->order->replace ? rename(w->partial, path) : link(w->partial, path);
    if (failed && errno == EEXIST)
        return fault(why, ERR_CONFLICT, w->order->path, "the backup's file is there");
    if (failed)
        return file_fault(why, w->order->path, "cannot be written");
    return sync_directory(w->arena, w->order->path, why);
}

static enum err write_with(struct writing *w, struct store *s, struct keyring *k, struct fault *why)
{
    /* Locked: two backups into one file would mix. What an earlier one left behind is overwritten. */
    AUTO_FD in = w->in = open(w->snapshot, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (in < 0 || fchmod(in, 0600))
        return file_fault(why, str_of(w->snapshot), "cannot be written");
    if (flock(in, LOCK_EX | LOCK_NB))
        return fault(why, ERR_CONFLICT, str_of(w->snapshot), "another backup writes here");
    AUTO_FD out = w->out = open(w->partial, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (out < 0 || fchmod(out, 0600))
        return file_fault(why, str_of(w->partial), "cannot be written");
    enum err e = ftruncate(in, 0) ? file_fault(why, str_of(w->snapshot), "cannot be written")
                                  : store_copy(s, w->snapshot, w->order->progress, w->order->context, why);
    if (!e && !(e = write_out(w, k, why)))
        e = name_it(w, why);
    unlink(w->partial);
    unlink(w->snapshot);
    return e;
}

enum err backup_write(struct store *s, struct keyring *k, const struct backup_order *order, struct fault *why)
{
    AUTO_ARENA a = arena_new(4 * STREAM_PIECE);
    struct writing w = {
        .arena = a, .order = order, .piece = arena_alloc(a, STREAM_PIECE), .sealed = arena_alloc(a, SEALED_PIECE)
    };
    w.snapshot = arena_cstr(a, str_fmt(a, "%.*s.snapshot", STR_ARG(order->path)));
    w.partial = arena_cstr(a, str_fmt(a, "%.*s.partial", STR_ARG(order->path)));
    if (!order->replace && access(arena_cstr(a, order->path), F_OK) == 0)
        return fault(why, ERR_CONFLICT, order->path, "the backup's file is there");
    return write_with(&w, s, k, why);
}

/* ---- reading ---- */

struct reading {
    struct arena *arena;
    struct str path;
    const char *to;
    int in, out;
    struct backup_head head;
    struct stream stream;
    unsigned char *sealed, *plain;
    backup_progress *progress;
    void *context;
    int64_t size, read;        /* of the file */
    struct buf front;          /* the manifest's length and text, until it is whole */
    bool has_manifest;
    int64_t expected, written; /* of the database */
    struct str sum, facts;
    struct sha256_run run;
};

static enum err head_parse(struct arena *a, struct str path, struct str line, struct backup_head *out, struct fault *why)
{
    struct json *j;
    int64_t version = 0;
    struct str magic = STR(MAGIC);
    if (!str_starts(line, magic) || json_read(a, str_sub(line, magic.n, line.n), &j, NULL) ||
        !json_i64(json_get(j, "version"), &version))
        return file_fault(why, path, "is not a backup of Raccord");
    if (version != VERSION)
        return file_fault(why, path, "is a backup of a newer Raccord; upgrade the program");
    *out = (struct backup_head){ .text = line, .master = json_str(j, "master_key"), .salt = json_str(j, "salt") };
    if (out->master.n != MASTER_KEY_ID || out->salt.n != 2 * SALT || !clock_parse(json_str(j, "created_at"), &out->created))
        return damaged(why, path, "its first line");
    return ERR_NONE;
}

/* Leaves the file behind the line. */
static enum err head_read(struct arena *a, int fd, struct str path, struct backup_head *out, struct fault *why)
{
    char *line = arena_alloc(a, HEAD_MAX);
    ssize_t got = pread(fd, line, HEAD_MAX, 0);
    size_t end = got > 0 ? str_find((struct str){ line, (size_t)got }, '\n') : SIZE_MAX;
    errno = got < 0 ? errno : 0;
    if (end == SIZE_MAX || lseek(fd, (off_t)end + 1, SEEK_SET) < 0)
        return file_fault(why, path, got < 0 ? "cannot be read" : "is not a backup of Raccord");
    return head_parse(a, path, (struct str){ line, end + 1 }, out, why);
}

static enum err open_backup(struct arena *a, struct str path, int *fd, struct fault *why)
{
    struct stat st;
    *fd = open(arena_cstr(a, path), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (*fd < 0 || fstat(*fd, &st))
        return file_fault(why, path, "cannot be read");
    errno = 0;
    return S_ISREG(st.st_mode) ? ERR_NONE : file_fault(why, path, "is not a file");
}

enum err backup_head_read(struct arena *a, struct str path, struct backup_head *out, struct fault *why)
{
    AUTO_FD fd = -1;
    enum err e = open_backup(a, path, &fd, why);
    return e ? e : head_read(a, fd, path, out, why);
}

static enum err take_manifest(struct reading *r, struct str text, struct fault *why)
{
    struct json *j;
    AUTO_BUF facts;
    if (json_read(r->arena, arena_str(r->arena, text), &j, NULL) || !json_i64(json_get(j, "database_bytes"), &r->expected))
        return damaged(why, r->path, "its manifest");
    r->sum = json_str(j, "sha256");
    buf_init(&facts, MANIFEST_MAX);
    struct json_out o = json_out(&facts);
    json_put(&o, json_get(j, "facts"));
    r->facts = arena_str(r->arena, buf_str(&facts));
    r->has_manifest = true;
    return ERR_NONE;
}

/* What comes before the database: *rest is what `plain` has behind it. */
static enum err read_front(struct reading *r, struct str plain, struct str *rest, struct fault *why)
{
    *rest = (struct str){ plain.p, 0 };
    buf_add(&r->front, plain);
    if (buf_failed(&r->front))
        return damaged(why, r->path, "its manifest is too long");
    if (r->front.n < 4)
        return ERR_NONE;
    const unsigned char *p = (const unsigned char *)r->front.p;
    size_t n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    if (n > MANIFEST_MAX)
        return damaged(why, r->path, "its manifest is too long");
    if (r->front.n < 4 + n)
        return ERR_NONE;
    *rest = str_sub(plain, plain.n - (r->front.n - 4 - n), plain.n);
    return take_manifest(r, str_sub(buf_str(&r->front), 4, 4 + n), why);
}

static enum err take_piece(struct reading *r, struct str plain, struct fault *why)
{
    enum err e = r->has_manifest ? ERR_NONE : read_front(r, plain, &plain, why);
    if (e)
        return e;
    sha256_add(&r->run, plain);
    r->written += (int64_t)plain.n;
    return fd_write(r->out, plain.p, plain.n, FD_HERE) ? ERR_NONE : file_fault(why, str_of(r->to), "cannot be written");
}

static enum err check_whole(struct reading *r, struct fault *why)
{
    unsigned char sum[SHA256_SIZE], one;
    char hex[2 * SHA256_SIZE];
    sha256_done(&r->run, sum);
    hex_write(hex, (struct str){ (char *)sum, sizeof sum });
    if (!r->has_manifest || r->written != r->expected || !str_eq(r->sum, (struct str){ hex, sizeof hex }))
        return damaged(why, r->path, "the database in it is not what its manifest says");
    if (fd_read(r->in, &one, 1, FD_HERE) != 0)
        return damaged(why, r->path, "there is something behind its end");
    return fsync(r->out) == 0 ? ERR_NONE : file_fault(why, str_of(r->to), "cannot be written");
}

static enum err read_pieces(struct reading *r, struct fault *why)
{
    struct str first = r->head.text;
    for (bool last = false; !last;) {
        ssize_t got = fd_read(r->in, r->sealed, SEALED_PIECE, FD_HERE);
        if (got < 0)
            return file_fault(why, r->path, "cannot be read");
        if (got < STREAM_OVERHEAD)
            return damaged(why, r->path, "it is cut off");
        if (stream_open(&r->stream, first, (struct str){ (char *)r->sealed, (size_t)got }, r->plain, &last, NULL))
            return damaged(why, r->path, "a piece of it was altered, or it is cut off");
        first = STR_NONE;
        enum err e = take_piece(r, (struct str){ (char *)r->plain, (size_t)got - STREAM_OVERHEAD }, why);
        if (e)
            return e;
        r->read += got;
        if (r->progress)
            r->progress(r->context, r->read, r->size);
    }
    return check_whole(r, why);
}

static enum err unpack_with(struct reading *r, struct secret master, struct fault *why)
{
    unsigned char header[STREAM_HEADER];
    struct stat st;
    struct master_key_id mine = master_key_id(master);
    enum err e = head_read(r->arena, r->in, r->path, &r->head, why);
    if (e)
        return e;
    if (!str_is(r->head.master, mine.text))
        return fault(why, ERR_KEY_WRONG, r->head.master, "the key given is %s", mine.text);
    if (fd_read(r->in, header, sizeof header, FD_HERE) != sizeof header || fstat(r->in, &st))
        return damaged(why, r->path, "it is cut off");
    r->size = st.st_size;
    AUTO_SECRET key = master_key_derive(master, backup_label(r->arena, r->head.salt));
    e = stream_open_begin(&r->stream, key, header, NULL) ? damaged(why, r->path, "its header") : read_pieces(r, why);
    stream_end(&r->stream);
    return e;
}

enum err backup_unpack(struct arena *a, struct str path, struct secret master, const char *to, backup_progress *progress,
                       void *context, struct str *facts, struct fault *why)
{
    AUTO_FD in = -1, out = -1;
    struct reading r = { .arena = a,
                         .path = path,
                         .to = to,
                         .progress = progress,
                         .context = context,
                         .sealed = arena_alloc(a, SEALED_PIECE),
                         .plain = arena_alloc(a, STREAM_PIECE) };
    enum err e = open_backup(a, path, &in, why);
    if (e)
        return e;
    out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (out < 0)
        return file_fault(why, str_of(to), "cannot be written");
    r.in = in;
    r.out = out;
    sha256_begin(&r.run);
    buf_init(&r.front, 4 + MANIFEST_MAX + STREAM_PIECE);
    e = unpack_with(&r, master, why);
    buf_end(&r.front);
    if (e)
        unlink(to);
    *facts = r.facts;
    return e;
}
