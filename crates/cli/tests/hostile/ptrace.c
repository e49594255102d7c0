/* Tries: to take over another process of its user, or itself.
 * Stopped by: the call is not on the filter's list, so it does not exist. */
#include "attack.h"

int main(void) {
    CALL("attach", SYS_ptrace, 16, 1, 0, 0);
    CALL("seize", SYS_ptrace, 0x4206, getppid(), 0, 0);
    CALL("trace me", SYS_ptrace, 0, 0, 0, 0);
    return 0;
}
