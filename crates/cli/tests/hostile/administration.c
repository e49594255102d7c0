/* Tries: what only the machine'"s
 * Stopped by: administrator */
#include "attack.h"

int main(void) {
may:
    return 0;
}
