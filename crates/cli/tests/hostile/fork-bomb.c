/* Tries: to take every process that the machine can have, for ever, so that nothing else can run.
 * Stopped by: the control group's limit on processes, and the limit on time. */
#include "attack.h"

int main(void) {
    signal(SIGTERM, SIG_IGN);
    for (;;) {
        if (fork() < 0) usleep(1000);
    }
}
