/* Verbs about keys: through the API, or with --data on the hub's own machine, beside a running hub or without one. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <time.h>
#include <unistd.h>

#include "cmd/client.h"
#include "cmd/local.h"
#include "cmd/ring.h"
#include "cmd/terminal.h"
#include "cmd/turning.h"
#include "cmd/verbs.h"
#include "web/keys.h"

#define REPORT_MAX (64 * 1024)
#define POLL_MS 500
#define SEALING_MOST_MS 20000 /* what needs the keys is written first */

static struct rotation_policy policy_of(const struct config *c)
{
    return (struct rotation_policy){ c->keys.max_age, c->keys.max_uses, c->keys.rate };
}

/* --- showing -------------------------------------------------------------------------------------------------------- */

static const char *words_of(struct str reason)
{
    return str_is(reason, "age") ? "it was old" : str_is(reason, "uses") ? "it was used much" : "asked for";
}

static int64_t member(const struct json *object, const char *name)
{
    int64_t n;
    return json_i64(json_get(object, name), &n) ? n : 0;
}

static void print_rotation(const struct json *r)
{
    struct str started = json_str(r, "started_at"), finished = json_str(r, "finished_at");
    if (!json_is(r, JSON_OBJECT)) {
        puts("rotation: none yet");
        return;
    }
    printf("rotation: to key %lld (%s), begun %.*s, ", (long long)member(r, "key"), words_of(json_str(r, "reason")),
           STR_ARG(started));
    if (finished.n)
        printf("finished %.*s", STR_ARG(finished));
    else
        printf("%lld of %lld data keys done", (long long)member(r, "done"), (long long)member(r, "total"));
    if (member(r, "unusable"))
        printf(", %lld did not open", (long long)member(r, "unusable"));
    putchar('\n');
}

static void print_report(const struct json *report)
{
    struct str master = json_str(report, "master_key"), next = json_str(report, "next_master_key"),
               due = json_str(report, "due_at");
    printf("master key: %.*s\n", STR_ARG(master));
    if (next.n)
        printf("next master key: %.*s; it takes over when the hub starts with it\n", STR_ARG(next));
    json_each (k, json_get(report, "keys")) {
        struct str made = json_str(k, "created_at");
        printf("key %lld: %s, made %.*s, used %lld times, %lld data keys\n", (long long)member(k, "id"),
               json_bool(k, "active", false) ? "active" : "old", STR_ARG(made), (long long)member(k, "uses"),
               (long long)member(k, "data_keys"));
    }
    if (member(report, "unusable_data_keys"))
        printf("unusable: %lld data keys do not open; their connections need new credentials\n",
               (long long)member(report, "unusable_data_keys"));
    print_rotation(json_get(report, "rotation"));
    printf("next rotation: %.*s, or after %lld uses\n", STR_ARG(due), (long long)member(report, "due_after_uses"));
}

/* What the API would answer, from the database itself. */
static int local_report(struct command *c, struct store *s, const struct config *config, struct buf *out)
{
    struct fault why = { 0 };
    struct rotation_report report;
    struct rotation_policy policy = policy_of(config);
    struct db *db = store_reader(s, &why);
    if (!db || rotation_report(db, c->arena, &report, &why))
        return command_failed(c, &why);
    struct json_out o = json_out(out);
    keys_write(&o, &report, &policy);
    return EXIT_DONE;
}

static int show(struct command *c, struct str text)
{
    struct fault why = { 0 };
    struct json *report;
    if (command_has(c, OPT_JSON)) {
        printf("%.*s\n", STR_ARG(text));
        return EXIT_DONE;
    }
    if (json_read(c->arena, text, &report, &why))
        return command_failed(c, &why);
    print_report(report);
    return EXIT_DONE;
}

static int status_local(struct command *c)
{
    struct config config;
    AUTO_STORE s = NULL;
    AUTO_BUF b;
    buf_init(&b, REPORT_MAX);
    int code = local_settings(c, &config);
    if (code)
        return code;
    local_forget(&config);
    if ((code = local_open(c, &s)) || (code = local_report(c, s, &config, &b)))
        return code;
    return show(c, buf_str(&b));
}

static int ask(struct client *k, const char *method, const char *path, struct client_answer *out)
{
    return client_ask(k, method, str_of(path), NULL, out);
}

int keys_status_run(struct command *c)
{
    if (command_has(c, OPT_DATA))
        return status_local(c);
    AUTO_CLIENT k = { 0 };
    struct client_answer answer;
    int code = client_open(c, &k);
    if (code || (code = ask(&k, "GET", "/keys", &answer)))
        return code;
    return show(c, answer.body);
}

/* --- rotating ------------------------------------------------------------------------------------------------------- */

static void sleep_ms(int64_t ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
    nanosleep(&t, NULL);
}

