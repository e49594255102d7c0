/* Tries: to read keys that belong to its user and outlive processes, or to leave some for the next build.
 * Stopped by: the call is not on the filter's list, so it does not exist. */
#include "attack.h"

int main(void) {
    CALL("add_key", SYS_add_key, "user", "left", "x", 1L, -4);
    CALL("keyctl", SYS_keyctl, 0, -4, 1);
    CALL("request_key", SYS_request_key, "user", "left", 0, -4);
    return 0;
}
