/* Tries: to give an input, a program of the toolchain or another build's file a second name among its own files, where
 * it could be changed or published.
 * Stopped by: each is a mount of its own, and no link crosses one. */
#include "attack.h"

int main(void) {
    char path[64];
    tried("input", link("/build/inputs/data/input.txt", "a"));
    tried("program", link("/usr/bin/gcc", "b"));
    snprintf(path, sizeof path, "/proc/self/fd/%d", open("/usr/bin/gcc", O_RDONLY));
    tried("descriptor", linkat(AT_FDCWD, path, AT_FDCWD, "c", AT_SYMLINK_FOLLOW));
    snprintf(path, sizeof path, "/proc/self/fd/%d", open("/build/inputs/data/input.txt", O_RDONLY));
    tried("input's descriptor", linkat(AT_FDCWD, path, AT_FDCWD, "d", AT_SYMLINK_FOLLOW));
    tried("own file into the inputs", link("attack.h", "/build/inputs/data/e"));
    return 0;
}
