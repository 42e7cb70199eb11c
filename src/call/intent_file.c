#include "call/intent_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/fd.h"
#include "base/json.h"
#include "crypto/hash.h"

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
#define AHEAD (1024 * 1024)          /* bytes that are laid out at once: a sync that does not change the file's size costs half */
#define PIECE (256 * 1024)
#define BLOCK 4096                   /* what past the page cache is written in whole of; no disk wants more */
#define LOOK_FIRST (2 * AHEAD)
#define LOOK_BACK (64 * 1024 * 1024) /* bytes in which the last seal is looked for */
#define SAME_MS 1000                 /* how often we look whether the path still names our file */
#define SEAL_HEAD "{\"seal\":"
#define MAC_HEAD ",\"mac\":\""

struct intent_file {
    char *path;
    pthread_mutex_t lock;            /* over the key */
    struct secret key;
    int fd;
    bool appends;                    /* the file may only grow: nothing is laid out ahead */
    bool never_direct;
    bool direct;                     /* past the page cache, in whole blocks: a third less CPU time a group */
    char *blocks;                    /* begins with what is in the file's last block already */
    size_t blocks_size;
    off_t at;                        /* where the next group goes */
    off_t ahead;                     /* up to here the file is there, filled with line ends */
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

/* What was laid out and not used goes; who reads the file from now on sees lines only. */
static void shut_well(struct intent_file *f)
{
    if (f->fd >= 0 && f->ahead > f->at)
        (void)!ftruncate(f->fd, f->at); /* if not, empty lines stay, which mean nothing */
    shut(f);
}

void intent_file_free(struct intent_file *f)
{
    if (!f)
        return;
    shut_well(f);
    free(f->blocks);
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

struct tail {
    char *p;
    size_t n;
    off_t from;                      /* where in the file it begins */
};

static struct str tail_text(const struct tail *t, size_t end) { return (struct str){ t->p, end }; }

/* Behind the last line end before `stop`. */
static size_t line_begin(struct str text, size_t stop)
{
    const char *end = stop ? memrchr(text.p, '\n', stop) : NULL;
    return end ? (size_t)(end - text.p) + 1 : 0;
}

/* The last whole seal before `stop`; *begin and *end of its line, line end included. */
static bool last_seal(struct str text, size_t stop, struct seal_line *out, size_t *begin, size_t *end)
{
    while (stop) {
        size_t newline = line_begin(text, stop);
        if (!newline)
            return false;
        size_t from = line_begin(text, newline - 1);
        if (seal_read(str_sub(text, from, newline - 1), out)) {
            *begin = from;
            *end = newline;
            return true;
        }
        stop = newline - 1;
    }
    return false;
}

/* A crash may leave the seal of a group on the disk without all of the group: its calls were never made, and it counts as loose.
 * What cannot be told counts as whole; the check tells. */
static bool group_whole(struct intent_file *f, const struct tail *t, const struct seal_line *s, size_t begin, size_t end)
{
    static const size_t tail = sizeof MAC_HEAD - 1 + AUDIT_HASH + 3; /* the line's end included */
    struct seal_line before;
    size_t unused, from = 0;
    char mac[AUDIT_HASH + 1];
    bool found = last_seal(tail_text(t, begin), begin, &before, &unused, &from);
    if (!found && (s->mark.seal != 1 || t->from))
        return true;
    if (s->left < 0 || (uint64_t)s->left > end - from || end - from - (size_t)s->left < tail)
        return false;
    pthread_mutex_lock(&f->lock);
    bool key = f->key.n;
    if (key)
        mac_of(f->key, str_sub(tail_text(t, end), from + (size_t)s->left, end - tail), mac);
    pthread_mutex_unlock(&f->lock);
    return !key || equal_constant_time(mac, s->mark.mac, AUDIT_HASH);
}

/* Where what was written ends: line ends behind it were laid out ahead. */
static size_t content_end(const struct tail *t)
{
    size_t n = t->n;
    while (n && t->p[n - 1] == '\n')
        n--;
    return n < t->n && (n || t->from) ? n + 1 : n;
}

static bool look_from(struct intent_file *f, off_t size, off_t most, bool *found)
{
    struct tail t = { .n = (size_t)(size < most ? size : most) };
    struct seal_line seal;
    size_t begin, end;
    t.from = size - (off_t)t.n;
    t.p = mem_zero(t.n + 1);
    bool good = fd_read(f->fd, t.p, t.n, t.from) == (ssize_t)t.n;
    size_t stop = good ? content_end(&t) : 0;
    f->at = t.from + (off_t)stop;
    f->torn = stop && t.p[stop - 1] != '\n';
    *found = good && last_seal(tail_text(&t, stop), stop, &seal, &begin, &end);
    if (*found && !group_whole(f, &t, &seal, begin, end))
        *found = last_seal(tail_text(&t, begin), begin, &seal, &begin, &end);
    if (*found) {
        f->mark = seal.mark;
        f->left = f->at - (t.from + (off_t)end);
    }
    free(t.p);
    return good;
}

static bool find_end(struct intent_file *f, off_t size)
{
    bool found = false, good = true;
    for (off_t most = LOOK_FIRST; good && !found; most *= 4) {
        good = look_from(f, size, most < LOOK_BACK ? most : LOOK_BACK, &found);
        if (most >= size || most >= LOOK_BACK)
            break;
    }
    f->ahead = size;
    if (good && !found) {
        unsigned char id[INTENT_FILE_ID / 2];
        random_bytes(id, sizeof id);
        f->mark = (struct intent_mark){ 0 };
        hex_write(f->mark.file, (struct str){ (const char *)id, sizeof id });
        f->left = f->at;
    }
    if (f->appends) { /* behind what was laid out before the file could only grow */
        f->left += size - f->at;
        f->at = size;
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
    if (!fstat(f->fd, &ours) && ours.st_size < f->at)
        shut(f); /* cut off below us: it is looked at anew */
    else if (stat(f->path, &named) || fstat(f->fd, &ours) || named.st_ino != ours.st_ino || named.st_dev != ours.st_dev)
        shut_well(f);
}

static size_t held_of(const struct intent_file *f) { return (size_t)(f->at % BLOCK); }

static void blocks_grow(struct intent_file *f, size_t n)
{
    size_t size = f->blocks_size ? f->blocks_size : 16 * BLOCK;
    while (size < n)
        size *= 2;
    if (size == f->blocks_size)
        return;
    void *more;
    if (posix_memalign(&more, BLOCK, size))
        bug("no memory for a group of calls");
    memcpy(more, f->blocks ? f->blocks : "", f->blocks ? BLOCK : 0);
    free(f->blocks);
    f->blocks = more;
    f->blocks_size = size;
}

static bool direct_set(struct intent_file *f, bool on)
{
    int flags = fcntl(f->fd, F_GETFL);
    return flags >= 0 && !fcntl(f->fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT);
}

/* Where the file system can. What stands in the last block already is written once more, with the next group. */
static bool go_direct(struct intent_file *f)
{
    size_t held = held_of(f);
    f->direct = false;
    if (f->appends || f->never_direct)
        return true;
    blocks_grow(f, BLOCK);
    if (fd_read(f->fd, f->blocks, held, f->at - (off_t)held) != (ssize_t)held)
        return false;
    f->direct = direct_set(f, true);
    if (f->direct)
        f->ahead -= f->ahead % BLOCK;
    return true;
}

bool intent_file_ready(struct intent_file *f)
{
    struct stat st;
    look_again(f);
    if (f->fd >= 0)
        return true;
    static const int how = O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    f->fd = open(f->path, how, 0600);
    f->appends = f->fd < 0 && errno == EPERM; /* chattr +a */
    if (f->appends)
        f->fd = open(f->path, how | O_APPEND, 0600);
    if (f->fd < 0)
        return false;
    if (fstat(f->fd, &st) || !S_ISREG(st.st_mode))
        errno = EINVAL;
    else if (flock(f->fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
        errno = EBUSY; /* of another hub; two would write over one another */
    else if (find_end(f, st.st_size) && go_direct(f)) {
        if (!st.st_size)
            sync_parent(f->path);
        f->looked = clock_mono().ms;
        return true;
    }
    shut(f);
    return false;
}

/* Line ends, so that it stays a text whatever a crash leaves of it. When they do not fit, the group itself may. Past the page cache
 * this begins with the block that the next group begins in. */
static void lay_out(struct intent_file *f, off_t need)
{
    static _Alignas(BLOCK) char filler[PIECE];
    size_t held = f->direct && f->ahead < f->at ? held_of(f) : 0;
    if (!filler[BLOCK])
        memset(filler, '\n', sizeof filler);
    memcpy(filler, f->blocks ? f->blocks : filler, held);
    for (off_t until = need + AHEAD - PIECE; f->ahead < until; f->ahead += (off_t)sizeof filler) {
        bool good = pwrite(f->fd, filler, sizeof filler, f->ahead) == (ssize_t)sizeof filler;
        memset(filler, '\n', BLOCK);
        if (!good)
            return;
    }
}

static bool put_direct(struct intent_file *f, struct str text)
{
    size_t held = held_of(f), n = held + text.n, whole = (n + BLOCK - 1) / BLOCK * BLOCK, rest = n % BLOCK;
    off_t from = f->at - (off_t)held;
    blocks_grow(f, whole);
    memcpy(f->blocks + held, text.p, text.n);
    memset(f->blocks + n, '\n', whole - n);
    if (pwrite(f->fd, f->blocks, whole, from) != (ssize_t)whole || fdatasync(f->fd))
        return false;
    memmove(f->blocks, f->blocks + n - rest, rest);
    if (f->ahead < from + (off_t)whole)
        f->ahead = from + (off_t)whole;
    return true;
}

/* Onto the disk, behind what is there. */
static bool put(struct intent_file *f, struct str text)
{
    off_t end = f->at + (off_t)text.n;
    if (f->appends)
        return write(f->fd, text.p, text.n) == (ssize_t)text.n && !fdatasync(f->fd);
    if (end > f->ahead)
        lay_out(f, end);
    if (f->direct && put_direct(f, text))
        return true;
    if (f->direct && (errno != EINVAL || !direct_set(f, false)))
        return false;
    if (f->direct) /* it was not meant */
        f->direct = !(f->never_direct = true);
    if (pwrite(f->fd, text.p, text.n, f->at) != (ssize_t)text.n || fdatasync(f->fd))
        return false;
    if (f->ahead < end)
        f->ahead = end;
    return true;
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
    if (seal_add(f, out, from, &mark) && put(f, buf_str(out))) {
        f->at += (off_t)out->n;
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

/* Lines that say something. */
static int64_t lines_in(struct str text)
{
    int64_t n = 0;
    for (struct str line, rest = text; rest.n;) {
        str_cut(rest, '\n', &line, &rest);
        n += line.n > 0;
    }
    return n;
}

/* A seal that is not right may be what a crash left of a group: then the next one that is right counts it among its `left`. */
static bool look_at_lines(struct look *l)
{
    size_t group = 0, at = 0, doubtful = 0; /* doubtful: the end of the last seal that was not right; 0: none */
    int64_t number = 0, first_doubtful = 0;
    while (at < l->text.n) {
        const char *newline = memchr(l->text.p + at, '\n', l->text.n - at);
        size_t begin = at, end = newline ? (size_t)(newline - l->text.p) : l->text.n;
        struct str line = str_sub(l->text, begin, end);
        struct seal_line s;
        number++;
        at = end + 1;
        if (!newline || !str_starts(line, STR(SEAL_HEAD)))
            continue;
        if (!seal_read(line, &s) || !seal_right(l, &s, str_sub(l->text, group, end))) {
            first_doubtful = first_doubtful ? first_doubtful : number;
            doubtful = at;
            continue;
        }
        size_t from = group + (size_t)s.left;
        if (doubtful > from)
            return wrong(l, first_doubtful);
        keep(l, &s.mark);
        l->out->loose += lines_in(str_sub(l->text, group, from)); /* nobody vouches for these */
        l->out->calls += lines_in(str_sub(l->text, from, begin));
        group = at;
        doubtful = 0;
        first_doubtful = 0;
    }
    if (doubtful)
        return wrong(l, first_doubtful);
    l->out->loose += lines_in(str_sub(l->text, group, l->text.n));
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
