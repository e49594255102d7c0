/* Tries: to kill the sandbox's first process, everything that it may signal, and by number what it cannot see.
 * Stopped by: it sees no process but its own, and a process namespace's first process takes no signal from inside. */
#include "attack.h"

int main(void) {
    report();
    int hit = 0;
    for (int process = 100; process < 40000; process++) hit |= kill(process, SIGKILL) == 0;
    looked_for("a process of somebody else", hit);
    kill(1, SIGKILL);
    kill(1, SIGTERM);
    tried("everything", kill(-1, SIGKILL));
    tried("parent group", kill(-getppid(), 0));
    fprintf(report(), "still here\n");
    return 0;
}
