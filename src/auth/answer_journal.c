#include "auth/answer_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "crypto/hash.h"
#include "crypto/seal.h"

#define PAGE 4096
#define MAGIC "RACCORD ANSWERS 1\n"
#define FILES_MOST 64
#define SLOTS_MOST 64
#define SLOT_ROOM (64 * 1024)                /* allocated beforehand: token answers are a few KiB */
#define SLOT_STRIDE (2 * ANSWER_MAX)         /* the file has holes where no answer was large */
#define HEADS_MAX (256 * 1024)               /* of an answer, with its status and lengths */
#define CONNECTION_MAX 64

struct slot_head {
    char magic[8];
    uint64_t length;                         /* of what is sealed, right behind */
    int64_t fence;
    char connection[CONNECTION_MAX];         /* ends in NUL */
};
#define SLOT_MAGIC "answer 1"

struct answer_slot {
    struct answer_journal *journal;
    int number;
    bool used;
    size_t dirty;                            /* bytes written */
    struct secret key;                       /* kept while the slot is taken: the ring may be wiped before the answer comes */
};

struct answer_journal {
    struct keyring *keyring;
    pthread_mutex_t lock;
    char directory[512];
    char holder[ANSWER_HOLDER];
    int fd;
    bool broken;                             /* a sync failed */
    bool named;                              /* the holder's name is on the disk */
    int slot_count;
    struct answer_slot slots[SLOTS_MOST];
};

static off_t slot_at(int number) { return PAGE + (off_t)number * SLOT_STRIDE; }

static enum err disk_fault(struct fault *why, const char *doing)
{
    if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
        return fault(why, ERR_STORE_FULL, STR("room for the answers of token endpoints"), "%s: %m", doing);
    return fault(why, ERR_STORE, STR("the file for the answers of token endpoints"), "%s: %m", doing);
}

/* ---- the file ---- */

static void path_of(const struct answer_journal *j, int number, char *out, size_t size)
{
    snprintf(out, size, "%s/answers.%d", j->directory, number);
}

/* A file of a process that nobody is any more, or a new one when `make`. -1: there is none, or somebody has it. */
static int open_locked(const struct answer_journal *j, int number, bool make)
{
    char path[600];
    path_of(j, number, path, sizeof path);
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (make ? O_CREAT : 0), 0600);
    if (fd < 0)
        return -1;
    if (!flock(fd, LOCK_EX | LOCK_NB))
        return fd;
    close(fd);
    errno = EWOULDBLOCK;
    return -1;
}

static bool read_holder(int fd, char out[ANSWER_HOLDER])
{
    char page[sizeof MAGIC - 1 + ANSWER_HOLDER];
    if (fd_read(fd, page, sizeof page, 0) != sizeof page || memcmp(page, MAGIC, sizeof MAGIC - 1) != 0)
        return false;
    memcpy(out, page + sizeof MAGIC - 1, ANSWER_HOLDER);
    return out[0] && !out[ANSWER_HOLDER - 1];
}

