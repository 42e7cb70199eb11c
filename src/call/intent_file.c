#include "call/intent_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/fd.h"
#include "base/json.h"
#include "crypto/hash.h"

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
#define PIECE (64 * 1024)
#define LOOK_BACK (64 * 1024 * 1024) /* bytes in which the last seal is looked for */
#define SAME_MS 1000                 /* how often we look whether the path still names our file */
#define SEAL_HEAD "{\"seal\":"
#define MAC_HEAD ",\"mac\":\""

struct intent_file {
    char *path;
    pthread_mutex_t lock;            /* over the key */
    struct secret key;
    int fd;
    int64_t left;                    /* bytes behind the last seal that a crash or a failed write left */
    bool torn;                       /* they may end within a line */
    int64_t looked;                  /* monotonic ms */
    struct intent_mark mark;
};

struct intent_file *intent_file_new(struct str path, struct secret key)
{
    struct intent_file *f = mem_zero(sizeof *f);
    f->path = mem_cstr(path);
    pthread_mutex_init(&f->lock, NULL);
    f->key = key;
    f->fd = -1;
    return f;
}

static void shut(struct intent_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

void intent_file_free(struct intent_file *f)
{
    if (!f)
        return;
    shut(f);
    secret_end(&f->key);
    pthread_mutex_destroy(&f->lock);
    free(f->path);
    free(f);
}

void intent_file_forget_key(struct intent_file *f)
{
    pthread_mutex_lock(&f->lock);
    secret_end(&f->key);
    pthread_mutex_unlock(&f->lock);
}

const struct intent_mark *intent_file_mark(const struct intent_file *f) { return &f->mark; }

/* ---- one seal ---- */

static bool is_hex(struct str s, size_t n)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
            return false;
    return s.n == n;
}

struct seal_line {
    struct intent_mark mark;
    int64_t left;
    char previous[AUDIT_HASH + 1];
};

static bool seal_read(struct str line, struct seal_line *out)
{
    AUTO_ARENA a = arena_new(1024);
    struct json *v;
    struct fault unused;
    if (!str_starts(line, STR(SEAL_HEAD)) || line.n > 512 || json_read(a, line, &v, &unused))
        return false;
    struct str file = json_str(v, "file"), previous = json_str(v, "previous"), mac = json_str(v, "mac");
    if (!json_i64(json_get(v, "seal"), &out->mark.seal) || !json_i64(json_get(v, "left"), &out->left) || out->mark.seal < 1 ||
        !is_hex(file, INTENT_FILE_ID) || !is_hex(previous, AUDIT_HASH) || !is_hex(mac, AUDIT_HASH))
        return false;
    str_copy(out->mark.file, sizeof out->mark.file, file);
    str_copy(out->mark.mac, sizeof out->mark.mac, mac);
    str_copy(out->previous, sizeof out->previous, previous);
    return true;
}

static void mac_of(struct secret key, struct str text, char out[AUDIT_HASH + 1])
{
    unsigned char mac[SHA256_SIZE];
    hmac_sha256(secret_str(key), text, mac);
    hex_write(out, (struct str){ (const char *)mac, sizeof mac });
    out[AUDIT_HASH] = 0;
}

/* `text` holds the group; `from` is where it begins. False: there is no key any more, or no room. */
static bool seal_add(struct intent_file *f, struct buf *text, size_t from, struct intent_mark *mark)
{
    *mark = f->mark;
    mark->seal++;
    buf_fmt(text, SEAL_HEAD "%lld,\"file\":\"%s\",\"left\":%lld,\"previous\":\"%s\"", (long long)mark->seal, mark->file,
            (long long)f->left, f->mark.seal ? f->mark.mac : ZEROS);
    pthread_mutex_lock(&f->lock);
    bool good = f->key.n && !buf_failed(text);
    if (good)
        mac_of(f->key, (struct str){ text->p + from, text->n - from }, mark->mac);
    pthread_mutex_unlock(&f->lock);
    if (good)
        buf_fmt(text, MAC_HEAD "%s\"}\n", mark->mac);
    return good && !buf_failed(text);
}

/* ---- opening: where does the last seal end? ---- */

/* The last whole seal in `text`; *end is where it ends. */
static bool last_seal(struct str text, struct seal_line *out, size_t *end)
{
    for (size_t stop = text.n; stop;) {
        size_t newline = stop;
        while (newline && text.p[newline - 1] != '\n')
            newline--;
        if (!newline)
            return false;
        size_t begin = newline - 1;
        while (begin && text.p[begin - 1] != '\n')
            begin--;
        if (seal_read(str_sub(text, begin, newline - 1), out)) {
            *end = newline;
            return true;
        }
        stop = newline - 1;
    }
    return false;
}

