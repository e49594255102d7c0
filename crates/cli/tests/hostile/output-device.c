/* Tries: to make device nodes, and to have the machine's disk published as an output.
 * Stopped by: nobody but root outside of every namespace can make a device. */
#include "attack.h"
#include <sys/sysmacros.h>

int main(void) {
    tried("disk", mknod("disk", S_IFBLK | 0666, makedev(254, 0)));
    tried("memory", mknod("memory", S_IFCHR | 0666, makedev(1, 1)));
    tried("in /tmp", mknod("/tmp/memory", S_IFCHR | 0666, makedev(1, 1)));
    /* an overlay's white-out is a device that anybody may make, and it opens nothing */
    tried("white-out opened", mknod("none", S_IFCHR | 0666, 0) == 0 ? open("none", O_RDONLY) : -1);
    return 0;
}
