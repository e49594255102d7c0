/* Tries: to make a million files, so that the file system has no room for another name.
 * Stopped by: the limit on files, which the message names. */
#include "attack.h"

int main(void) {
    char name[32];
    for (int n = 0; n < 1000000; n++) {
        snprintf(name, sizeof name, "f%d", n);
        if (mknod(name, S_IFREG | 0600, 0) != 0) return 1;
    }
    fprintf(report(), "a million files: DONE\n");
    return 0;
}
