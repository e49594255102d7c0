/* Tries: to leave a process behind that changes the output after the build has ended: two forks, a session of its own,
 * every signal ignored, every descriptor closed.
 * Stopped by: with the sandbox's first process its whole process namespace dies, before an output is looked at. */
#include "attack.h"

int main(void) {
    fprintf(report(), "made by the build\n");
    if (fork() == 0) {
        setsid();
        if (fork() != 0) _exit(0);
        for (int s = 1; s < 64; s++) signal(s, SIG_IGN);
        for (int d = 0; d < 1024; d++) close(d);
        usleep(20000);
        for (;;) {
            int file = open("report", O_WRONLY | O_TRUNC);
            if (file >= 0 && write(file, "made by what it left behind: DONE\n", 34) < 0) _exit(1);
            close(file);
            usleep(1000);
        }
    }
    return 0;
}
