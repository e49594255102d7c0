/* Tries: to reach the world: TCP to an outside address, the host's own address in its network, IPv6, multicast.
 * Stopped by: the network namespace has no interface but its own loopback, and no route. */
#include "attack.h"
#include <arpa/inet.h>

static long to(const char *address, int port, int type) {
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, address, &four.sin_addr);
    return connect(socket(AF_INET, type, 0), (struct sockaddr *)&four, sizeof four);
}

int main(void) {
    tried("192.0.2.1:443", to("192.0.2.1", 443, SOCK_STREAM));
    tried("10.0.0.1:22", to("10.0.0.1", 22, SOCK_STREAM));
    tried("multicast", to("224.0.0.251", 5353, SOCK_DGRAM));
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(443)};
    inet_pton(AF_INET6, "2001:db8::1", &six.sin6_addr);
    looked_for("2001:db8::1", connect(socket(AF_INET6, SOCK_STREAM, 0), (struct sockaddr *)&six, sizeof six) == 0);
    return 0;
}
