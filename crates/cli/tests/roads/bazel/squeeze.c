#include <stdio.h>
#include <string.h>
#include "lz4.h"

/* Compresses the first argument, and prints how long it was and what comes back. */
int main(int count, char **words) {
    char small[4096], whole[4096];
    if (count != 2 || strlen(words[1]) >= 4000) {
        return 2;
    }
    int length = (int)strlen(words[1]);
    int squeezed = LZ4_compress_default(words[1], small, length, sizeof small);
    int back = LZ4_decompress_safe(small, whole, squeezed, sizeof whole - 1);
    if (back != length) {
        return 1;
    }
    whole[back] = 0;
    printf("%d bytes in %d: %s\n", length, squeezed, whole);
    return 0;
}
