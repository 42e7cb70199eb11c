#include "cmd/listener_tls.h"

#include "base/log.h"

static void look_at(struct str file, struct stat *out)
{
    char path[4096];
    *out = (struct stat){ 0 };
    if (stat(str_copy(path, sizeof path, file), out))
        *out = (struct stat){ 0 };
}

static bool same(const struct stat *x, const struct stat *y)
{
    return x->st_ino == y->st_ino && x->st_dev == y->st_dev && x->st_size == y->st_size && x->st_mtim.tv_sec == y->st_mtim.tv_sec &&
           x->st_mtim.tv_nsec == y->st_mtim.tv_nsec;
}

enum err listener_tls_open(struct listener_tls *l, struct str certificate, struct str key, struct fault *why)
{
    pthread_mutex_init(&l->lock, NULL);
    l->certificate = certificate;
    l->key = key;
    if (!certificate.n)
        return ERR_NONE;
    /* Before they are read: a change in between is seen at the next look. */
    look_at(certificate, &l->seen[0]);
    look_at(key, &l->seen[1]);
    return tls_server_context(certificate, key, &l->context, why);
}

void listener_tls_close(struct listener_tls *l)
{
    tls_context_free(l->context);
    l->context = NULL;
}

static void reload(struct listener_tls *l)
{
    struct fault why;
    if (tls_server_reload(l->context, l->certificate, l->key, &why)) {
        log_fault(LOG_ERROR, "the new certificate is of no use: the old one is served on", &why);
        return;
    }
    char end[CLOCK_TEXT];
    log_line(LOG_INFO, "certificate of the listener read again",
             LOG("not_after", str_of(clock_format(tls_server_not_after(l->context), end))));
}

void listener_tls_reload(struct listener_tls *l)
{
    if (!l->context)
        return;
    pthread_mutex_lock(&l->lock);
    look_at(l->certificate, &l->seen[0]);
    look_at(l->key, &l->seen[1]);
    reload(l);
    pthread_mutex_unlock(&l->lock);
}

void listener_tls_look(struct listener_tls *l)
{
    struct stat now[2];
    if (!l->context)
        return;
    pthread_mutex_lock(&l->lock);
    look_at(l->certificate, &now[0]);
    look_at(l->key, &now[1]);
    if (!same(&now[0], &l->seen[0]) || !same(&now[1], &l->seen[1])) {
        memcpy(l->seen, now, sizeof l->seen);
        reload(l);
    }
    pthread_mutex_unlock(&l->lock);
}
