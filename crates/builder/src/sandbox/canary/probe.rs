//! What the canary tries, inside the sandbox. Each layer gives "held" or what could be done.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use attest::Object;
use attest::json::ShapeError;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType};

/// Nothing to report, or what could be done.
type Found = Result<(), String>;

/// Tries every layer; one line each.
///
/// # Errors
/// [`ShapeError`] where the canary was told something else than what it needs to know.
pub fn probe(told: &Object) -> Result<String, ShapeError> {
    let port = u16::try_from(told.int("port")?).unwrap_or(0);
    let socket = told.string("socket")?;
    let hidden: Vec<&str> = attest::json::each("hidden", told.array("hidden")?, |path| path.as_str())?;
    let is_gvisor = told.string("tier")? == "gvisor";
    let kernel = told.string("kernel")?;
    let layers = [
        ("network", network(port, socket)),
        ("files", files(&hidden)),
        ("inputs", inputs()),
        ("processes", processes()),
        ("descriptors", descriptors()),
        ("privileges", privileges(is_gvisor)),
        ("system-calls", if is_gvisor { other_kernel(kernel) } else { system_calls() }),
    ];
    let line = |(layer, found): (&str, Found)| match found {
        Ok(()) => format!("{layer}\theld\n"),
        Err(what) => format!("{layer}\t{}\n", what.replace(['\n', '\t'], " ")),
    };
    Ok(layers.into_iter().map(line).collect())
}

fn network(port: u16, socket: &str) -> Found {
    let wait = Duration::from_millis(300);
    for address in [SocketAddr::from(([127, 0, 0, 1], port)), SocketAddr::from(([192, 0, 2, 1], 443))] {
        if TcpStream::connect_timeout(&address, wait).is_ok() {
            return Err(format!("it connected to {address}"));
        }
    }
    let sent = UdpSocket::bind("0.0.0.0:0").and_then(|s| s.send_to(b"x", "192.0.2.1:53"));
    if sent.is_ok() {
        return Err("it sent a datagram to 192.0.2.1".to_owned());
    }
    let name = std::os::unix::net::SocketAddr::from_abstract_name(socket);
    if name.and_then(|name| UnixStream::connect_addr(&name)).is_ok() {
        return Err("it connected to an abstract socket of the host".to_owned());
    }
    let interfaces = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let other = interfaces.lines().filter_map(|l| l.split_once(':')).find(|(name, _)| name.trim() != "lo");
    other.map_or(Ok(()), |(name, _)| Err(format!("it has the network interface {}", name.trim())))
}

fn files(hidden: &[&str]) -> Found {
    for path in hidden {
        if fs::symlink_metadata(path).is_ok() {
            return Err(format!("it sees {path}"));
        }
    }
    for folder in ["/tmp", "/dev/shm"] {
        if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(format!("it sees what others left in {folder}"));
        }
    }
    for path in
        ["/sys/fs/cgroup", "/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/vda", "/dev/kvm", "/run", "/etc/shadow"]
    {
        if fs::symlink_metadata(path).is_ok() {
            return Err(format!("it sees {path}"));
        }
    }
    Ok(())
}

fn inputs() -> Found {
    let write = |path: &str| fs::OpenOptions::new().append(true).open(path).is_ok();
    let make = |path: &str| fs::write(path, "x").is_ok();
    for (done, what) in [
        (write("/build/inputs/canary"), "it could write to an input"),
        (fs::remove_file("/build/inputs/canary").is_ok(), "it could remove an input"),
        (make("/build/inputs/another"), "it could add an input"),
        (make("/another"), "it could write to the root"),
        (make("/build/another"), "it could write beside the source"),
        (write("/canary"), "it could write to a program"),
    ] {
        if done {
            return Err(what.to_owned());
        }
    }
    let is_kept = fs::read_to_string("/build/inputs/canary").is_ok_and(|text| text == "an input\n");
    let can_work = make("/build/src/canary") && make("/tmp/canary");
    fs::remove_file("/tmp/canary").ok();
    match (is_kept, can_work) {
        (true, true) => Ok(()),
        (false, _) => Err("the input that was given to it is not there".to_owned()),
        (_, false) => Err("it cannot write where a build must".to_owned()),
    }
}

