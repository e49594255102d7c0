/* Tries: to type into the terminal of whoever started the build.
 * Stopped by: the filter knows neither TIOCSTI nor TIOCLINUX, and the build has a session of its own. */
#include "attack.h"

int main(void) {
    CALL("TIOCSTI", SYS_ioctl, 0, 0x5412, "x");
    CALL("TIOCSTI with upper bits", SYS_ioctl, 0, 0x100005412L, "x");
    CALL("TIOCLINUX", SYS_ioctl, 2, 0x541c, "x");
    tried("/dev/tty", open("/dev/tty", O_RDWR));
    tried("/dev/ptmx", open("/dev/ptmx", O_RDWR));
    return 0;
}