/* Pieces overlap by the length of a seal, so that none is cut in two for good. */
static bool find_end(struct intent_file *f, off_t size)
{
    char *piece = mem_zero(PIECE);
    off_t stop = size, least = size > LOOK_BACK ? size - LOOK_BACK : 0;
    bool good = true, found = false;
    while (good && !found && stop > least) {
        off_t from = stop > PIECE ? stop - PIECE : 0;
        struct seal_line line;
        size_t end;
        good = fd_read(f->fd, piece, (size_t)(stop - from), from) == stop - from;
        if (good && last_seal((struct str){ piece, (size_t)(stop - from) }, &line, &end)) {
            found = true;
            f->mark = line.mark;
            f->left = size - (from + (off_t)end);
        }
        stop = from ? from + 512 : 0;
    }
    if (good && size)
        good = fd_read(f->fd, piece, 1, size - 1) == 1;
    f->torn = size && (!good || piece[0] != '\n');
    free(piece);
    if (good && !found) {
        unsigned char id[INTENT_FILE_ID / 2];
        random_bytes(id, sizeof id);
        f->mark = (struct intent_mark){ 0 };
        hex_write(f->mark.file, (struct str){ (const char *)id, sizeof id });
        f->left = size;
    }
    return good;
}

static void sync_parent(const char *path)
{
    char directory[4096];
    str_copy(directory, sizeof directory, str_of(path));
    char *slash = strrchr(directory, '/');
    if (slash)
        *slash = 0;
    int fd = open(!slash ? "." : *directory ? directory : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd); /* best effort: the group's own sync is what counts, and a directory of a network disk may not sync */
        close(fd);
    }
}

/* Somebody who moves the file away, or deletes it, must not make us write into nowhere. */
static void look_again(struct intent_file *f)
{
    struct stat named, ours;
    int64_t now = clock_mono().ms;
    if (f->fd < 0 || now - f->looked < SAME_MS)
        return;
    f->looked = now;
    if (stat(f->path, &named) || fstat(f->fd, &ours) || named.st_ino != ours.st_ino || named.st_dev != ours.st_dev)
        shut(f);
}

