#include <stdio.h>
#include <stdlib.h>

/* Writes a number from 1 to 3999 as the Romans did. */
int main(int argc, char **argv) {
    static const int values[] = {1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1};
    static const char *const words[] = {"M", "CM", "D", "CD", "C", "XC", "L", "XL", "X", "IX", "V", "IV", "I"};
    int number = argc > 1 ? atoi(argv[1]) : 0;
    if (number < 1 || number > 3999) {
        fprintf(stderr, "roman: wanted a number from 1 to 3999\n");
        return 1;
    }
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        for (; number >= values[i]; number -= values[i])
            fputs(words[i], stdout);
    putchar('\n');
    return 0;
}