/* One line that changes, on a terminal; nothing elsewhere. */
static void show_progress(int64_t done, int64_t total)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%lld of %lld data keys", (long long)done, (long long)total);
}

static void end_progress(void)
{
    if (isatty(STDERR_FILENO))
        fputc('\n', stderr);
}

static int wait_remote(struct client *k)
{
    struct client_answer answer;
    for (;;) {
        int code = ask(k, "GET", "/keys", &answer);
        if (code)
            return code;
        const struct json *r = json_get(answer.json, "rotation");
        show_progress(member(r, "done") + member(r, "unusable"), member(r, "total"));
        if (json_str(r, "finished_at").n)
            break;
        sleep_ms(POLL_MS);
    }
    end_progress();
    return show(k->command, answer.body);
}

static int rotate_remote(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    struct client_answer answer;
    int code = client_open(c, &k);
    if (code || (code = ask(&k, "POST", "/keys:rotate", &answer)))
        return code;
    if (command_has(c, OPT_WAIT))
        return wait_remote(&k);
    if (k.json)
        return client_show(&k, &answer);
    print_rotation(answer.json);
    return EXIT_DONE;
}

struct begin {
    struct command *command;
    struct keyring *keys;
    struct rotation made;
};

static enum err begin_work(struct db *db, void *context, struct fault *why)
{
    struct begin *b = context;
    struct arena *a = b->command->arena;
    enum err e = rotation_begin(db, b->keys, a, "asked", &b->made, why);
    return e ? e : local_tell(db, b->command, "keys.rotate", str_fmt(a, "%u", b->made.key), STR_NONE, STR_NONE, why);
}

/* Beside a running hub both work; each takes what the other has left. */
static int work_to_end(struct command *c, struct store *s, struct keyring *k, const struct rotation_policy *policy)
{
    struct rotation_count count;
    struct rotation r;
    struct fault why = { 0 };
    struct db *db = store_reader(s, &why);
    do {
        struct mono start = clock_mono();
        if (!db || rotation_step(s, k, &count, &why) || rotation_newest(db, c->arena, &r, &why)) {
            end_progress();
            return command_failed(c, &why);
        }
        show_progress(r.done + r.broken, r.total);
        if (count.more && !count.finished)
            sleep_ms(turning_rest_ms(policy, count.done + count.broken, mono_since(start, clock_mono())));
    } while (count.more && !count.finished);
    end_progress();
    return EXIT_DONE;
}

static bool goes_on(struct command *c, struct store *s)
{
    struct rotation r;
    struct db *db = store_reader(s, NULL);
    return db && !rotation_newest(db, c->arena, &r, NULL) && r.key && !r.finished;
}

static int rotate_local(struct command *c, struct config *config)
{
    AUTO_STORE s = NULL;
    AUTO_KEYRING k = NULL;
    AUTO_BUF b;
    struct fault why = { 0 };
    struct rotation_policy policy = policy_of(config);
    buf_init(&b, REPORT_MAX);
    int code = local_open(c, &s);
    if (code || (code = local_keyring(c, config, s, &k)))
        return code;
    struct begin begun = { c, k, { 0 } };
    enum err e = store_write(s, begin_work, &begun, &why);
    /* --wait after one that was broken off carries it to its end. */
    if (e && !(command_has(c, OPT_WAIT) && e == ERR_CONFLICT && goes_on(c, s)))
        return command_failed(c, &why);
    if (command_has(c, OPT_WAIT) && (code = work_to_end(c, s, k, &policy)))
        return code;
    if (!command_has(c, OPT_WAIT))
        fputs("A running hub carries it to its end; without one, add --wait, or it goes on at the next start.\n", stderr);
    return (code = local_report(c, s, config, &b)) ? code : show(c, buf_str(&b));
}

/* --- the master key ------------------------------------------------------------------------------------------------- */

struct change {
    struct command *command;
    struct config *config;
    struct store *store;
    struct keyring *keys;
    struct secret next;
    struct master_key_id old, new;
    struct str path; /* of the key file that the settings name; empty: it is not ours to change */
};

static enum err prepare_work(struct db *db, void *context, struct fault *why)
{
    const struct change *x = context;
    enum err e = keyring_prepare_master(x->keys, db, x->next, why);
    return e ? e : local_tell(db, x->command, "keys.change_master", str_of(x->new.text), STR_NONE, STR_NONE, why);
}

static enum err confirm_work(struct db *db, void *context, struct fault *why)
{
    return keyring_confirm_master(db, ((const struct change *)context)->new, why);
}

