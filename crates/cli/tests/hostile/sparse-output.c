/* Tries: to declare an output of 1 TiB that takes no room here, and all of it where it is copied to.
 * Stopped by: no file of a build may be longer than its limit on disk. */
#include "attack.h"

int main(void) {
    signal(SIGXFSZ, SIG_IGN);
    int file = open("huge", O_CREAT | O_RDWR, 0600);
    tried("ftruncate", ftruncate(file, 1L << 40));
    CALL("fallocate", SYS_fallocate, file, 0, 0, 1L << 40);
    tried("write at the end", pwrite(file, "x", 1, (1L << 40) - 1));
    struct { unsigned long now, most; } limit = {~0UL, ~0UL};
    CALL("limit raised", SYS_setrlimit, 1, &limit);
    return 0;
}
