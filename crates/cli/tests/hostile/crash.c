/* Tries: to leave its memory on the host's disk, in a core file.
 * Stopped by: no core is written. */
#include "attack.h"

int main(void) {
    if (fork() == 0) abort();
    int status = 0;
    wait(&status);
    looked_for("a core", WCOREDUMP(status));
    tried("core file", open("core", O_RDONLY));
    struct { unsigned long now, most; } limit = {~0UL, ~0UL};
    CALL("limit raised", SYS_setrlimit, 4, &limit);
    return 0;
}
