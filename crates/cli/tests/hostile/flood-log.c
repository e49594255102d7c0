/* Tries: to fill the disk through its log: 1 GiB on standard output.
 * Stopped by: the log keeps its first 64 MiB; the rest is read and dropped, and the build goes on. */
#include "attack.h"

int main(void) {
    static char block[1 << 20];
    memset(block, 'x', sizeof block);
    for (int n = 0; n < 1024; n++) {
        for (size_t done = 0; done < sizeof block;) {
            ssize_t count = write(1, block + done, sizeof block - done);
            /* a kernel in user space may be interrupted in the middle of a pipe that is full */
            if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
            if (count < 0) return 1;
            done += count;
        }
    }
    fprintf(report(), "1 GiB was written\n");
    return 0;
}
