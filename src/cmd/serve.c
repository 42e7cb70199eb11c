#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "cmd/demo.h"
#include "cmd/node.h"
#include "cmd/verbs.h"

#define LARGE_BYTES (1024 * 1024) /* memory of its own, given back when freed */

extern char **environ;

struct serving {
    struct arena *boot;
    struct config config;
    struct demo *demo;
    struct node *node;
    struct str created_key, demo_token;
};

static int complain(const struct fault *why)
{
    char text[512];
    fprintf(stderr, "raccord: %s\n", fault_say(why, LANG_EN, text, sizeof text));
    if (why->note[0])
        fprintf(stderr, "  (%s: %s)\n", err_row(why->err)->code, why->note);
    return err_row(why->err)->exit;
}

static enum err start(struct serving *s, bool demo, struct fault *why)
{
    struct node_extra extra = { STR(""), STR("") };
    enum err e;
    if (demo) {
        if ((e = demo_start(s->boot, s->config.data, &s->demo, why)))
            return e;
        extra.allow_private = str_fmt(s->boot, "localhost:%u", s->demo->port);
        extra.ca_file = s->demo->ca_file;
    }
    if ((e = node_start(s->boot, &s->config, &extra, &s->node, &s->created_key, why)))
        return e;
    return demo ? demo_connect(s->boot, node_hub(s->node)->store, node_url(s->node), s->demo, &s->demo_token, why) : ERR_NONE;
}

static const char *own_path(char *out, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", out, size - 1);
    if (n <= 0)
        return "raccord";
    out[n] = 0;
    return out;
}

static void say(const struct serving *s)
{
    char path[4096];
    struct str url = node_url(s->node), public = node_hub(s->node)->public_url, code = node_setup_code(s->node);
    if (s->created_key.n)
        printf("master key: %.*s was made now. It opens every stored credential: keep a copy, and keep it apart from the data.\n",
               STR_ARG(s->created_key));
    printf("listening: %.*s\n", STR_ARG(url));
    if (code.n)
        printf("setup: %.*s/setup#%.*s\n", STR_ARG(public), STR_ARG(code));
    if (s->demo) {
        printf("token: %.*s\n\nA first call, as pasted into another terminal, or the same through the CLI:\n\n",
               STR_ARG(s->demo_token));
        printf("curl -H 'Authorization: Bearer %.*s' '%.*s/proxy/" DEMO_CONNECTION "/contacts?limit=3'\n", STR_ARG(s->demo_token),
               STR_ARG(url));
        printf("RACCORD_SERVER=%.*s RACCORD_TOKEN=%.*s %s call " DEMO_CONNECTION " GET /contacts -q limit=3\n\n", STR_ARG(url),
               STR_ARG(s->demo_token), own_path(path, sizeof path));
        printf("Ctrl-C stops the hub and the demonstration provider.\n");
    }
    fflush(stdout);
}

/* Until a signal to stop; then until the last client has left, a second signal, or the time for draining is over. */
static void serve_until_signal(struct serving *s, const sigset_t *stops)
{
    int got;
    for (;;) {
        sigwait(stops, &got);
        /* Of a hub without a certificate it is a terminal that was closed. */
        if (got == SIGHUP && node_reload(s->node))
            continue;
        if (got != SIGUSR1)
            break;
        node_seal(s->node);
        log_text(LOG_WARN, "sealed: every key is wiped from memory; restart the hub to open it again");
    }
    log_text(LOG_INFO, "stopping: finishing requests");
    node_drain(s->node);
    struct mono start_of_drain = clock_mono();
    while (!node_drained(s->node) && mono_since(start_of_drain, clock_mono()) < s->config.timeouts.drain) {
        struct timespec wait = { 0, 50 * 1000000 };
        int again = sigtimedwait(stops, NULL, &wait);
        if (again > 0 && again != SIGHUP)
            break;
    }
}

static bool take_flag(int *argc, char **argv, const char *flag)
{
    for (int i = 0; i < *argc; i++)
        if (!strcmp(argv[i], flag)) {
            memmove(&argv[i], &argv[i + 1], (size_t)(*argc - i) * sizeof *argv);
            --*argc;
            return true;
        }
    return false;
}

/* argv: "serve", then the flags of the settings and --demo. */
int serve_main(int argc, char **argv)
{
    struct serving s = { .boot = arena_new(64 * 1024) };
    struct fault why = { 0 };
    sigset_t stops;
    bool demo = take_flag(&argc, argv, "--demo");
    int code = 0;
    enum err e = config_load(s.boot, NULL, environ, &argc, argv, &s.config, &why);
    if (!e && argc > 1)
        e = fault(&why, ERR_USAGE, str_fmt(s.boot, "serve does not know “%s”; see raccord help serve.", argv[1]), "arguments");
    if (e) {
        code = complain(&why);
        arena_free(s.boot);
        return code;
    }
    /* Fixed, where glibc would raise it with the first large buffer that is freed: from then on growing one would copy it, and
     * its memory would stay with the process. */
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    umask(077);
    log_setup((enum log_level)s.config.log.level, s.config.log.format == CONFIG_LOG_JSON);
    for (size_t i = 0; i < s.config.warning_count; i++)
        log_text(LOG_WARN, "%.*s", STR_ARG(s.config.warnings[i]));

    /* Blocked before the first thread, so that only sigwait() sees them. */
    sigemptyset(&stops);
    sigaddset(&stops, SIGINT);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGUSR1); /* seal */
    sigaddset(&stops, SIGHUP);  /* read the listener's certificate again */
    pthread_sigmask(SIG_BLOCK, &stops, NULL);

    e = start(&s, demo, &why);
    if (e) {
        code = complain(&why);
    } else {
        say(&s);
        serve_until_signal(&s, &stops);
    }
    node_stop(s.node);
    demo_stop(s.demo);
    arena_free(s.boot);
    return code;
}
