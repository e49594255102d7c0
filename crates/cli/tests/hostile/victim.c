/* No attack: a build that runs while spy.c looks for it, and leaves a mark wherever builds could share something. */
#include "attack.h"
#include <sys/ipc.h>
#include <sys/shm.h>

static void leave(const char *path) {
    int file = open(path, O_CREAT | O_WRONLY, 0666);
    if (file < 0 || write(file, MARK, strlen(MARK)) < 0) _exit(98);
    if (fchmod(file, 0666) != 0) _exit(98);
}

int main(void) {
    leave("/tmp/" MARK);
    leave("/dev/shm/" MARK);
    leave(MARK);
    void *shared = shmat(shmget(0x706f7274, 4096, IPC_CREAT | 0666), NULL, 0);
    if (shared == (void *)-1) _exit(97);
    strcpy(shared, MARK);
    if (syscall(SYS_msgget, 0x706f7274, IPC_CREAT | 0666) < 0) _exit(96);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path + 1, MARK);
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(s, (struct sockaddr *)&address, sizeof(sa_family_t) + 1 + strlen(MARK)) != 0 || listen(s, 1) != 0) _exit(95);
    printf("ready\n");
    fflush(stdout);
    sleep(12);
    fprintf(report(), "%s", (char *)shared);
    return 0;
}
