//! Every attack, and how it must end: never merely "failed somehow".

/// One attack: `hostile/NAME.c` or `hostile/NAME.sh`, and the target of that name.
pub struct Attack {
    pub name: &'static str,
    pub outputs: &'static str,
    /// More lines of its target.
    pub limits: &'static str,
    pub ends: Ends,
    /// The same under gVisor, whose own kernel answers; nothing where the attack is not about the sandbox.
    pub gvisor: Option<Ends>,
}

/// How a build must end.
#[derive(Clone, Copy)]
pub enum Ends {
    /// It is built, and its report has these lines: each thing that it tried failed with that error.
    Built(&'static [&'static str]),
    /// The command fails or is killed for this reason. A record says so, signed, and nothing else is published.
    Stopped(&'static [&'static str]),
    /// The orchestrator refuses, and the message says all of this. Nothing is published but, at most, the record of it.
    Refused(&'static [&'static str]),
    /// A race: it is built with these lines, or refused with these words.
    Either(&'static [&'static str], &'static [&'static str]),
}

use Ends::{Built, Either, Refused, Stopped};

impl Attack {
    pub const fn new(name: &'static str, ends: Ends) -> Self {
        Self { name, outputs: "report", limits: "", ends, gvisor: None }
    }

    pub const fn outputs(mut self, outputs: &'static str) -> Self {
        self.outputs = outputs;
        self
    }

    const fn limits(mut self, limits: &'static str) -> Self {
        self.limits = limits;
        self
    }

    /// Under gVisor, it ends like this.
    const fn gvisor(mut self, ends: Ends) -> Self {
        self.gvisor = Some(ends);
        self
    }

    /// Under gVisor, it ends in the same way.
    const fn both(mut self) -> Self {
        self.gvisor = Some(self.ends);
        self
    }

    /// Whether the source itself attacks, and not what is built from it.
    pub fn is_source(&self) -> bool {
        self.name.starts_with("definition-")
            || ["git-attributes", "git-bomb", "submodule"].contains(&self.name)
    }

    pub fn is_shell(&self) -> bool {
        std::path::Path::new(super::ATTACKS).join(format!("{}.sh", self.name)).exists()
    }
}

const SMALL: &str = "    disk: 64MiB\n";
const SHORT: &str = "    time: 2s\n";

