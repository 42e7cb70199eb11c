/* cmd/main.c - where the program starts. */
#include "cmd/verbs.h"
#include "crypto/secret.h"

int main(int argc, char **argv)
{
    secret_protect_process();
    return verbs_main(argc, argv);
}
