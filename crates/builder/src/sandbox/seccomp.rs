//! The system calls that a build may make: an allow-list. Whatever is not here does not exist for a build, and a call
//! that Linux adds next year does not either.
//!
//! Left out on purpose, and why it matters: `mount` and its family, `unshare`, `setns`, `clone3` and `clone` with a
//! namespace flag (a fresh user namespace opens most of the kernel's past escapes); `ptrace`, `process_vm_*`,
//! `kcmp`, `pidfd_getfd` (other processes); `bpf`, `perf_event_open`, `userfaultfd`, `io_uring_*`, `keyctl` and its
//! kin (large attack surface, and keyrings and rings outlive a process); `fanotify_*`, `quotactl`, `swapon`, module,
//! reboot and clock calls; `AF_VSOCK`, `AF_ALG`, `AF_PACKET` and every other family that no network namespace covers;
//! file modes with set-user-id or set-group-id, whether a file is changed or made (it would be live on the host's
//! disk), and with them `openat2`, whose mode no filter can see.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

/// Why there is no filter.
pub(crate) type FilterError = seccompiler::BackendError;

/// The filter as the kernel takes it.
pub(crate) fn program() -> Result<Vec<u8>, FilterError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for call in calls() {
        rules.insert(call, Vec::new());
    }
    for (call, alternatives) in conditional()? {
        rules.insert(call, alternatives);
    }
    let arch = if cfg!(target_arch = "aarch64") { TargetArch::aarch64 } else { TargetArch::x86_64 };
    // "no such call" and not "not permitted": C libraries then take the older call instead
    let denied = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let filter = SeccompFilter::new(rules, denied, SeccompAction::Allow, arch)?;
    let program: BpfProgram = filter.try_into()?;
    let bytes = |i: &seccompiler::sock_filter| {
        let [code, k] = [i.code.to_ne_bytes().to_vec(), i.k.to_ne_bytes().to_vec()];
        [code, vec![i.jt, i.jf], k].concat()
    };
    Ok(program.iter().flat_map(bytes).collect())
}

/// Calls that are allowed for some arguments: each rule is one way to be allowed.
fn conditional() -> Result<Vec<(c_long, Vec<SeccompRule>)>, FilterError> {
    let namespaces = libc::CLONE_NEWNS
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP;
    let without = |argument: u8, mask: u64| -> Result<Vec<SeccompRule>, FilterError> {
        let is_clear =
            SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(mask), 0)?;
        Ok(vec![SeccompRule::new(vec![is_clear])?])
    };
    let only = |argument: u8, values: &[u64]| -> Result<Vec<SeccompRule>, FilterError> {
        let rule = |value: &u64| {
            let is = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, *value)?;
            SeccompRule::new(vec![is])
        };
        values.iter().map(rule).collect()
    };
    let special = u64::from(libc::S_ISUID | libc::S_ISGID);
    // a mode counts only where a file is made; elsewhere its register holds anything
    let making = u64::from((libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY)).unsigned_abs());
    let opening = |flags: u8, mode: u8| -> Result<Vec<SeccompRule>, FilterError> {
        Ok([without(flags, making)?, without(mode, special)?].concat())
    };
    let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6].map(|f| u64::from(f.unsigned_abs()));
    // Linux, 32-bit Linux on a 64-bit kernel, either without address randomisation, and the question "which?"
    let personalities = [0x0000, 0x0008, 0x0004_0000, 0x0002_0000, 0x0002_0008, 0xffff_ffff];
    let not_injecting = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, libc::TIOCSTI)?;
    let not_console = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, libc::TIOCLINUX)?;
    let all = vec![
        (libc::SYS_clone, without(0, u64::from(namespaces.unsigned_abs()))?),
        (libc::SYS_fchmod, without(1, special)?),
        (libc::SYS_fchmodat, without(2, special)?),
        (libc::SYS_openat, opening(2, 3)?),
        (libc::SYS_mknodat, without(2, special)?),
        (libc::SYS_socket, only(0, &families)?),
        (libc::SYS_socketpair, only(0, &families)?),
        (libc::SYS_personality, only(0, &personalities)?),
        (libc::SYS_ioctl, vec![SeccompRule::new(vec![not_injecting, not_console])?]),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_chmod, without(1, special)?),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_open, opening(1, 2)?),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_creat, without(1, special)?),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_mknod, without(1, special)?),
    ];
    Ok(all)
}

