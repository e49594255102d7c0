/* No attack: what is built beside all of them, again and again, and must come out the same. */
#include <stdio.h>

int main(void) {
    puts("honest");
    return 0;
}
