/* Tries: to learn the names of the orchestrator's folders from the kernel, and to open them.
 * Stopped by: the sandbox is told its folders where no process sees it; the name that the kernel gives away, that of a
 * mount, leads nowhere. */
#include "attack.h"

int main(void) {
    char line[8192], first[4096];
    FILE *mounts = fopen("/proc/self/mountinfo", "r");
    int opened = 0;
    while (mounts && fgets(line, sizeof line, mounts)) {
        /* the fourth word is the path of a bind mount in its own file system: on the host */
        if (sscanf(line, "%*s %*s %*s %4095s", first) != 1 || first[1] == 0) continue;
        if (strncmp(first, "/null", 5) && strncmp(first, "/sys", 4)) opened |= open(first, O_RDONLY | O_DIRECTORY) >= 0;
    }
    /* "full", "zero" and the other devices are no folders and do not open */
    looked_for("a folder of the host", opened);
    tried("work folders", open(WORK, O_RDONLY | O_DIRECTORY));
    tried("store", open(STORE "/sha256", O_RDONLY | O_DIRECTORY));
    int named = 0;
    for (int process = 1; process < 100; process++) {
        snprintf(line, sizeof line, "/proc/%d/cmdline", process);
        named |= holds(line, WORK);
        snprintf(line, sizeof line, "/proc/%d/environ", process);
        named |= holds(line, WORK);
    }
    looked_for("names in the words of a process", named);
    return 0;
}
