/* Tries: to watch the processor and the kernel from inside.
 * Stopped by: the call is not on the filter's list, so it does not exist. */
#include "attack.h"

int main(void) {
    unsigned attributes[32] = {1, 128};
    CALL("perf_event_open", SYS_perf_event_open, attributes, 0, -1, -1, 0L);
    CALL("lookup_dcookie", SYS_lookup_dcookie, 0L, attributes, sizeof attributes);
    CALL("syslog", SYS_syslog, 3, attributes, sizeof attributes);
    return 0;
}
