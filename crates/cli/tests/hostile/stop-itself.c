/* Tries: to hold a builder without using time of its own: it stops itself and everything else of the build.
 * Stopped by: the limit on time is one of the clock on the wall. */
#include "attack.h"

int main(void) {
    kill(-1, SIGSTOP);
    kill(1, SIGSTOP);
    kill(getpid(), SIGSTOP);
    fprintf(report(), "went on\n");
    return 0;
}
