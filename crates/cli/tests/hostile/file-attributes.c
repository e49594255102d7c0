/* Tries: to give an output or a left-over file powers that a digest does not show: extended attributes, capabilities.
 * Stopped by: the call is not on the filter's list, so it does not exist. */
#include "attack.h"

int main(void) {
    CALL("capability", SYS_setxattr, "attack.h", "security.capability", "x", 1L, 0);
    CALL("user attribute", SYS_setxattr, "attack.h", "user.x", "x", 1L, 0);
    CALL("by descriptor", SYS_fsetxattr, open("attack.h", O_RDWR), "user.x", "x", 1L, 0);
    CALL("of a link", SYS_lsetxattr, "attack.h", "user.x", "x", 1L, 0);
    CALL("removed", SYS_removexattr, "attack.h", "user.x");
    return 0;
}
