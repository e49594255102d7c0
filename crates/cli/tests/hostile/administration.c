/* Tries: what only the administrator of the machine may: modules, another kernel, reboot, clock, host name, swap, ports.
 * Stopped by: the call is not on the filter's list, so it does not exist. */
#include "attack.h"

int main(void) {
    char nothing[256] = {0};
    CALL("init_module", SYS_init_module, nothing, 0, "");
    CALL("finit_module", SYS_finit_module, 0, "", 0);
    CALL("delete_module", SYS_delete_module, "x", 0);
    CALL("kexec_load", SYS_kexec_load, 0, 0, 0, 0);
    CALL("reboot", SYS_reboot, 0xfee1dead, 672274793, 0x89abcdef, 0);
    CALL("clock_settime", SYS_clock_settime, 0, nothing);
    CALL("settimeofday", SYS_settimeofday, nothing, 0);
    CALL("sethostname", SYS_sethostname, "evil", 4);
    CALL("swapon", SYS_swapon, "report", 0);
    CALL("quotactl", SYS_quotactl, 0, 0, 0, 0);
    CALL("acct", SYS_acct, 0);
    CALL("iopl", SYS_iopl, 3);
    CALL("ioperm", SYS_ioperm, 0, 1024, 1);
    CALL("modify_ldt", SYS_modify_ldt, 1, nothing, 16);
    CALL("vhangup", SYS_vhangup);
    CALL("fanotify_init", SYS_fanotify_init, 0, 0);
    return 0;
}
