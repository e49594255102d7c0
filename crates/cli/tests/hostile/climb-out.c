/* Tries: to leave the root by its parent, as out of a badly made chroot: with a working folder that is above it, through
 * /proc, and with a descriptor from before.
 * Stopped by: the root is a mount namespace's own, with nothing above it. */
#include "attack.h"

int main(void) {
    report();
    struct stat root, up;
    char path[4096];
    for (int n = 0; n < 64; n++) if (chdir("..") != 0) return 1;
    stat("/", &root);
    stat(".", &up);
    looked_for("something above the root", root.st_ino != up.st_ino || root.st_dev != up.st_dev);
    looked_for("host's passwd", access("/etc/shadow", F_OK) == 0 || access("../../../../root", F_OK) == 0);
    tried("first process's root", open("/proc/1/root/root", O_RDONLY));
    int outside = 0;
    for (int d = 0; d < 256; d++) {
        snprintf(path, sizeof path, "/proc/1/fd/%d/../../../etc/shadow", d);
        outside |= open(path, O_RDONLY) >= 0;
    }
    looked_for("something behind a descriptor of the first process", outside);
    if (chdir("/build/src") != 0) return 1;
    tried("chroot", chroot("out"));
    return 0;
}
