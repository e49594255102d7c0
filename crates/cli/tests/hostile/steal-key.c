/* Tries: to read the signer's key file, its state folder and its log key by their paths, and through the root and the
 * working folder of other processes.
 * Stopped by: the root is the declared toolchain, so the paths do not exist; no process outside is in /proc. */
#include "attack.h"

static void through(const char *way) {
    char path[4096], what[64];
    snprintf(path, sizeof path, "%s%s", way, KEY);
    snprintf(what, sizeof what, "key through %s", way);
    tried(what, open(path, O_RDONLY));
}

int main(void) {
    tried("key", open(KEY, O_RDONLY));
    tried("state", open(STATE, O_RDONLY | O_DIRECTORY));
    tried("store", open(STORE, O_RDONLY | O_DIRECTORY));
    through("/proc/self/root");
    through("/proc/self/cwd/../../../../../../..");
    char path[4096];
    int read = 0;
    for (int process = 1; process < 5000; process++) {
        snprintf(path, sizeof path, "/proc/%d/root%s", process, KEY);
        read |= open(path, O_RDONLY) >= 0;
        snprintf(path, sizeof path, "/proc/%d/cwd/local-demo.key", process);
        read |= open(path, O_RDONLY) >= 0;
    }
    looked_for("key through any process", read);
    return 0;
}
