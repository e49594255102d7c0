/* Tries: to find a build that runs at the same moment: its processes, shared memory, message queue, abstract socket,
 * what it leaves in /tmp and /dev/shm, and its work folder, whose name this build can guess from its own.
 * Stopped by: every namespace is the build's own; /tmp, /dev/shm and /build are made for it. */
#include "attack.h"
#include <dirent.h>
#include <sys/ipc.h>

int main(void) {
    tried("/tmp", open("/tmp/" MARK, O_RDONLY));
    tried("/dev/shm", open("/dev/shm/" MARK, O_RDONLY));
    CALL("shared memory", SYS_shmget, 0x706f7274, 4096, 0666);
    CALL("message queue", SYS_msgget, 0x706f7274, 0666);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path + 1, MARK);
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    tried("abstract socket", connect(s, (struct sockaddr *)&address, sizeof(sa_family_t) + 1 + strlen(MARK)));
    tried("work folders", open(WORK, O_RDONLY | O_DIRECTORY));
    DIR *folder = opendir("/proc");
    int found = 0, processes = 0;
    char path[300];
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        int process = atoi(entry->d_name);
        if (process == 0) continue;
        processes++;
        snprintf(path, sizeof path, "/proc/%d/cmdline", process);
        found |= holds(path, "./victim");
        snprintf(path, sizeof path, "/proc/%d/cwd/" MARK, process);
        found |= access(path, F_OK) == 0;
    }
    looked_for("its process or its folder", found);
    /* the sandbox's first process, a shell, and this one */
    looked_for("processes beside its own", processes > 3);
    return 0;
}
