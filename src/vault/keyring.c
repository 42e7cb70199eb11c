#include "vault/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/encode.h"
#include "crypto/hash.h"
#include "crypto/seal.h"

#define KEY_FILE "master.key"
#define KEY_FILE_MAX 4096 /* bytes; a key has 32 to 65, and a larger file is some other one */
#define MASTER_ID 0       /* key number in values that the master key sealed */

struct wrapping_key {
    uint32_t id;
    struct secret key;
};

struct keyring {
    struct wrapping_key *keys; /* by id; the active one seals, all open */
    size_t count;
    const struct wrapping_key *active;
    struct secret fingerprint; /* key of keyring_fingerprint() */
    pthread_rwlock_t lock;     /* keys are read under it, and wiped */
    bool wiped;
};

/* ---- the master key ---- */

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

static ssize_t read_all(int fd, unsigned char *p, size_t n)
{
    size_t at = 0;
    while (at < n) {
        ssize_t got = read(fd, p + at, n - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (!got)
            break;
        at += (size_t)got;
    }
    return (ssize_t)at;
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
    ssize_t n = read_all(fd, content.p, content.n);
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

static bool write_all(int fd, const unsigned char *p, size_t n)
{
    while (n) {
        ssize_t put = write(fd, p, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        p += put;
        n -= (size_t)put;
    }
    return true;
}

/* The key in base64 and a line end, on the disk. */
static bool write_key(int fd, struct secret key)
{
    AUTO_SECRET text = secret_new(base64_size(SEAL_KEY) + 1);
    size_t n = base64_write((char *)text.p, secret_str(key), BASE64_STANDARD);
    text.p[n++] = '\n';
    return fchmod(fd, 0600) == 0 && write_all(fd, text.p, n) && fsync(fd) == 0;
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

/* ---- the ring ---- */

static struct str wrapping_place(struct arena *a, uint32_t id)
{
    return str_fmt(a, "wrapping_key|%u|sealed|1", id);
}

static struct str data_place(struct arena *a, struct str owner)
{
    return str_fmt(a, "connection|%.*s|data_key|1", STR_ARG(owner));
}

void keyring_close(struct keyring *k)
{
    if (!k)
        return;
    for (size_t i = 0; i < k->count; i++)
        secret_end(&k->keys[i].key);
    secret_end(&k->fingerprint);
    pthread_rwlock_destroy(&k->lock);
    free(k->keys);
    free(k);
}

void keyring_wipe(struct keyring *k)
{
    pthread_rwlock_wrlock(&k->lock);
    k->wiped = true;
    for (size_t i = 0; i < k->count; i++)
        secret_wipe(k->keys[i].key.p, k->keys[i].key.n);
    secret_wipe(k->fingerprint.p, k->fingerprint.n);
    pthread_rwlock_unlock(&k->lock);
}

/* Until keys_done(), which is owed only when this answers ERR_NONE. */
static enum err keys_use(struct keyring *k, struct fault *why)
{
    pthread_rwlock_rdlock(&k->lock);
    if (!k->wiped)
        return ERR_NONE;
    pthread_rwlock_unlock(&k->lock);
    return fault(why, ERR_SEALED, STR_NONE, "the keys are wiped");
}

static void keys_done(struct keyring *k) { pthread_rwlock_unlock(&k->lock); }

/* A row of the table into the ring. A value that is not in the sealed form is refused, never taken for a key (requirement 12.6). */
static enum err add_key(struct keyring *k, struct arena *a, struct secret master, int64_t id, struct str text, struct fault *why)
{
    struct str sealed;
    uint32_t by;
    if (id < 1 || id > UINT32_MAX || !base64_decode(a, text, BASE64_STANDARD, &sealed) || !seal_key_id(sealed, &by) ||
        by != MASTER_ID)
        return fault(why, ERR_CRYPTO, STR_NONE, "wrapping key %lld is not in the sealed form", (long long)id);
    struct secret key;
    if (seal_open(master, wrapping_place(a, (uint32_t)id), sealed, &key, NULL))
        return fault(why, ERR_KEY_WRONG, STR_NONE, "wrapping key %lld does not open", (long long)id);
    k->keys = mem_grow(k->keys, (k->count + 1) * sizeof *k->keys);
    k->keys[k->count++] = (struct wrapping_key){ (uint32_t)id, key };
    if (key.n != SEAL_KEY)
        return fault(why, ERR_CRYPTO, STR_NONE, "wrapping key %lld has %zu bytes", (long long)id, key.n);
    return ERR_NONE;
}

static enum err read_keys(struct keyring *k, struct db *db, struct secret master, struct fault *why)
{
    AUTO_ARENA a = arena_new(4096);
    size_t actives = 0, active = 0;
    enum err e = ERR_NONE;
    struct query *q = query_begin(db, "SELECT id, sealed, active FROM wrapping_key ORDER BY id");
    while (!e && query_next(q)) {
        e = add_key(k, a, master, query_get_i64(q, 0), query_get_text(q, 1, a), why);
        if (!e && query_get_i64(q, 2)) {
            actives++;
            active = k->count - 1;
        }
    }
    enum err ended = query_end(q, e ? NULL : why);
    if (e || ended)
        return e ? e : ended;
    if (k->count && actives != 1)
        return fault(why, ERR_CRYPTO, STR_NONE, "%zu wrapping keys are active, not one", actives);
    if (k->count)
        k->active = &k->keys[active];
    return ERR_NONE;
}

static enum err count_rows(struct db *db, const char *sql, int64_t *n, struct fault *why)
{
    struct query *q = query_begin(db, sql);
    *n = query_next(q) ? query_get_i64(q, 0) : 0;
    return query_end(q, why);
}

/* The first wrapping key, unless another process made it meanwhile. */
static enum err make_first(struct db *db, void *context, struct fault *why)
{
    const struct secret *master = context;
    int64_t keys, connections;
    enum err e = count_rows(db, "SELECT count(*) FROM wrapping_key", &keys, why);
    if (!e)
        e = count_rows(db, "SELECT count(*) FROM (SELECT 1 FROM connection LIMIT 1) AS one", &connections, why);
    if (e || keys)
        return e;
    if (connections)
        return fault(why, ERR_CRYPTO, STR_NONE, "there are connections, but no wrapping key that their secrets are sealed by");

    AUTO_ARENA a = arena_new(4096);
    AUTO_SECRET key = secret_new(SEAL_KEY);
    struct str sealed;
    random_bytes(key.p, key.n);
    seal(a, *master, MASTER_ID, wrapping_place(a, 1), secret_str(key), &sealed);
    struct query *q = query_begin(db, "INSERT INTO wrapping_key (id, sealed, active, created_ms) VALUES (1, $1, 1, $2)");
    query_text(q, base64_encode(a, sealed, BASE64_STANDARD));
    query_i64(q, clock_wall());
    return query_end(q, why);
}

static enum err open_ring(struct store *s, struct secret *master, struct keyring *k, struct fault *why)
{
    struct db *db = store_reader(s, why);
    if (!db)
        return ERR_STORE;
    enum err e = read_keys(k, db, *master, why);
    if (e || k->count)
        return e;
    if ((e = store_write(s, make_first, master, why)) || (e = read_keys(k, db, *master, why)))
        return e;
    return k->count ? ERR_NONE : fault(why, ERR_CRYPTO, STR_NONE, "the first wrapping key was written and is not there");
}

enum err keyring_open(struct store *s, struct secret master, struct keyring **out, struct fault *why)
{
    struct keyring *k = mem_zero(sizeof *k);
    pthread_rwlock_init(&k->lock, NULL);
    if (master.n != SEAL_KEY)
        bug("a master key of %zu bytes", master.n);
    enum err e = open_ring(s, &master, k, why);
    secret_end(&master);
    if (e) {
        keyring_close(k);
        return e;
    }
    /* From the oldest wrapping key, so that fingerprints stay when a new one becomes active. */
    k->fingerprint = secret_new(SHA256_SIZE);
    hmac_sha256(secret_str(k->keys[0].key), STR("fingerprint|1"), k->fingerprint.p);
    *out = k;
    return ERR_NONE;
}

/* ---- data keys ---- */

enum err keyring_new_data_key(struct keyring *k, struct arena *a, struct str owner, struct secret *key, struct str *sealed,
                              struct fault *why)
{
    enum err e = keys_use(k, why);
    if (e)
        return e;
    AUTO_ARENA scratch = arena_new(512);
    *key = secret_new(SEAL_KEY);
    random_bytes(key->p, key->n);
    seal(a, k->active->key, k->active->id, data_place(scratch, owner), secret_str(*key), sealed);
    keys_done(k);
    return ERR_NONE;
}

enum err keyring_open_data_key(struct keyring *k, struct str owner, struct str sealed, struct secret *key, struct fault *why)
{
    uint32_t id;
    if (!seal_key_id(sealed, &id))
        return fault(why, ERR_CRYPTO, STR_NONE, "the data key of %.*s is not in the sealed form", STR_ARG(owner));
    const struct wrapping_key *by = NULL;
    for (size_t i = 0; i < k->count; i++)
        if (k->keys[i].id == id)
            by = &k->keys[i];
    if (!by)
        return fault(why, ERR_CRYPTO, STR_NONE, "the data key of %.*s is sealed by wrapping key %u, which is not here",
                     STR_ARG(owner), id);
    AUTO_ARENA scratch = arena_new(512);
    struct secret opened;
    enum err e = keys_use(k, why);
    if (e)
        return e;
    e = seal_open(by->key, data_place(scratch, owner), sealed, &opened, why);
    keys_done(k);
    if (e)
        return e;
    if (opened.n != SEAL_KEY) {
        secret_end(&opened);
        return fault(why, ERR_CRYPTO, STR_NONE, "the data key of %.*s has the wrong size", STR_ARG(owner));
    }
    *key = opened;
    return ERR_NONE;
}

struct str keyring_fingerprint(struct keyring *k, struct arena *a, struct str secret)
{
    unsigned char mac[SHA256_SIZE];
    char *text = arena_alloc(a, 16);
    hmac_sha256(secret_str(k->fingerprint), secret, mac);
    hex_write(text, (struct str){ (char *)mac, 8 });
    secret_wipe(mac, sizeof mac);
    return (struct str){ text, 16 };
}

/* The label keeps these apart from fingerprints, which are MACs of secrets under the same key: a secret is never such a text, for it
 * would have to begin with this one. */
#define DERIVE_LABEL "raccord derived key 1\0"

enum err keyring_derive(struct keyring *k, struct str label, struct secret *out, struct fault *why)
{
    AUTO_ARENA a = arena_new(256);
    enum err e = keys_use(k, why);
    if (e)
        return e;
    *out = secret_new(SHA256_SIZE);
    hmac_sha256(secret_str(k->fingerprint), arena_join(a, STR(DERIVE_LABEL), label), out->p);
    keys_done(k);
    return ERR_NONE;
}
