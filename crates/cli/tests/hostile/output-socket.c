/* Tries: to have the orchestrator talk to it: its output is a socket.
 * Stopped by: an output must be a plain file. */
#include "attack.h"

int main(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "report"};
    return bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address);
}
