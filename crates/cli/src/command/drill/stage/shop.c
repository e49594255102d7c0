#include <stdio.h>

int main(void) {
    puts("shop is open");
    return 0;
}
