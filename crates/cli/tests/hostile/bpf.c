/* Tries: to load programs into the kernel.
 * Stopped by: the call is not on the filter's list, so it does not exist. */
#include "attack.h"

int main(void) {
    char attributes[128] = {0};
    CALL("bpf map", SYS_bpf, 0, attributes, sizeof attributes);
    CALL("bpf program", SYS_bpf, 5, attributes, sizeof attributes);
    return 0;
}
