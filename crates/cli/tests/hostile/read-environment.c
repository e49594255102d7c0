/* Tries: to find the secret that whoever started the build has in the environment, in its own and in that of every
 * process that it can see.
 * Stopped by: the launcher clears the environment before anything of the sandbox starts. */
#include "attack.h"

extern char **environ;

int main(void) {
    int own = 0, others = 0;
    for (char **entry = environ; *entry; entry++) own |= strstr(*entry, SECRET) != NULL;
    char path[64];
    for (int process = 1; process < 5000; process++) {
        snprintf(path, sizeof path, "/proc/%d/environ", process);
        others |= holds(path, SECRET);
    }
    looked_for("secret in its own environment", own);
    looked_for("secret in another process's environment", others);
    looked_for("token variable", getenv("HOSTILE_TOKEN") != NULL);
    return 0;
}
