/* Tries: to fetch the machine's credentials from the cloud's metadata service.
 * Stopped by: no route out of the network namespace. */
#include "attack.h"
#include <arpa/inet.h>

int main(void) {
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(80)};
    inet_pton(AF_INET, "169.254.169.254", &four.sin_addr);
    tried("169.254.169.254", connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&four, sizeof four));
    inet_pton(AF_INET, "169.254.170.2", &four.sin_addr);
    tried("169.254.170.2", connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&four, sizeof four));
    return 0;
}
