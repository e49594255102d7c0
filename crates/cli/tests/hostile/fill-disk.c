/* Tries: to fill the disk with one file.
 * Stopped by: the limit on what a build may write, which the message names. */
#include "attack.h"

int main(void) {
    static char block[1 << 20];
    memset(block, 1, sizeof block);
    signal(SIGXFSZ, SIG_IGN);
    int file = open("big", O_CREAT | O_WRONLY, 0600);
    while (write(file, block, sizeof block) > 0) {}
    fprintf(report(), "one file: %s\n", strerrorname_np(errno));
    return 0;
}
