/* Tries: to reach a server that listens on an abstract Unix socket of the host, which no file permission protects.
 * Stopped by: abstract names belong to a network namespace, and the build's is its own. */
#include "attack.h"

int main(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path + 1, ABSTRACT, strlen(ABSTRACT));
    socklen_t length = sizeof(sa_family_t) + 1 + strlen(ABSTRACT);
    tried("stream", connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, length));
    tried("datagram", connect(socket(AF_UNIX, SOCK_DGRAM, 0), (struct sockaddr *)&address, length));
    char names[4096] = {0};
    int file = open("/proc/net/unix", O_RDONLY);
    if (file >= 0 && read(file, names, sizeof names - 1) < 0) names[0] = 0;
    looked_for("its name in /proc/net/unix", strstr(names, ABSTRACT) != NULL);
    return 0;
}
