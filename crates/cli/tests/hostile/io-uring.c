/* Tries: to have the kernel do its calls for it, past the filter.
 * Stopped by: the call is not on the filter's list, so it does not exist. */
#include "attack.h"

int main(void) {
    char parameters[256] = {0};
    CALL("io_uring_setup", 425, 8, parameters);
    CALL("io_uring_enter", 426, 3, 1, 0, 0, 0, 0);
    CALL("io_uring_register", 427, 3, 0, 0, 0);
    CALL("io_setup", SYS_io_setup, 8, parameters);
    return 0;
}
