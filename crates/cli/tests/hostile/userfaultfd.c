/* Tries: to stop the kernel in the middle of its work, which many exploits need.
 * Stopped by: the call is not on the filter's list, so it does not exist. */
#include "attack.h"

int main(void) {
    CALL("userfaultfd", SYS_userfaultfd, 0);
    CALL("userfaultfd of its own", SYS_userfaultfd, 1);
    return 0;
}
