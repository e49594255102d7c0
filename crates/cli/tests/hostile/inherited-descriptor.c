/* Tries: to use what whoever started the build has open: descriptor 9 is a file with a secret.
 * Stopped by: the launcher closes every descriptor but the three of the build before anything of the sandbox starts. */
#include "attack.h"

int main(void) {
    /* not yet open: the report itself would be one */
    int open_ones = 0, secret = 0;
    for (int number = 3; number < 65536; number++) open_ones += fcntl(number, F_GETFD) != -1;
    char bytes[256] = {0};
    for (int number = 0; number < 1024; number++) {
        if (number != 1 && number != 2 && pread(number, bytes, sizeof bytes - 1, 0) > 0)
            secret |= strstr(bytes, SECRET) != NULL;
    }
    errno = 0;
    long nine = fcntl(9, F_GETFD);
    int error = errno;
    looked_for("descriptors beside its own three", open_ones);
    looked_for("secret behind a descriptor", secret);
    errno = error;
    tried("descriptor 9", nine);
    looked_for("bytes from standard input", read(0, bytes, 1) > 0);
    return 0;
}
