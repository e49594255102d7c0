/* Tries: to read and write another process's memory, and to take its descriptors.
 * Stopped by: the call is not on the filter's list, so it does not exist. */
#include "attack.h"

int main(void) {
    char byte = 0;
    struct { void *at; size_t length; } here = {&byte, 1}, there = {&byte, 1};
    CALL("process_vm_readv", SYS_process_vm_readv, 1, &here, 1, &there, 1, 0);
    CALL("process_vm_writev", SYS_process_vm_writev, getpid(), &here, 1, &there, 1, 0);
    CALL("pidfd_getfd", 438, 3, 0, 0);
    CALL("kcmp", SYS_kcmp, 1, getpid(), 0, 0, 0);
    CALL("process_madvise", 440, 3, &here, 1, 4, 0);
    return 0;
}
