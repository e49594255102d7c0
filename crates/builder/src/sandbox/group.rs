//! Limits on all processes of a build together, where the kernel lets us set them: a control group, version 1 or 2.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::definition::Limits;

const MOUNT: &str = "/sys/fs/cgroup";
/// How often a group that is still busy is killed and removed, before it is left to the next start.
const REMOVALS: u32 = 250;

/// A control group of one build. Dropping it kills what is left in it, and removes it.
#[derive(Debug)]
pub(super) struct Group {
    version: u8,
    /// Where memory and processes are limited: two folders in version 1, one in version 2.
    memory: PathBuf,
    processes: PathBuf,
}

impl Group {
    /// A new group, or nothing where this user may not make one.
    pub(super) fn create(limits: &Limits) -> Option<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("portcullis-{}-{number}", std::process::id());
        let mount = Path::new(MOUNT);
        let is_second = mount.join("cgroup.controllers").exists();
        let group = if is_second {
            // may be refused where it is on already
            fs::write(mount.join("cgroup.subtree_control"), "+memory +pids").ok();
            Self { version: 2, memory: mount.join(&name), processes: mount.join(&name) }
        } else {
            let at = |controller: &str| mount.join(controller).join(&name);
            Self { version: 1, memory: at("memory"), processes: at("pids") }
        };
        group.set_up(limits).ok().map(|()| group)
    }

    fn set_up(&self, limits: &Limits) -> io::Result<()> {
        for folder in self.folders() {
            fs::create_dir(folder)?;
        }
        let (memory, swap) = match self.version {
            2 => ("memory.max", "memory.swap.max"),
            _ => ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
        };
        write_and_read(&self.memory.join(memory), &(limits.memory & !0xffff).to_string())?;
        write_and_read(&self.processes.join("pids.max"), &limits.processes.to_string())?;
        // a kernel that does not account for swap has no such file
        let swap_limit = if self.version == 2 { 0 } else { limits.memory };
        fs::write(self.memory.join(swap), swap_limit.to_string()).ok();
        Ok(())
    }

    fn folders(&self) -> Vec<&Path> {
        let mut folders = vec![self.memory.as_path(), self.processes.as_path()];
        folders.dedup();
        folders
    }

    /// The files into which a process writes its id to join.
    pub(super) fn doors(&self) -> Vec<String> {
        self.folders().iter().map(|f| f.join("cgroup.procs").display().to_string()).collect()
    }

    /// The processes in it, as far as they can be listed.
    pub(super) fn processes(&self) -> Vec<u32> {
        let listed = fs::read_to_string(self.processes.join("cgroup.procs")).unwrap_or_default();
        listed.lines().filter_map(|l| l.parse().ok()).collect()
    }

    /// Which limit was reached, in words.
    pub(super) fn reached(&self, limits: &Limits) -> Option<String> {
        let count = |path: PathBuf, key: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find_map(|l| l.strip_prefix(key)?.trim().parse::<u64>().ok());
            line.unwrap_or(0)
        };
        let killed = match self.version {
            2 => count(self.memory.join("memory.events"), "oom_kill "),
            _ => count(self.memory.join("memory.oom_control"), "oom_kill "),
        };
        if killed > 0 {
            return Some(format!("it used more memory than {} MiB", limits.memory >> 20));
        }
        let refused = count(self.processes.join("pids.events"), "max ");
        (refused > 0).then(|| format!("it wanted more than {} processes at once", limits.processes))
    }

    /// Kills every process in the group; gives whether none is left.
    pub(super) fn kill(&self) -> bool {
        for _ in 0..200 {
            if self.version == 2 {
                fs::write(self.memory.join("cgroup.kill"), "1").ok();
            }
            let mut left = 0;
            for folder in self.folders() {
                let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
                for process in text.lines().filter_map(|l| l.parse().ok()) {
                    left += 1;
                    if let Some(process) = rustix::process::Pid::from_raw(process) {
                        rustix::process::kill_process(process, rustix::process::Signal::KILL).ok();
                    }
                }
            }
            if left == 0 {
                return true;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        false
    }
}

impl Drop for Group {
    /// A killed process stays in its group until its parent has taken note, and a loaded machine takes its time for that:
    /// what is busy is tried again.
    fn drop(&mut self) {
        for _ in 0..REMOVALS {
            self.kill();
            let remove = |folder: &&Path| match fs::remove_dir(folder) {
                Err(e) => e.kind() != io::ErrorKind::NotFound,
                Ok(()) => false,
            };
            if self.folders().iter().filter(|folder| remove(folder)).count() == 0 {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// A limit that was not taken is no limit.
fn write_and_read(path: &Path, value: &str) -> io::Result<()> {
    fs::write(path, value)?;
    if fs::read_to_string(path)?.trim() == value {
        Ok(())
    } else {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}