#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const OLDER: &[c_long] = &[
    libc::SYS_stat, libc::SYS_lstat, libc::SYS_access, libc::SYS_pipe,
    libc::SYS_dup2, libc::SYS_fork, libc::SYS_vfork, libc::SYS_getpgrp, libc::SYS_rename, libc::SYS_mkdir,
    libc::SYS_rmdir, libc::SYS_link, libc::SYS_unlink, libc::SYS_symlink, libc::SYS_readlink, libc::SYS_chown,
    libc::SYS_lchown, libc::SYS_poll, libc::SYS_select, libc::SYS_getdents, libc::SYS_utime, libc::SYS_utimes,
    libc::SYS_futimesat, libc::SYS_alarm, libc::SYS_pause, libc::SYS_time, libc::SYS_ustat,
    libc::SYS_arch_prctl, libc::SYS_epoll_create, libc::SYS_epoll_wait, libc::SYS_signalfd, libc::SYS_eventfd,
    libc::SYS_inotify_init, libc::SYS_getrlimit, libc::SYS_sysfs,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[c_long] = &[];

fn calls() -> impl Iterator<Item = c_long> {
    [FILES, MEMORY, PROCESSES, TIME_AND_WAITING, SOCKETS, OLDER].into_iter().flatten().copied()
}

#[rustfmt::skip]
const FILES: &[c_long] = &[
    libc::SYS_read, libc::SYS_write, libc::SYS_readv, libc::SYS_writev, libc::SYS_pread64, libc::SYS_pwrite64,
    libc::SYS_preadv, libc::SYS_pwritev, libc::SYS_preadv2, libc::SYS_pwritev2,
    libc::SYS_close, libc::SYS_close_range, libc::SYS_fstat, libc::SYS_newfstatat, libc::SYS_statx, libc::SYS_lseek,
    libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_pipe2, libc::SYS_dup, libc::SYS_dup3, libc::SYS_fcntl,
    libc::SYS_flock, libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_sync, libc::SYS_syncfs, libc::SYS_sync_file_range,
    libc::SYS_truncate, libc::SYS_ftruncate, libc::SYS_fallocate, libc::SYS_fadvise64, libc::SYS_readahead,
    libc::SYS_getdents64, libc::SYS_getcwd, libc::SYS_chdir, libc::SYS_fchdir, libc::SYS_mkdirat,
    libc::SYS_unlinkat, libc::SYS_linkat, libc::SYS_symlinkat, libc::SYS_readlinkat, libc::SYS_renameat,
    libc::SYS_renameat2, libc::SYS_fchown, libc::SYS_fchownat, libc::SYS_utimensat, libc::SYS_umask, libc::SYS_statfs,
    libc::SYS_fstatfs, libc::SYS_sendfile, libc::SYS_splice, libc::SYS_tee, libc::SYS_vmsplice,
    libc::SYS_copy_file_range, libc::SYS_getxattr, libc::SYS_lgetxattr, libc::SYS_fgetxattr, libc::SYS_listxattr,
    libc::SYS_llistxattr, libc::SYS_flistxattr, libc::SYS_epoll_create1, libc::SYS_epoll_ctl, libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2, libc::SYS_inotify_init1, libc::SYS_inotify_add_watch, libc::SYS_inotify_rm_watch,
    libc::SYS_eventfd2, libc::SYS_signalfd4, libc::SYS_memfd_create,
];

#[rustfmt::skip]
const MEMORY: &[c_long] = &[
    libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mremap, libc::SYS_mprotect, libc::SYS_pkey_mprotect,
    libc::SYS_pkey_alloc, libc::SYS_pkey_free, libc::SYS_madvise, libc::SYS_mincore, libc::SYS_msync, libc::SYS_mlock,
    libc::SYS_mlock2, libc::SYS_munlock, libc::SYS_mlockall, libc::SYS_munlockall, libc::SYS_brk, libc::SYS_membarrier,
    libc::SYS_shmget, libc::SYS_shmat, libc::SYS_shmdt, libc::SYS_shmctl, libc::SYS_get_mempolicy,
];

