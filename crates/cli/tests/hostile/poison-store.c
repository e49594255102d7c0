/* Tries: to put its own files where later builds take theirs from: the store, the unpacked toolchains, the cache.
 * Stopped by: the store is not in the sandbox; the toolchain belongs to root and is mounted read-only. */
#include "attack.h"

int main(void) {
    tried("store", open(STORE "/sha256/evil", O_CREAT | O_WRONLY, 0644));
    tried("cache", open(STORE "/cache/evil", O_CREAT | O_WRONLY, 0644));
    tried("roots", mkdir(ROOTS "/evil", 0755));
    tried("compiler", open("/usr/bin/gcc", O_WRONLY));
    tried("compiler renamed", rename("/usr/bin/gcc", "/usr/bin/gcc.old"));
    tried("header added", open("/usr/include/evil.h", O_CREAT | O_WRONLY, 0644));
    tried("libraries preloaded", open("/etc/ld.so.preload", O_CREAT | O_WRONLY, 0644));
    tried("root", mkdir("/evil", 0755));
    return 0;
}
