/* Tries: to read the memory and the log of the kernel, and to write to its settings.
 * Stopped by: the folder of devices holds five, /sys is not there, and what is in /proc belongs to root. */
#include "attack.h"

int main(void) {
    /* not every kernel has these two */
    looked_for("/proc/kcore", open("/proc/kcore", O_RDONLY) >= 0);
    looked_for("sysrq-trigger", open("/proc/sysrq-trigger", O_WRONLY) >= 0);
    tried("/proc/kmsg", open("/proc/kmsg", O_RDONLY));
    tried("/dev/mem", open("/dev/mem", O_RDONLY));
    tried("/dev/kmsg", open("/dev/kmsg", O_RDONLY));
    tried("/dev/kvm", open("/dev/kvm", O_RDWR));
    tried("/dev/fuse", open("/dev/fuse", O_RDWR));
    tried("/dev/vda", open("/dev/vda", O_RDONLY));
    tried("new device", open("/dev/new", O_CREAT | O_WRONLY, 0666));
    tried("core_pattern", open("/proc/sys/kernel/core_pattern", O_WRONLY));
    int map = open("/proc/self/uid_map", O_WRONLY);
    tried("own uid_map", map < 0 ? -1 : write(map, "0 0 1", 5));
    tried("control groups", open("/sys/fs/cgroup", O_RDONLY));
    tried("debug", open("/sys/kernel/debug", O_RDONLY));
    return 0;
}
