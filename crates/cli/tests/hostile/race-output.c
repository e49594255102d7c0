/* Tries: to have the orchestrator hash one file and publish another: a process that the build leaves behind swaps the
 * output with a link to a file of the host, as fast as it can.
 * Stopped by: all processes are dead before the output is opened, once, through no link at all. */
#include "attack.h"

int main(void) {
    fprintf(report(), "made by the build\n");
    if (symlink("/etc/passwd", "other") != 0) return 1;
    if (fork() == 0) {
        setsid();
        for (int d = 0; d < 3; d++) close(d);
        for (;;) syscall(SYS_renameat2, AT_FDCWD, "report", AT_FDCWD, "other", 2);
    }
    usleep(20000);
    return 0;
}
