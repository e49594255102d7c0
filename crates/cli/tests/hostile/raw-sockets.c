/* Tries: to forge packets with raw sockets.
 * Stopped by: no capability, not even in the build's own network namespace. */
#include "attack.h"

int main(void) {
    tried("raw ICMP", socket(AF_INET, SOCK_RAW, 1));
    tried("raw IP", socket(AF_INET, SOCK_RAW, 255));
    tried("raw IPv6", socket(AF_INET6, SOCK_RAW, 58));
    return 0;
}
