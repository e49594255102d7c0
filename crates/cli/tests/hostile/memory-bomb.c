/* Tries: to take all of the machine's memory, so that the kernel kills somebody else.
 * Stopped by: the control group's limit on memory, which the message names. */
#include "attack.h"

int main(void) {
    for (;;) {
        char *block = malloc(1 << 24);
        if (block) memset(block, 1, 1 << 24);
    }
}
