/* Tries: to become root in a user namespace of its own, from where most of the kernel can be reached, or to enter another.
 * Stopped by: unshare, setns and clone3 are not on the filter's list, and clone only without a namespace flag. */
#include "attack.h"

int main(void) {
    CALL("unshare user", SYS_unshare, 0x10000000);
    CALL("unshare all", SYS_unshare, 0x7e020000);
    CALL("clone user", SYS_clone, 0x10000000 | SIGCHLD, 0, 0, 0, 0);
    CALL("clone mount", SYS_clone, 0x00020000 | SIGCHLD, 0, 0, 0, 0);
    CALL("clone network", SYS_clone, 0x40000000 | SIGCHLD, 0, 0, 0, 0);
    CALL("clone process", SYS_clone, 0x20000000 | SIGCHLD, 0, 0, 0, 0);
    CALL("clone control group", SYS_clone, 0x02000000 | SIGCHLD, 0, 0, 0, 0);
    unsigned long arguments[11] = {0x10000000, [4] = SIGCHLD};
    CALL("clone3", 435, arguments, sizeof arguments);
    CALL("setns", SYS_setns, open("/proc/1/ns/net", O_RDONLY), 0);
    CALL("setns by process", SYS_setns, (int)syscall(434, 1, 0), 0x7e020000);
    return 0;
}