fn processes() -> Found {
    let names = fs::read_dir("/proc").map_err(|e| format!("/proc cannot be read: {e}"))?;
    let count = names.flatten().filter(|e| e.file_name().to_string_lossy().parse::<u32>().is_ok()).count();
    // the sandbox's first process, and this one
    if count > 2 { Err(format!("it sees {count} processes")) } else { Ok(()) }
}

fn descriptors() -> Found {
    let entries =
        fs::read_dir("/proc/self/fd").map_err(|e| format!("its descriptors cannot be read: {e}"))?;
    for entry in entries.flatten() {
        let number: u32 = entry.file_name().to_string_lossy().parse().unwrap_or(u32::MAX);
        let target = fs::read_link(entry.path()).unwrap_or_default();
        let is_own = target.starts_with("/proc") || target.as_os_str().is_empty();
        if number > 2 && !is_own {
            return Err(format!("it inherited descriptor {number}, {}", target.display()));
        }
    }
    let input = fs::read_link("/proc/self/fd/0").unwrap_or_default();
    if input == Path::new("/dev/null") || input.as_os_str().to_string_lossy().starts_with("host") {
        Ok(())
    } else {
        Err(format!("its standard input is {}", input.display()))
    }
}

fn privileges(is_gvisor: bool) -> Found {
    let status = fs::read_to_string("/proc/self/status").map_err(|e| format!("its status: {e}"))?;
    let value =
        |key: &str| status.lines().find_map(|l| l.strip_prefix(key)).map(str::trim).unwrap_or_default();
    for set in ["CapPrm:", "CapEff:"] {
        if value(set).bytes().any(|b| b != b'0') || value(set).is_empty() {
            return Err(format!("it has capabilities: {set} {}", value(set)));
        }
    }
    if !is_gvisor && value("NoNewPrivs:") != "1" {
        return Err("it could gain privileges".to_owned());
    }
    if rustix::process::getuid().is_root() { Err("it is root".to_owned()) } else { Ok(()) }
}

fn system_calls() -> Found {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if !status.lines().any(|l| l.split_whitespace().collect::<Vec<_>>() == ["Seccomp:", "2"]) {
        return Err("no filter is in force".to_owned());
    }
    // without the filter, the kernel would answer with another error than "no such call"
    let flags = rustix::mount::MountFlags::empty();
    let mount = rustix::mount::mount("none", "/tmp", "tmpfs", flags, None::<&std::ffi::CStr>);
    if mount != Err(Errno::NOSYS) {
        return Err(format!("mount gave {mount:?}"));
    }
    for family in [AddressFamily::NETLINK, AddressFamily::VSOCK, AddressFamily::PACKET] {
        let made = rustix::net::socket(family, SocketType::DGRAM, None).map(drop);
        if made != Err(Errno::NOSYS) {
            return Err(format!("a socket of family {} gave {made:?}", family.as_raw()));
        }
    }
    let setuid = rustix::fs::chmod("/build/src/canary", rustix::fs::Mode::from_raw_mode(0o4755));
    if setuid == Err(Errno::NOSYS) { Ok(()) } else { Err(format!("chmod 4755 gave {setuid:?}")) }
}

/// gVisor answers with a kernel of its own.
fn other_kernel(host: &str) -> Found {
    let own = fs::read_to_string("/proc/sys/kernel/osrelease")
        .or_else(|_| Ok::<_, io::Error>(rustix::system::uname().release().to_string_lossy().into_owned()));
    match own {
        Ok(own) if own.trim() != host => Ok(()),
        _ => Err(format!("it runs on the host's kernel, {host}")),
    }
}
