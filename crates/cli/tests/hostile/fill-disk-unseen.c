/* Tries: to fill the disk with files that have no name any more, but are still open: no look at the folder finds them.
 * Stopped by: the orchestrator also counts the nameless files that the build's processes hold. */
#include "attack.h"

int main(void) {
    static char block[1 << 20];
    memset(block, 1, sizeof block);
    for (int n = 0; n < 1000; n++) {
        int file = open("unseen", O_CREAT | O_WRONLY | O_EXCL, 0600);
        unlink("unseen");
        for (int m = 0; m < 4; m++) if (write(file, block, sizeof block) < 0) break;
        usleep(4000);
    }
    fprintf(report(), "4 GiB: DONE\n");
    return 0;
}
