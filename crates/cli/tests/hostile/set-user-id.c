/* Tries: to leave a program that runs as the owner of the builds, whoever starts it: the file is live on the disk of the host.
 * Stopped by: no call that changes or makes a file takes the set-user-id or set-group-id bit. */
#include "attack.h"

int main(void) {
    CALL("chmod", SYS_chmod, "attack.h", 04755);
    CALL("chmod group", SYS_chmod, "attack.h", 02755);
    CALL("chmod with upper bits", SYS_chmod, "attack.h", 0x7fff00000000L | 04755);
    CALL("fchmod", SYS_fchmod, open("attack.h", O_RDWR), 04755);
    CALL("fchmodat", SYS_fchmodat, AT_FDCWD, "attack.h", 04755);
    CALL("fchmodat2", 452, AT_FDCWD, "attack.h", 04755, 0);
    CALL("open", SYS_open, "new-1", O_CREAT | O_WRONLY, 04755);
    CALL("openat", SYS_openat, AT_FDCWD, "new-2", O_CREAT | O_WRONLY, 04755);
    CALL("openat group", SYS_openat, AT_FDCWD, "new-3", O_CREAT | O_WRONLY, 02755);
    CALL("openat without a name", SYS_openat, AT_FDCWD, ".", O_TMPFILE | O_RDWR, 04755);
    CALL("creat", SYS_creat, "new-4", 04755);
    CALL("mknod", SYS_mknod, "new-5", S_IFREG | 04755, 0);
    CALL("mknodat", SYS_mknodat, AT_FDCWD, "new-6", S_IFREG | 04755, 0);
    unsigned long how[3] = {O_CREAT | O_WRONLY, 04755, 0};
    CALL("openat2", 437, AT_FDCWD, "new-7", how, sizeof how);
    return 0;
}
