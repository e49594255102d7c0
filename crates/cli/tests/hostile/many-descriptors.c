/* Tries: to use up the machine's table of open files.
 * Stopped by: the limit on a process's open files, and all of them count as the build's memory. */
#include "attack.h"

int main(void) {
    report();
    long last = 0;
    struct { unsigned long now, most; } limit = {4096, 4096};
    /* its own limit may be high; what counts is that none can be raised */
    if (syscall(SYS_setrlimit, 7, &limit) != 0) return 1;
    for (long n = 0; n < 100000 && last >= 0; n++) last = open("/dev/null", O_RDONLY);
    tried("descriptors", last);
    limit.now = limit.most = 1 << 20;
    CALL("limit raised again", SYS_setrlimit, 7, &limit);
    return 0;
}