static int agree(const struct change *x)
{
    if (command_has(x->command, OPT_YES))
        return EXIT_DONE;
    if (!terminal_asks())
        return command_wrong(x->command, "a new master key needs a confirmation: there is no terminal to ask at, so give --yes.");
    struct str typed;
    struct fault why = { 0 };
    fprintf(stderr,
            "The master key %s goes, %s takes its place. Backups made until now open with %s only: keep a copy of it\n"
            "for as long as you keep them.\n",
            x->old.text, x->new.text, x->old.text);
    if (ask_line(x->command->arena, "Type “change” to change it: ", &typed, &why))
        return command_failed(x->command, &why);
    if (str_is(typed, "change"))
        return EXIT_DONE;
    fputs("raccord: nothing was changed\n", stderr);
    return EXIT_FAILED;
}

/* First the database takes both, then the file changes, then the old one goes: whatever is interrupted, the key in the file opens.
 */
static int change_master(struct change *x)
{
    struct fault why = { 0 };
    if (store_write(x->store, prepare_work, x, &why))
        return command_failed(x->command, &why);
    if (!x->path.n) {
        printf(
            "Both master keys open the database now. Put %s where the hub's key comes from and restart the hub: it takes over.\n",
            x->new.text);
        return EXIT_DONE;
    }
    if (master_key_replace(x->path, x->next, &why) || store_write(x->store, confirm_work, x, &why) ||
        store_checkpoint(x->store, &why))
        return command_failed(x->command, &why);
    printf("master key: %s, in %.*s\n", x->new.text, STR_ARG(x->path));
    return EXIT_DONE;
}

static int read_next(struct change *x)
{
    struct master_key_source from = { .file = str_of(command_value(x->command, OPT_NEW_KEY_FILE)) };
    struct fault why = { 0 };
    bool created;
    if (master_key_load(&from, false, &x->next, &created, &why))
        return command_failed(x->command, &why);
    x->old = keyring_master(x->keys);
    x->new = master_key_id(x->next);
    if (!strcmp(x->old.text, x->new.text))
        return command_wrong(x->command, "the file holds the present master key, %s.", x->old.text);
    return EXIT_DONE;
}

static int rotate_master(struct command *c, struct config *config)
{
    AUTO_STORE s = NULL;
    AUTO_KEYRING k = NULL;
    if (!command_has(c, OPT_NEW_KEY_FILE)) {
        local_forget(config);
        return command_wrong(c, "--new-key-file is missing: a file with 32 random bytes in base64, mode 0600.");
    }
    int code = local_open(c, &s);
    if (code || (code = local_keyring(c, config, s, &k)))
        return code;
    struct master_key_source from = ring_source(config);
    struct change x = { .command = c, .config = config, .store = s, .keys = k, .path = master_key_path(c->arena, &from) };
    if (!(code = read_next(&x)) && !(code = agree(&x)))
        code = change_master(&x);
    secret_end(&x.next);
    return code;
}

int keys_rotate_run(struct command *c)
{
    struct config config;
    bool master = command_has(c, OPT_MASTER);
    if (!command_has(c, OPT_DATA) && !master)
        return rotate_remote(c);
    int code = local_settings(c, &config);
    if (code)
        return code;
    return master ? rotate_master(c, &config) : rotate_local(c, &config);
}

/* --- sealing -------------------------------------------------------------------------------------------------------- */

static int cannot_seal(const char *says)
{
    fprintf(stderr, "raccord: %s\n", says);
    return EXIT_FAILED;
}

/* The lock on the data directory says that the process is there; the descriptor, that it is that one and no later one. */
static int signal_hub(int64_t pid)
{
    int hub = pidfd_open((pid_t)pid, 0);
    bool told = hub >= 0 && !pidfd_send_signal(hub, SIGUSR1, NULL, 0);
    int reason = errno;
    if (hub >= 0)
        close(hub);
    return told ? EXIT_DONE : cannot_seal(reason == EPERM ? "only root and the hub's own user may seal it: run this as one of them."
                                      : "the hub's process cannot be reached from here: run this where the hub runs.");
}

int seal_run(struct command *c)
{
    const char *directory = local_directory(c);
    struct fault why = { 0 };
    struct str note;
    int64_t pid, began = clock_mono().ms;
    if (!directory)
        return command_wrong(c, "--data is missing: the hub's data directory.");
    if (store_claimed(c->arena, str_of(directory), &pid, &note, &why))
        return command_failed(c, &why);
    if (!pid)
        return cannot_seal("no hub runs on this data directory: there is nothing in memory to wipe.");
    int code = str_is(note, "sealed") ? EXIT_DONE : signal_hub(pid);
    while (!code && !str_is(note, "sealed")) {
        if (clock_mono().ms - began > SEALING_MOST_MS)
            return cannot_seal("the hub was told to seal itself and does not say that it did: see its log, or end its process.");
        nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
        if (store_claimed(c->arena, str_of(directory), &pid, &note, &why))
            return command_failed(c, &why);
        if (!pid)
            return cannot_seal("the hub has ended meanwhile: with its process its keys are gone from memory.");
    }
    if (!code)
        puts("sealed: every key is wiped from the hub's memory. Restart it to open it again.");
    return code;
}
