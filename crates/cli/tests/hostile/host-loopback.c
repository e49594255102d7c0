/* Tries: to reach a server that listens on the host's loopback address, over IPv4 and IPv6.
 * Stopped by: the build has a network namespace of its own, where nothing listens. */
#include "attack.h"
#include <arpa/inet.h>

int main(void) {
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    tried("127.0.0.1", connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&four, sizeof four));
    four.sin_addr.s_addr = 0;
    tried("0.0.0.0", connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&four, sizeof four));
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(PORT), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int result = connect(socket(AF_INET6, SOCK_STREAM, 0), (struct sockaddr *)&six, sizeof six);
    looked_for("::1", result == 0);
    return 0;
}