/// The attacks. `spy` has a build beside it to look for.
#[rustfmt::skip]
pub const ATTACKS: &[Attack] = &[
    // keys and secrets
    Attack::new("steal-key", Built(&[
        "key: ENOENT", "state: ENOENT", "store: ENOENT", "key through /proc/self/root: ENOENT",
        "key through any process: nothing",
    ])).both(),
    Attack::new("read-environment", Built(&[
        "secret in its own environment: nothing", "secret in another process's environment: nothing",
        "token variable: nothing",
    ])).both(),
    Attack::new("inherited-descriptor", Built(&[
        "descriptors beside its own three: nothing", "secret behind a descriptor: nothing", "descriptor 9: EBADF",
        "bytes from standard input: nothing",
    ])).both(),
    Attack::new("ask-signer", Built(&[
        "signer: ENOENT", "signer through /proc/self/root: ENOENT", "signer through /proc/1/root: ENOENT",
    ])).both(),
    // the network
    Attack::new("host-loopback", Built(&["127.0.0.1: ECONNREFUSED", "0.0.0.0: ECONNREFUSED", "::1: nothing"])).both(),
    Attack::new("outside", Built(&[
        "192.0.2.1:443: ENETUNREACH", "10.0.0.1:22: ENETUNREACH", "multicast: ENETUNREACH", "2001:db8::1: nothing",
    ])).gvisor(Built(&["192.0.2.1:443: EHOSTUNREACH", "10.0.0.1:22: EHOSTUNREACH", "multicast: ENETUNREACH"])),
    Attack::new("cloud-metadata", Built(&["169.254.169.254: ENETUNREACH", "169.254.170.2: ENETUNREACH"]))
        .gvisor(Built(&["169.254.169.254: EHOSTUNREACH", "169.254.170.2: EHOSTUNREACH"])),
    Attack::new("dns", Built(&["192.0.2.53: ENETUNREACH", "8.8.8.8: ENETUNREACH"]))
        .gvisor(Built(&["192.0.2.53: EHOSTUNREACH", "8.8.8.8: EHOSTUNREACH"])),
    Attack::new("abstract-socket", Built(&[
        "stream: ECONNREFUSED", "datagram: ECONNREFUSED", "its name in /proc/net/unix: nothing",
    ])).both(),
    Attack::new("socket-families", Built(&[
        "AF_VSOCK: ENOSYS", "AF_NETLINK: ENOSYS", "AF_PACKET: ENOSYS", "AF_ALG: ENOSYS", "AF_KEY: ENOSYS",
        "AF_BLUETOOTH: ENOSYS", "AF_CAN: ENOSYS", "AF_TIPC: ENOSYS", "AF_RDS: ENOSYS", "AF_XDP: ENOSYS",
        "AF_VSOCK with upper bits: ENOSYS", "socketpair AF_VSOCK: ENOSYS",
    ])),
    Attack::new("raw-sockets", Built(&["raw ICMP: EPERM", "raw IP: EPERM", "raw IPv6: EPERM"])).both(),
    // other builds, the store, the orchestrator's folders
    Attack::new("spy", Built(&[
        "/tmp: ENOENT", "/dev/shm: ENOENT", "shared memory: ENOENT", "message queue: ENOENT",
        "abstract socket: ECONNREFUSED", "work folders: ENOENT", "its process or its folder: nothing",
        "processes beside its own: nothing",
    ])).both(),
    Attack::new("host-names", Built(&[
        "a folder of the host: nothing", "work folders: ENOENT", "store: ENOENT",
        "names in the words of a process: nothing",
    ])).both(),
    Attack::new("poison-store", Built(&[
        "store: ENOENT", "cache: ENOENT", "roots: ENOENT", "compiler: EACCES", "compiler renamed: EROFS",
        "header added: EROFS", "libraries preloaded: EROFS", "root: EROFS",
    ])).gvisor(Built(&[
        "store: ENOENT", "cache: ENOENT", "roots: ENOENT", "compiler: EACCES", "compiler renamed: EROFS",
        "header added: EACCES", "libraries preloaded: EACCES", "root: EROFS",
    ])),
    Attack::new("change-inputs", Built(&[
        "write: EACCES", "truncate: EACCES", "remove: EROFS", "rename: EROFS", "replace: EXDEV", "chmod: EROFS",
        "touch: EROFS", "open again: EACCES", "map shared: EACCES", "add: EROFS", "beside the source: EROFS",
        "move the source away: EROFS", "a change: nothing",
    ])).gvisor(Built(&[
        "write: EACCES", "truncate: EACCES", "remove: EACCES", "rename: EROFS", "replace: EXDEV", "chmod: EPERM",
        "touch: EACCES", "open again: EACCES", "map shared: EACCES", "add: EACCES", "beside the source: EACCES",
        "move the source away: EROFS", "a change: nothing",
    ])),
    // what would outlive the build
    Attack::new("background", Built(&["made by the build"])).both(),
    Attack::new("race-output", Either(&["made by the build"], &["it is a symbolic link, or lies behind one"])).both(),
    Attack::new("keyrings", Built(&["add_key: ENOSYS", "keyctl: ENOSYS", "request_key: ENOSYS"])),
    Attack::new("crash", Built(&["a core: nothing", "core file: ENOENT", "limit raised: EPERM"])).both(),
    // more than its share
    Attack::new("fork-bomb", Stopped(&["took longer than 2s", "it wanted more than 64 processes at once"]))
        .limits("    time: 2s\n    processes: 64\n")
        .gvisor(Stopped(&["it wanted more than 64 processes at once"])),
    Attack::new("thread-bomb", Stopped(&["status 2", "it wanted more than 64 processes at once"]))
        .limits("    processes: 64\n").both(),
    Attack::new("memory-bomb", Stopped(&["it used more memory than 256 MiB"]))
        .limits("    memory: 256MiB\n").both(),
    Attack::new("memory-bomb-in-files", Either(&["memory: ENOMEM"], &["it used more memory than 256 MiB"]))
        .limits("    memory: 256MiB\n").both(),
    Attack::new("fill-disk", Stopped(&["it wrote more than 64 MiB"])).limits(SMALL).both(),
    Attack::new("fill-disk-with-many", Stopped(&["it wrote more than 64 MiB"])).limits(SMALL).both(),
    Attack::new("fill-disk-unseen", Stopped(&["it wrote more than 64 MiB"])).limits(SMALL).both(),
    Attack::new("fill-disk-deep-down", Stopped(&["it made more than 128 folders in one another"])).limits(SMALL).both(),
    Attack::new("million-files", Stopped(&["it made more than 20000 files"])).limits("    files: 20000\n").both(),
    Attack::new("sparse-output", Built(&[
        "ftruncate: EFBIG", "fallocate: EFBIG", "write at the end: EFBIG", "limit raised: EPERM",
    ])).outputs("report, huge").limits(SMALL).both(),
    Attack::new("sparse-outputs", Refused(&["together", "64 MiB"])).outputs("one, two, three").limits(SMALL).both(),
    Attack::new("flood-log", Built(&["1 GiB was written"])).both(),
    Attack::new("terminal", Stopped(&["failed with status 7", "before", "error: no error"])).both(),
    Attack::new("many-descriptors", Built(&["descriptors: EMFILE", "limit raised again: EPERM"])),
    Attack::new("close-descriptors", Built(&["built without a log"])).both(),
    Attack::new("time-bomb", Stopped(&["took longer than 2s and was killed"])).limits(SHORT).both(),
    Attack::new("stop-itself", Stopped(&["took longer than 2s and was killed"])).limits(SHORT).both(),
    Attack::new("kill-everything", Built(&["a process of somebody else: nothing", "everything: ESRCH", "still here"]))
        .gvisor(Stopped(&["failed with status 137"])),
    // outputs
    Attack::new("output-symlink", Refused(&["report", "it is a symbolic link, or lies behind one"])).both(),
    Attack::new("output-input-link", Refused(&["report", "it is a symbolic link, or lies behind one"])),
    Attack::new("output-folder-link", Refused(&["it is a symbolic link, or lies behind one"])).outputs("out/report"),
    Attack::new("output-proc-link", Refused(&["it is a symbolic link, or lies behind one"])).outputs("out/etc/passwd"),
    Attack::new("output-pipe", Refused(&["it is a named pipe"])).gvisor(Refused(&["it is not there"])),
    Attack::new("output-folder", Refused(&["it is a folder"])),
    Attack::new("output-socket", Refused(&["it is a socket or a device"])),
    Attack::new("output-absent", Refused(&["it is not there"])),
    Attack::new("output-device", Built(&[
        "disk: EPERM", "memory: EPERM", "in /tmp: EPERM", "white-out opened: EACCES",
    ])),
    Attack::new("hard-links", Built(&[
        "input: EXDEV", "program: EXDEV", "descriptor: EXDEV", "input's descriptor: EXDEV",
        "own file into the inputs: EROFS",
    ])).both(),
    // the kernel
    Attack::new("ptrace", Built(&["attach: ENOSYS", "seize: ENOSYS", "trace me: ENOSYS"])),
    Attack::new("other-memory", Built(&[
        "process_vm_readv: ENOSYS", "process_vm_writev: ENOSYS", "pidfd_getfd: ENOSYS", "kcmp: ENOSYS",
        "process_madvise: ENOSYS",
    ])),
    Attack::new("io-uring", Built(&[
        "io_uring_setup: ENOSYS", "io_uring_enter: ENOSYS", "io_uring_register: ENOSYS", "io_setup: ENOSYS",
    ])),
    Attack::new("bpf", Built(&["bpf map: ENOSYS", "bpf program: ENOSYS"])),
    Attack::new("userfaultfd", Built(&["userfaultfd: ENOSYS", "userfaultfd of its own: ENOSYS"])),
    Attack::new("namespaces", Built(&[
        "unshare user: ENOSYS", "unshare all: ENOSYS", "clone user: ENOSYS", "clone mount: ENOSYS",
        "clone network: ENOSYS", "clone process: ENOSYS", "clone control group: ENOSYS", "clone3: ENOSYS",
        "setns: ENOSYS", "setns by process: ENOSYS",
    ])),
    Attack::new("mounts", Built(&[
        "tmpfs: ENOSYS", "root writable: ENOSYS", "inputs writable: ENOSYS", "bind: ENOSYS", "unmount: ENOSYS",
        "pivot_root: ENOSYS", "chroot: ENOSYS", "open_tree: ENOSYS", "move_mount: ENOSYS", "fsopen: ENOSYS",
        "fspick: ENOSYS", "mount_setattr: ENOSYS",
    ])).gvisor(Built(&[
        "tmpfs: EPERM", "root writable: EPERM", "inputs writable: EPERM", "bind: EPERM", "unmount: EPERM",
        "pivot_root: EPERM", "chroot: EPERM", "open_tree: ENOSYS",
    ])),
    Attack::new("file-handles", Built(&["open_by_handle_at: ENOSYS", "name_to_handle_at: ENOSYS"]))
        .gvisor(Built(&["open_by_handle_at: EOPNOTSUPP", "name_to_handle_at: EOPNOTSUPP"])),
    Attack::new("counters", Built(&["perf_event_open: ENOSYS", "syslog: ENOSYS"])),
    Attack::new("administration", Built(&[
        "init_module: ENOSYS", "finit_module: ENOSYS", "delete_module: ENOSYS", "kexec_load: ENOSYS",
        "reboot: ENOSYS", "clock_settime: ENOSYS", "settimeofday: ENOSYS", "sethostname: ENOSYS", "swapon: ENOSYS",
        "quotactl: ENOSYS", "acct: ENOSYS", "iopl: ENOSYS", "ioperm: ENOSYS", "modify_ldt: ENOSYS",
        "vhangup: ENOSYS", "fanotify_init: ENOSYS",
    ])),
    Attack::new("file-attributes", Built(&[
        "capability: ENOSYS", "user attribute: ENOSYS", "by descriptor: ENOSYS", "of a link: ENOSYS",
        "removed: ENOSYS",
    ])),
    Attack::new("set-user-id", Built(&[
        "chmod: ENOSYS", "chmod group: ENOSYS", "chmod with upper bits: ENOSYS", "fchmod: ENOSYS",
        "fchmodat: ENOSYS", "fchmodat2: ENOSYS", "open: ENOSYS", "openat: ENOSYS", "openat group: ENOSYS",
        "openat without a name: ENOSYS", "creat: ENOSYS", "mknod: ENOSYS", "mknodat: ENOSYS", "openat2: ENOSYS",
    ])),
    Attack::new("terminal-input", Built(&[
        "TIOCSTI: ENOSYS", "TIOCSTI with upper bits: ENOSYS", "TIOCLINUX: ENOSYS", "/dev/tty: ENOENT",
        "/dev/ptmx: ENOENT",
    ])),
    Attack::new("kernel-files", Built(&[
        "/proc/kcore: nothing", "/proc/kmsg: EACCES", "/dev/mem: ENOENT", "/dev/kmsg: ENOENT", "/dev/kvm: ENOENT",
        "/dev/fuse: ENOENT", "/dev/vda: ENOENT", "new device: EROFS", "core_pattern: EACCES",
        "sysrq-trigger: nothing", "own uid_map: EPERM", "control groups: ENOENT", "debug: ENOENT",
    ])),
    Attack::new("other-user", Built(&[
        "root: EINVAL", "root again: EINVAL", "another build: EINVAL", "group: EINVAL", "groups: EPERM",
        "chown: EINVAL", "capabilities: EPERM",
    ])).gvisor(Built(&[
        "root: EPERM", "root again: EPERM", "another build: EPERM", "group: EPERM", "groups: EPERM", "chown: EPERM",
        "capabilities: EPERM",
    ])),
    Attack::new("x32", Built(&["x32 getpid: ENOSYS", "x32 ptrace: ENOSYS", "x32 execve: ENOSYS"])),
    Attack::new("int80", Built(&["int 0x80: killed"])),
    Attack::new("climb-out", Built(&[
        "something above the root: nothing", "first process's root: ENOENT", "host's passwd: nothing",
        "something behind a descriptor of the first process: nothing", "chroot: ENOSYS",
    ])).gvisor(Built(&[
        "something above the root: nothing", "host's passwd: nothing", "first process's root: ENOENT",
        "something behind a descriptor of the first process: nothing", "chroot: EPERM",
    ])),
    // the source itself
    Attack::new("git-attributes", Built(&[
        "expansion: nothing", "encoding and line ends: nothing", "hook: nothing", "repository: nothing",
    ])),
    Attack::new("git-bomb", Refused(&["more than", "files"])),
    Attack::new("submodule", Refused(&["submodule", "library"])),
    Attack::new("definition-newline", Refused(&["out\\nerror: all is well", "no path below the source"])),
    Attack::new("definition-outside", Refused(&["../../etc/passwd", "no path below the source"])),
    Attack::new("definition-provenance", Refused(&["shop.sigstore.json", "cannot be published under its name"])),
    Attack::new("definition-preload", Refused(&["`LD_PRELOAD` is fixed in every build"])),
    Attack::new("definition-link", Refused(&["has no portcullis.build.yaml that is a plain file"])),
];