bool intent_file_ready(struct intent_file *f)
{
    struct stat st;
    look_again(f);
    if (f->fd >= 0)
        return true;
    f->fd = open(f->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    if (f->fd < 0)
        return false;
    if (fstat(f->fd, &st) || !S_ISREG(st.st_mode))
        errno = EINVAL;
    else if (find_end(f, st.st_size)) {
        if (!st.st_size)
            sync_parent(f->path);
        f->looked = clock_mono().ms;
        return true;
    }
    shut(f);
    return false;
}

bool intent_file_write(struct intent_file *f, struct buf *text)
{
    AUTO_BUF torn;
    struct intent_mark mark;
    if (!intent_file_ready(f))
        return false;
    buf_init(&torn, SIZE_MAX / 2);
    struct buf *out = text;
    size_t from = 0;
    if (f->torn) { /* rare: the group begins on a line of its own */
        buf_char(&torn, '\n');
        buf_add(&torn, buf_str(text));
        out = &torn;
        from = 1;
        f->left++;
    }
    if (seal_add(f, out, from, &mark) && write(f->fd, out->p, out->n) == (ssize_t)out->n && !fdatasync(f->fd)) {
        f->torn = false;
        f->left = 0;
        f->mark = mark;
        return true;
    }
    shut(f); /* what a failed sync leaves behind is not known: look at the file anew */
    return false;
}

/* ---- checking ---- */

struct look {
    struct str text;
    struct secret key;
    struct intent_mark *marks; /* each file's seals: by number, in the order of the file */
    size_t count;
    struct intent_file_found *out;
};

static bool wrong(struct look *l, int64_t line)
{
    l->out->wrong = true;
    l->out->line = line;
    return false;
}

/* `group` is what stands between the seal before and the end of this one. */
static bool seal_right(const struct look *l, const struct seal_line *s, struct str group)
{
    static const size_t tail = sizeof MAC_HEAD - 1 + AUDIT_HASH + 2;
    char mac[AUDIT_HASH + 1];
    const struct intent_mark *last = l->count ? &l->marks[l->count - 1] : NULL;
    bool first = s->mark.seal == 1;
    if (s->left < 0 || (uint64_t)s->left > group.n || group.n - (size_t)s->left < tail)
        return false;
    /* A file may hold another's end before it, when no seal was found in it; never less than all of its own. */
    if (first ? strcmp(s->previous, ZEROS) != 0
              : !last || last->seal + 1 != s->mark.seal || strcmp(last->mac, s->previous) || strcmp(last->file, s->mark.file))
        return false;
    if (!l->key.n)
        return true;
    mac_of(l->key, str_sub(group, (size_t)s->left, group.n - tail), mac);
    return equal_constant_time(mac, s->mark.mac, AUDIT_HASH);
}

static void keep(struct look *l, const struct intent_mark *mark)
{
    if (!(l->count & (l->count + 1)) || !l->marks)
        l->marks = mem_grow(l->marks, 2 * (l->count + 1) * sizeof *l->marks);
    l->marks[l->count++] = *mark;
}

static bool look_at_lines(struct look *l)
{
    size_t group = 0, at = 0;
    int64_t number = 0, calls = 0;
    while (at < l->text.n) {
        const char *newline = memchr(l->text.p + at, '\n', l->text.n - at);
        size_t end = newline ? (size_t)(newline - l->text.p) : l->text.n;
        struct str line = str_sub(l->text, at, end);
        struct seal_line s;
        number++;
        at = end + 1;
        if (!newline || !str_starts(line, STR(SEAL_HEAD))) {
            calls += line.n > 0;
            continue;
        }
        if (!seal_read(line, &s) || !seal_right(l, &s, str_sub(l->text, group, end)))
            return wrong(l, number);
        keep(l, &s.mark);
        for (size_t i = group; s.left && i < group + (size_t)s.left; i++) /* nobody vouches for these */
            if (l->text.p[i] == '\n') {
                l->out->loose++;
                calls--;
            }
        l->out->calls += calls > 0 ? calls : 0;
        calls = 0;
        group = at;
    }
    l->out->loose += calls;
    l->out->seals = (int64_t)l->count;
    return true;
}

static const struct intent_mark *mark_find(const struct look *l, const char *file, int64_t seal)
{
    for (size_t i = l->count; i; i--)
        if (l->marks[i - 1].seal == seal && !strcmp(l->marks[i - 1].file, file))
            return &l->marks[i - 1];
    return NULL;
}

static bool names_us(const struct look *l, const char *file)
{
    for (size_t i = l->count; i; i--)
        if (!strcmp(l->marks[i - 1].file, file))
            return true;
    return false;
}

static bool statement_read(struct arena *a, struct str after, struct intent_mark *out)
{
    struct json *v;
    struct fault unused;
    if (!after.p || json_read(a, after, &v, &unused) || !json_i64(json_get(v, "seal"), &out->seal))
        return false;
    str_copy(out->file, sizeof out->file, json_str(v, "file"));
    str_copy(out->mac, sizeof out->mac, json_str(v, "mac"));
    return true;
}

/* Newest first: the newest statement must be met by the file in use, and each that names this file by its seal. */
static enum err look_at_statements(struct look *l, struct db *db, bool newest, struct fault *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct query *q =
        query_begin(db, "SELECT number, after_json FROM audit WHERE action = '" INTENT_FILED "' ORDER BY number DESC");
    while (query_next(q)) {
        struct intent_mark stated = { 0 };
        arena_reset(a);
        if (!statement_read(a, query_get_text(q, 1, a), &stated))
            continue;
        if (stated.seal && (newest || names_us(l, stated.file))) {
            const struct intent_mark *there = mark_find(l, stated.file, stated.seal);
            if (!there || strcmp(there->mac, stated.mac)) {
                l->out->number = query_get_i64(q, 0);
                wrong(l, 0);
            }
        }
        newest = false;
    }
    return query_end(q, why);
}

enum err intent_file_check(const char *path, struct secret key, struct db *db, bool newest, struct intent_file_found *out,
                           struct fault *why)
{
    struct look l = { .key = key, .out = out };
    struct stat st;
    *out = (struct intent_file_found){ 0 };
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        if (fd >= 0)
            close(fd);
        return fault(why, ERR_FILE, str_of(path), "the file of calls cannot be opened: %m");
    }
    void *map = st.st_size ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    close(fd);
    if (map == MAP_FAILED)
        return fault(why, ERR_FILE, str_of(path), "the file of calls cannot be read: %m");
    l.text = (struct str){ map, (size_t)st.st_size };
    bool good = look_at_lines(&l);
    enum err e = good ? look_at_statements(&l, db, newest, why) : ERR_NONE;
    if (map)
        munmap(map, (size_t)st.st_size);
    free(l.marks);
    return e;
}