static bool sync_directory(const struct answer_journal *j)
{
    int fd = open(j->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool well = fd >= 0 && !fsync(fd);
    if (fd >= 0)
        close(fd);
    return well;
}

/* The directory first: a file that names its holder, also when we died right behind, has its own name on the disk. */
static enum err write_name(struct answer_journal *j, struct fault *why)
{
    char page[PAGE] = MAGIC;
    memcpy(page + sizeof MAGIC - 1, j->holder, sizeof j->holder);
    if (!sync_directory(j) || !fd_write(j->fd, page, sizeof page, 0) || fdatasync(j->fd))
        return disk_fault(why, "answers");
    j->named = true;
    return ERR_NONE;
}

static enum err name_file(struct answer_journal *j, struct fault *why)
{
    j->named = read_holder(j->fd, j->holder);
    if (j->named)
        return ERR_NONE;
    id_new(j->holder, "hld_");
    enum err e = write_name(j, why);
    return e == ERR_STORE_FULL ? ERR_NONE : e;
}

enum err answer_journal_open(struct str directory, int slots, struct keyring *k, struct answer_journal **out, struct fault *why)
{
    struct answer_journal *j = mem_zero(sizeof *j);
    j->keyring = k;
    j->slot_count = slots < 1 ? 1 : slots > SLOTS_MOST ? SLOTS_MOST : slots;
    j->fd = -1;
    pthread_mutex_init(&j->lock, NULL);
    str_copy(j->directory, sizeof j->directory, directory);
    for (int i = 0; i < SLOTS_MOST; i++)
        j->slots[i] = (struct answer_slot){ .journal = j, .number = i };
    for (int i = 0; i < FILES_MOST && j->fd < 0; i++) {
        j->fd = open_locked(j, i, true);
        if (j->fd < 0 && errno != EWOULDBLOCK)
            break;
    }
    enum err e = j->fd < 0 ? fault(why, ERR_FILE, directory, "answers: %m") : name_file(j, why);
    if (e) {
        answer_journal_close(j);
        return e;
    }
    *out = j;
    return ERR_NONE;
}

void answer_journal_close(struct answer_journal *j)
{
    if (!j)
        return;
    if (j->fd >= 0)
        close(j->fd);
    for (int i = 0; i < SLOTS_MOST; i++)
        secret_end(&j->slots[i].key);
    pthread_mutex_destroy(&j->lock);
    free(j);
}

const char *answer_journal_holder(const struct answer_journal *j) { return j->holder; }

/* ---- slots ---- */

static struct str place(struct arena *a, const char *holder, struct str connection, int64_t fence)
{
    return str_fmt(a, "token_answer|%s|%.*s|%lld|1", holder, STR_ARG(connection), (long long)fence);
}

static struct answer_slot *free_slot(struct answer_journal *j)
{
    for (int i = 0; i < j->slot_count; i++)
        if (!j->slots[i].used)
            return &j->slots[i];
    return NULL;
}

enum err answer_slot_take(struct answer_journal *j, struct answer_slot **out, struct fault *why)
{
    pthread_mutex_lock(&j->lock);
    enum err named = j->named ? ERR_NONE : write_name(j, why);
    struct answer_slot *s = j->broken || named ? NULL : free_slot(j);
    bool broken = j->broken;
    if (s)
        s->used = true;
    pthread_mutex_unlock(&j->lock);
    if (named)
        return named;
    if (!s)
        return broken ? fault(why, ERR_STORE, STR("the file for the answers of token endpoints"), "a sync failed before")
                      : fault(why, ERR_OVERLOADED, STR(""), "all slots for answers are in use");
    enum err e = keyring_derive(j->keyring, STR("token answers"), &s->key, why);
    /* Room that was there stays: to ask for it again costs one call. */
    int code = e ? 0 : posix_fallocate(j->fd, slot_at(s->number), SLOT_ROOM);
    if (code == EOPNOTSUPP || code == EINVAL)
        code = 0; /* a file system that cannot say so beforehand */
    errno = code;
    if (code)
        e = disk_fault(why, "set room aside");
    if (e) {
        answer_slot_free(s);
        return e;
    }
    *out = s;
    return ERR_NONE;
}

static void put(unsigned char **to, const void *p, size_t n)
{
    memcpy(*to, p, n);
    *to += n;
}

static void put_text(unsigned char **to, struct str s)
{
    uint32_t n = (uint32_t)s.n;
    put(to, &n, sizeof n);
    if (n)
        put(to, s.p, s.n);
}

static struct secret flatten(const struct kept_answer *k)
{
    size_t size = sizeof(int64_t) + 3 * sizeof(uint32_t) + k->http.body.n;
    int32_t status = k->by_hand ? -k->http.status : k->http.status;
    uint32_t count = 0;
    size_t heads = 0;
    for (; count < k->http.header_count; count++) {
        size_t more = 2 * sizeof(uint32_t) + k->http.headers[count][0].n + k->http.headers[count][1].n;
        if (heads + more > HEADS_MAX)
            break;
        heads += more;
    }
    struct secret out = secret_new(size + heads);
    unsigned char *to = out.p;
    put(&to, &k->received, sizeof k->received);
    put(&to, &status, sizeof status);
    put(&to, &count, sizeof count);
    for (uint32_t i = 0; i < count; i++) {
        put_text(&to, k->http.headers[i][0]);
        put_text(&to, k->http.headers[i][1]);
    }
    put_text(&to, k->http.body);
    return out;
}

enum err answer_slot_keep(struct answer_slot *s, const struct kept_answer *answer, struct fault *why)
{
    struct answer_journal *j = s->journal;
    struct slot_head head = { .magic = SLOT_MAGIC, .fence = answer->fence };
    if (answer->connection.n >= CONNECTION_MAX || answer->http.body.n > ANSWER_MAX)
        return fault(why, ERR_LIMIT, STR("1 MiB in one answer"), "%zu bytes", answer->http.body.n);
    str_copy(head.connection, sizeof head.connection, answer->connection);
    AUTO_SECRET plain = flatten(answer);
    AUTO_ARENA a = arena_new(2 * plain.n + 4096);
    struct str sealed;
    seal(a, s->key, 0, place(a, j->holder, answer->connection, answer->fence), secret_str(plain), &sealed);
    head.length = sealed.n;
    size_t n = sizeof head + sealed.n;
    char *whole = arena_alloc(a, n);
    memcpy(whole, &head, sizeof head);
    memcpy(whole + sizeof head, sealed.p, sealed.n);
    if (n > s->dirty)
        s->dirty = n;
    if (!fd_write(j->fd, whole, n, slot_at(s->number)))
        return disk_fault(why, "keep an answer");
    if (!fdatasync(j->fd))
        return ERR_NONE;
    pthread_mutex_lock(&j->lock);
    j->broken = true;
    pthread_mutex_unlock(&j->lock);
    return disk_fault(why, "sync an answer");
}

/* Not synced: what a crash brings back is refused by its fence. */
static void wipe_slot(int fd, int number, size_t n)
{
    static const char zeros[SLOT_ROOM];
    for (size_t done = 0; done < n; done += sizeof zeros) {
        size_t piece = n - done < sizeof zeros ? n - done : sizeof zeros;
        if (!fd_write(fd, zeros, piece, slot_at(number) + (off_t)done))
            return;
    }
}

void answer_slot_free(struct answer_slot *s)
{
    struct answer_journal *j = s->journal;
    wipe_slot(j->fd, s->number, s->dirty);
    s->dirty = 0;
    secret_end(&s->key);
    pthread_mutex_lock(&j->lock);
    s->used = false;
    pthread_mutex_unlock(&j->lock);
}

void answer_slot_leave(struct answer_slot *s) { secret_end(&s->key); }

/* ---- what dead processes left ---- */

struct reading {
    const unsigned char *p;
    size_t n;
    bool bad;
};

static void get(struct reading *r, void *out, size_t n)
{
    if (r->bad || r->n < n) {
        r->bad = true;
        memset(out, 0, n);
        return;
    }
    memcpy(out, r->p, n);
    r->p += n;
    r->n -= n;
}

static struct str get_text(struct reading *r)
{
    uint32_t n;
    get(r, &n, sizeof n);
    if (r->bad || r->n < n) {
        r->bad = true;
        return STR("");
    }
    struct str s = { (const char *)r->p, n };
    r->p += n;
    r->n -= n;
    return s;
}

static bool unflatten(struct arena *a, struct secret plain, struct kept_answer *out)
{
    struct reading r = { plain.p, plain.n, false };
    int32_t status;
    uint32_t count;
    get(&r, &out->received, sizeof out->received);
    get(&r, &status, sizeof status);
    get(&r, &count, sizeof count);
    if (r.bad || count > r.n / (2 * sizeof(uint32_t)))
        return false;
    out->by_hand = status < 0;
    out->http = (struct fetch_answer){ .status = status < 0 ? -status : status, .header_count = count, .sent = true };
    out->http.headers = arena_array(a, (size_t)count + 1, sizeof *out->http.headers);
    for (uint32_t i = 0; i < count; i++) {
        out->http.headers[i][0] = get_text(&r);
        out->http.headers[i][1] = get_text(&r);
    }
    out->http.body = get_text(&r);
    return !r.bad;
}

struct recovery {
    struct answer_journal *journal;
    struct secret key;
    bool (*found)(void *context, const char *holder, const struct kept_answer *k, struct answer_slot *slot);
    void *context;
};

/* True: nothing of it is needed any more. `slot`: when it is one of our own. */
static bool recover_slot(const struct recovery *v, int fd, const char *holder, int number, struct answer_slot *slot, size_t *length)
{
    struct slot_head head;
    *length = 0;
    if (fd_read(fd, &head, sizeof head, slot_at(number)) != sizeof head || memcmp(head.magic, SLOT_MAGIC, sizeof head.magic) != 0)
        return true;
    *length = sizeof head;
    if (head.length < SEAL_OVERHEAD || head.length > SLOT_STRIDE - sizeof head || head.connection[CONNECTION_MAX - 1])
        return true;
    AUTO_ARENA a = arena_new(head.length + 8192);
    char *sealed = arena_alloc(a, head.length);
    struct kept_answer k = { .connection = str_of(head.connection), .fence = head.fence };
    AUTO_SECRET plain = SECRET_NONE;
    struct fault unused;
    *length += head.length;
    if (fd_read(fd, sealed, head.length, slot_at(number) + (off_t)sizeof head) != (ssize_t)head.length ||
        seal_open(v->key, place(a, holder, k.connection, k.fence), (struct str){ sealed, head.length }, &plain, &unused) ||
        !unflatten(a, plain, &k))
        return true;
    if (slot) {
        slot->used = true;
        slot->dirty = *length;
    }
    return v->found(v->context, holder, &k, slot);
}

/* `own`: its slots are those of this process. */
static void recover_file(const struct recovery *v, int fd, const char *holder, bool own)
{
    struct stat st;
    if (fstat(fd, &st))
        return;
    for (int i = 0; i < SLOTS_MOST && slot_at(i) < st.st_size; i++) {
        size_t length;
        struct answer_slot *slot = own ? &v->journal->slots[i] : NULL;
        if (!recover_slot(v, fd, holder, i, slot, &length))
            continue;
        wipe_slot(fd, i, length);
        if (slot)
            slot->used = false;
    }
}

enum err answer_journal_recover(struct answer_journal *j,
                                bool (*found)(void *context, const char *holder, const struct kept_answer *k,
                                              struct answer_slot *slot),
                                void (*left)(void *context, const char *holder), void *context, struct fault *why)
{
    AUTO_SECRET key = SECRET_NONE;
    enum err e = keyring_derive(j->keyring, STR("token answers"), &key, why);
    if (e)
        return e;
    struct recovery v = { j, key, found, context };
    recover_file(&v, j->fd, j->holder, true);
    left(context, j->holder);
    for (int i = 0; i < FILES_MOST; i++) {
        char holder[ANSWER_HOLDER];
        int fd = open_locked(j, i, false);
        if (fd < 0)
            continue;
        if (read_holder(fd, holder)) {
            recover_file(&v, fd, holder, false);
            left(context, holder);
        }
        close(fd);
    }
    return ERR_NONE;
}
