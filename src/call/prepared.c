#include "call/prepared.h"

#include <stdlib.h>

void prepared_release(struct prepared *p)
{
    if (!p || atomic_fetch_sub(&p->references, 1) != 1)
        return;
    if (p->signer)
        p->method->signer_free(p->signer);
    injections_end(&p->injections);
    mask_free(p->mask);
    tls_context_free(p->tls);
    arena_free(p->arena);
    free(p);
}

struct prepared *prepared_keep(struct prepared *p)
{
    atomic_fetch_add(&p->references, 1);
    return p;
}
