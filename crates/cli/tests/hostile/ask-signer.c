/* Tries: to have the signer sign for it, over its socket, by path and through /proc.
 * Stopped by: the socket's path does not exist in the sandbox, and no process outside is in /proc. */
#include "attack.h"

static long ask(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    return connect(s, (struct sockaddr *)&address, sizeof address);
}

int main(void) {
    tried("signer", ask(SIGNER));
    tried("signer through /proc/self/root", ask("/proc/self/root" SIGNER));
    tried("signer through /proc/1/root", ask("/proc/1/root" SIGNER) < 0 ? (errno = ENOENT, -1) : 0);
    return 0;
}
