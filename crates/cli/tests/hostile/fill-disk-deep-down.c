/* Tries: to hide what it writes at the end of a path that is too long to be opened by its name, and to make folders so
 * deep that the orchestrator cannot remove them.
 * Stopped by: folders are counted through descriptors, and only so many may stand in one another; what is left is
 * removed without a path. */
#include "attack.h"

int main(void) {
    static char block[1 << 20], name[201];
    memset(block, 1, sizeof block);
    memset(name, 'd', 200);
    int top = open(".", O_RDONLY | O_DIRECTORY);
    for (int n = 0; n < 5000; n++) {
        if (mkdir(name, 0700) != 0 || chdir(name) != 0) return 1;
    }
    int file = open("big", O_CREAT | O_WRONLY, 0600);
    for (int m = 0; m < 60; m++) if (write(file, block, sizeof block) < 0) return 1;
    sleep(2);
    if (fchdir(top) != 0) return 1;
    fprintf(report(), "60 MiB below 5000 folders: DONE\n");
    return 0;
}
