/* Tries: to become root, or the user of another build.
 * Stopped by: no capability, no new privileges, and one user only is mapped into the user namespace. */
#include "attack.h"

int main(void) {
    tried("root", setuid(0));
    tried("root again", setresuid(0, 0, 0));
    tried("another build", setuid(getuid() + 1));
    tried("group", setgid(0));
    unsigned none = 0;
    CALL("groups", SYS_setgroups, 1L, &none);
    tried("chown", chown("attack.h", 0, 0));
    struct { unsigned version; int process; } header = {0x20080522, 0};
    unsigned all[6] = {~0u, ~0u, ~0u, ~0u, ~0u, ~0u};
    CALL("capabilities", SYS_capset, &header, all);
    return 0;
}
