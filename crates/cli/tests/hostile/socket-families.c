/* Tries: the families of sockets that a network namespace does not cover, or that open large parts of the kernel:
 * AF_VSOCK reaches the hypervisor, AF_NETLINK and AF_KEY configure the kernel, AF_PACKET reads the wire.
 * Stopped by: the system call filter knows AF_UNIX, AF_INET and AF_INET6 only. */
#include "attack.h"

int main(void) {
    CALL("AF_VSOCK", SYS_socket, 40, SOCK_STREAM, 0);
    CALL("AF_NETLINK", SYS_socket, 16, SOCK_RAW, 0);
    CALL("AF_PACKET", SYS_socket, 17, SOCK_RAW, 0);
    CALL("AF_ALG", SYS_socket, 38, SOCK_SEQPACKET, 0);
    CALL("AF_KEY", SYS_socket, 15, SOCK_RAW, 2);
    CALL("AF_BLUETOOTH", SYS_socket, 31, SOCK_RAW, 1);
    CALL("AF_CAN", SYS_socket, 29, SOCK_RAW, 1);
    CALL("AF_TIPC", SYS_socket, 30, SOCK_RAW, 0);
    CALL("AF_RDS", SYS_socket, 21, SOCK_SEQPACKET, 0);
    CALL("AF_XDP", SYS_socket, 44, SOCK_RAW, 0);
    /* the upper half of the argument is not looked at by the kernel, and must not be by the filter */
    CALL("AF_VSOCK with upper bits", SYS_socket, 0x100000028L, SOCK_STREAM, 0);
    CALL("socketpair AF_VSOCK", SYS_socketpair, 40, SOCK_STREAM, 0, 0);
    return 0;
}
