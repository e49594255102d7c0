/* Tries: to confuse the orchestrator by closing everything that it was given, so that its own log and report end.
 * Stopped by: nothing needs to: the end of a build is the end of its processes, and not that of its log. */
#include "attack.h"

int main(void) {
    for (int d = 0; d < 4096; d++) close(d);
    int file = open("report", O_CREAT | O_WRONLY | O_TRUNC, 0644);
    usleep(300000);
    return write(file, "built without a log\n", 20) != 20;
}
