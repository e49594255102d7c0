/* Tries: to take memory where no process holds it: files in /tmp, /dev/shm and memory files.
 * Stopped by: such files count as the build's memory. The kernel kills somebody in the group, or refuses the write. */
#include "attack.h"

int main(void) {
    static char block[1 << 20];
    memset(block, 1, sizeof block);
    int files[3] = {open("/tmp/x", O_CREAT | O_WRONLY, 0600), open("/dev/shm/x", O_CREAT | O_WRONLY, 0600),
                    memfd_create("x", 0)};
    long written = 0;
    int refused = 0;
    for (int n = 0; n < 1200; n++) {
        ssize_t length = write(files[n % 3], block, sizeof block);
        if (length > 0) written += length;
        if (length < 0) refused = errno;
    }
    errno = refused;
    tried("memory", written > 256L << 20 ? 0 : -1);
    return 0;
}
