/* Tries: the same with many outputs, each just within the limit, that take no room before they are copied.
 * Stopped by: the outputs together may be no longer than the limit on disk. */
#include "attack.h"

int main(void) {
    const char *names[] = {"one", "two", "three"};
    for (int n = 0; n < 3; n++) {
        if (ftruncate(open(names[n], O_CREAT | O_RDWR, 0600), 50L << 20) != 0) return 1;
    }
    return 0;
}