#[rustfmt::skip]
const PROCESSES: &[c_long] = &[
    libc::SYS_execve, libc::SYS_execveat, libc::SYS_exit, libc::SYS_exit_group, libc::SYS_wait4, libc::SYS_waitid,
    libc::SYS_kill, libc::SYS_tkill, libc::SYS_tgkill, libc::SYS_getpid, libc::SYS_getppid, libc::SYS_gettid,
    libc::SYS_getpgid, libc::SYS_setpgid, libc::SYS_getsid, libc::SYS_setsid, libc::SYS_getuid, libc::SYS_geteuid,
    libc::SYS_getgid, libc::SYS_getegid, libc::SYS_getresuid, libc::SYS_getresgid, libc::SYS_getgroups,
    libc::SYS_setuid, libc::SYS_setgid, libc::SYS_setreuid, libc::SYS_setregid, libc::SYS_setresuid,
    libc::SYS_setresgid, libc::SYS_setgroups, libc::SYS_setfsuid, libc::SYS_setfsgid, libc::SYS_capget,
    libc::SYS_capset, libc::SYS_prctl, libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigpending,
    libc::SYS_rt_sigreturn, libc::SYS_rt_sigsuspend, libc::SYS_rt_sigtimedwait, libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo, libc::SYS_sigaltstack, libc::SYS_getrusage, libc::SYS_times, libc::SYS_setrlimit,
    libc::SYS_prlimit64, libc::SYS_getpriority, libc::SYS_setpriority, libc::SYS_ioprio_get, libc::SYS_ioprio_set,
    libc::SYS_uname, libc::SYS_sysinfo, libc::SYS_getcpu, libc::SYS_getrandom, libc::SYS_set_tid_address,
    libc::SYS_set_robust_list, libc::SYS_get_robust_list, libc::SYS_rseq, libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal, libc::SYS_restart_syscall, libc::SYS_seccomp,
];

#[rustfmt::skip]
const TIME_AND_WAITING: &[c_long] = &[
    libc::SYS_nanosleep, libc::SYS_clock_nanosleep, libc::SYS_clock_gettime, libc::SYS_clock_getres,
    libc::SYS_gettimeofday, libc::SYS_getitimer, libc::SYS_setitimer, libc::SYS_timer_create, libc::SYS_timer_settime,
    libc::SYS_timer_gettime, libc::SYS_timer_getoverrun, libc::SYS_timer_delete, libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime, libc::SYS_timerfd_gettime, libc::SYS_ppoll, libc::SYS_pselect6, libc::SYS_futex,
    libc::SYS_futex_waitv, libc::SYS_sched_yield, libc::SYS_sched_getaffinity, libc::SYS_sched_setaffinity,
    libc::SYS_sched_getparam, libc::SYS_sched_setparam, libc::SYS_sched_getscheduler, libc::SYS_sched_setscheduler,
    libc::SYS_sched_getattr, libc::SYS_sched_setattr, libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min, libc::SYS_sched_rr_get_interval, libc::SYS_semget, libc::SYS_semop,
    libc::SYS_semtimedop, libc::SYS_semctl, libc::SYS_msgget, libc::SYS_msgsnd, libc::SYS_msgrcv,
];

#[rustfmt::skip]
const SOCKETS: &[c_long] = &[
    libc::SYS_bind, libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4, libc::SYS_connect, libc::SYS_getsockname,
    libc::SYS_getpeername, libc::SYS_sendto, libc::SYS_recvfrom, libc::SYS_sendmsg, libc::SYS_recvmsg,
    libc::SYS_sendmmsg, libc::SYS_recvmmsg, libc::SYS_shutdown, libc::SYS_setsockopt, libc::SYS_getsockopt,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_broken_sandboxes_is_not_on_the_list() {
        let allowed: Vec<c_long> = calls().collect();
        for denied in [
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_pivot_root,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_clone3,
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_io_uring_setup,
            libc::SYS_io_uring_enter,
            libc::SYS_keyctl,
            libc::SYS_add_key,
            libc::SYS_request_key,
            libc::SYS_open_by_handle_at,
            libc::SYS_openat2,
            libc::SYS_init_module,
            libc::SYS_kexec_load,
            libc::SYS_setxattr,
            libc::SYS_clock_settime,
            libc::SYS_landlock_create_ruleset + 1000,
        ] {
            assert!(!allowed.contains(&denied), "{denied}");
        }
        let mut sorted = allowed.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), allowed.len(), "a call stands twice");
        let program = program().unwrap();
        assert!(program.len().is_multiple_of(8) && program.len() / 8 < 4096, "{}", program.len() / 8);
    }
}
