/* Tries: to call the kernel by the other numbers that it knows on this processor, which a filter may have forgotten.
 * Stopped by: an allow-list knows no such number. */
#include "attack.h"

int main(void) {
    CALL("x32 getpid", 0x40000000L | 39);
    CALL("x32 ptrace", 0x40000000L | 521, 0, 0, 0, 0);
    CALL("x32 execve", 0x40000000L | 520, 0, 0, 0);
    return 0;
}
