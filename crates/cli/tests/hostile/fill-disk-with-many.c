/* Tries: to fill the disk with many files, each as large as one may be.
 * Stopped by: the limit counts all files together; it is killed while it writes. */
#include "attack.h"

int main(void) {
    static char block[1 << 20], name[32];
    memset(block, 1, sizeof block);
    for (int n = 0; n < 4096; n++) {
        snprintf(name, sizeof name, "big-%d", n);
        int file = open(name, O_CREAT | O_WRONLY, 0600);
        for (int m = 0; m < 4; m++) if (write(file, block, sizeof block) < 0) break;
        close(file);
        usleep(4000);
    }
    fprintf(report(), "16 GiB: DONE\n");
    return 0;
}
