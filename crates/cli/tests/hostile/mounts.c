/* Tries: to mount, unmount and make the toolchain writable again, with the old calls and the new.
 * Stopped by: the call is not on the filter's list, so it does not exist. */
#include "attack.h"

int main(void) {
    CALL("tmpfs", SYS_mount, "none", "/tmp", "tmpfs", 0, 0);
    CALL("root writable", SYS_mount, "none", "/", 0, 32 | 4096, 0);
    CALL("inputs writable", SYS_mount, "none", "/build/inputs", 0, 32 | 4096, 0);
    CALL("bind", SYS_mount, "/build/src", "/build/inputs", 0, 4096, 0);
    CALL("unmount", SYS_umount2, "/build/inputs", 2);
    CALL("pivot_root", SYS_pivot_root, ".", ".");
    CALL("chroot", SYS_chroot, ".");
    CALL("open_tree", 428, -100, "/", 1);
    CALL("move_mount", 429, -100, "/tmp", -100, "/usr", 0);
    CALL("fsopen", 430, "tmpfs", 0);
    CALL("fspick", 433, -100, "/", 0);
    CALL("mount_setattr", 442, -100, "/", 0, 0, 0);
    return 0;
}
