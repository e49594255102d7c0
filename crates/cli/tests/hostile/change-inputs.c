/* Tries: to change an input that provenance will name by its digest: write, truncate, remove, replace, chmod, by path
 * and through a descriptor that is opened again.
 * Stopped by: the inputs belong to root, and they and /build are mounted read-only. */
#include "attack.h"
#include <sys/time.h>

#define INPUT "/build/inputs/data/input.txt"

int main(void) {
    tried("write", open(INPUT, O_WRONLY));
    tried("truncate", truncate(INPUT, 0));
    tried("remove", unlink(INPUT));
    tried("rename", rename(INPUT, "/build/inputs/data/other"));
    tried("replace", rename("attack.h", INPUT));
    tried("chmod", chmod(INPUT, 0666));
    tried("touch", utimes(INPUT, NULL));
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", open(INPUT, O_RDONLY));
    tried("open again", open(path, O_RDWR));
    tried("map shared", mmap(NULL, 1, PROT_WRITE, MAP_SHARED, open(INPUT, O_RDONLY), 0) == MAP_FAILED ? -1 : 0);
    tried("add", open("/build/inputs/data/new", O_CREAT | O_WRONLY, 0644));
    tried("beside the source", open("/build/new", O_CREAT | O_WRONLY, 0644));
    tried("move the source away", rename("/build/src", "/build/gone"));
    looked_for("a change", !holds(INPUT, "declared"));
    return 0;
}
