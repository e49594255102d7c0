//! Releases in a folder: each in `releases/DIGEST`, and `current`, a link to one of them, which is switched in one step.
//!
//! What is unpacked are verified bytes, and still it is unpacked as if they were not: below one folder, by names of files
//! and folders, with links that cannot lead out.

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use attest::{Algorithm, Digest};
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, ResolveFlags};

use super::members;
use super::sealed::Sealed;
use crate::failure::Failure;

/// What one release may cost.
const MAX_ENTRIES: usize = 200_000;
const MAX_BYTES: u64 = 16 << 30;
const MAX_DEPTH: usize = 64;
const CURRENT: &str = "current";

/// The folder of one service's releases.
#[derive(Clone, Debug)]
pub(super) struct Releases {
    dir: PathBuf,
}

impl Releases {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The digest of the release that `current` leads to.
    pub(super) fn current(&self) -> Option<Digest> {
        let link = fs::read_link(self.dir.join(CURRENT)).ok()?;
        let name = link.strip_prefix("releases").ok()?.to_str()?;
        Digest::from_hex(Algorithm::Sha256, name).ok()
    }

    /// Unpacks a release beside those that are there, whole and on disk before it has its name; then `current` leads to
    /// it. One that is there already is replaced: what somebody did to it since is gone.
    pub(super) fn switch(&self, archive: &Sealed) -> Result<PathBuf, Failure> {
        let name = archive.digests().get(Algorithm::Sha256).map(|digest| digest.hex()).unwrap_or_default();
        let releases = self.dir.join("releases");
        let failed = |e: io::Error| Failure::io("switch the release in", &self.dir, &e);
        crate::keys::folder(&releases)?;
        let lock = File::create(self.dir.join(".lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let (partial, release) = (releases.join(format!(".{name}.partial")), releases.join(&name));
        remove(&partial).map_err(failed)?;
        fs::create_dir(&partial).map_err(failed)?;
        unpack(archive, &partial).map_err(|why| {
            remove(&partial).ok();
            Failure::new("the admitted archive cannot be unpacked; nothing was switched").line("found", &why).line(
                "fix",
                "deploy a tar, or a tar.gz, of files, folders and links that stay in it; it must be built and reviewed anew",
            )
        })?;
        put(&partial, &release).map_err(failed)?;
        self.lead_to(&name).map_err(failed)?;
        Ok(release)
    }

    fn lead_to(&self, name: &str) -> io::Result<()> {
        let (new, current) = (self.dir.join(".current.new"), self.dir.join(CURRENT));
        remove(&new)?;
        symlink(Path::new("releases").join(name), &new)?;
        fs::rename(&new, &current)?;
        sync(&self.dir)
    }
}

/// Gives a whole folder its name, in one step, and takes away what had it.
pub(super) fn put(partial: &Path, release: &Path) -> io::Result<()> {
    rustix::fs::syncfs(File::open(partial)?)?;
    let flags = if release.exists() { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
    rustix::fs::renameat_with(CWD, partial, CWD, release, flags)?;
    if let Some(folder) = release.parent() {
        sync(folder)?;
    }
    remove(partial)
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Whatever is there, and nothing that it leads to.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn unpack(archive: &Sealed, into: &Path) -> Result<(), String> {
    fs::set_permissions(into, Permissions::from_mode(0o755)).map_err(|e| e.to_string())?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, into, flags, Mode::empty()).map_err(|e| e.to_string())?;
    let stream = members::stream(archive, MAX_BYTES).map_err(|e| e.to_string())?;
    let mut archive = tar::Archive::new(stream);
    let mut count = 0_usize;
    for entry in archive.entries().map_err(|e| e.to_string())? {
        let mut entry = entry.map_err(|e| e.to_string())?;
        count += 1;
        if count > MAX_ENTRIES {
            return Err(format!("more than {MAX_ENTRIES} entries"));
        }
        let shown = policy::one_line(&String::from_utf8_lossy(&entry.path_bytes()));
        put_entry(&root, &mut entry).map_err(|why| format!("{shown}: {why}"))?;
    }
    // an archive that was cut to nothing, or is none, must not pass for an empty release
    if count == 0 { Err("there is nothing in it".to_owned()) } else { Ok(()) }
}

fn put_entry(root: &OwnedFd, entry: &mut tar::Entry<'_, impl Read>) -> Result<(), String> {
    let kind = entry.header().entry_type();
    if kind == tar::EntryType::XGlobalHeader {
        return Ok(());
    }
    let path = entry.path().map_err(|e| e.to_string())?.into_owned();
    let parts = parts(&path).ok_or("its name leads out of the archive, or is no text, or too deep")?;
    let Some((name, folders)) = parts.split_last() else { return Ok(()) };
    let parent = folder(root, folders).map_err(|e| e.to_string())?;
    match kind {
        tar::EntryType::Directory => folder(root, &parts).map(drop).map_err(|e| e.to_string()),
        tar::EntryType::Regular | tar::EntryType::Continuous => {
            // no set-user-id, no set-group-id, no sticky bit
            let mode = entry.header().mode().map_err(|e| e.to_string())? & 0o755;
            file(&parent, name, mode, entry).map_err(|e| e.to_string())
        }
        tar::EntryType::Symlink => {
            let target = entry.link_name().map_err(|e| e.to_string())?.unwrap_or_default().into_owned();
            if !stays(&target, folders.len()) {
                return Err(format!(
                    "a link to {}, which may lead out",
                    policy::one_line(&target.to_string_lossy())
                ));
            }
            rustix::fs::symlinkat(&target, &parent, *name).map_err(|e| e.to_string())
        }
        tar::EntryType::Link => Err("a hard link; pack it with --hard-dereference".to_owned()),
        _ => Err("neither a file, a folder nor a link".to_owned()),
    }
}

fn file(parent: &OwnedFd, name: &str, mode: u32, entry: &mut tar::Entry<'_, impl Read>) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o600))?;
    let mut file = File::from(file);
    let size = entry.size();
    if io::copy(entry, &mut file)? != size {
        return Err(io::Error::other(format!(
            "it breaks off, or the archive holds more than {} GiB",
            MAX_BYTES >> 30
        )));
    }
    file.set_permissions(Permissions::from_mode(mode))
}

/// The folder below the root, made where it is not there; no link is followed, whoever made it.
fn folder(root: &OwnedFd, parts: &[&str]) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let mut at = root.try_clone()?;
    for part in parts {
        match rustix::fs::mkdirat(&at, *part, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(e) => return Err(e.into()),
        }
        at = rustix::fs::openat2(at.as_fd(), *part, flags, Mode::empty(), resolve)?;
    }
    Ok(at)
}

/// The names of a path below the root.
fn parts(path: &Path) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::CurDir => {}
            Component::RootDir | Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    (parts.len() <= MAX_DEPTH).then_some(parts)
}

/// Whether a link that lies so deep stays below the root: first up, and not too far, then only down. A `..` behind a name
/// could come from wherever another link led.
fn stays(target: &Path, depth: usize) -> bool {
    let (mut up, mut is_down) = (0, false);
    for component in target.components() {
        match component {
            Component::ParentDir if !is_down => up += 1,
            Component::Normal(_) => is_down = true,
            Component::CurDir => {}
            _ => return false,
        }
    }
    up <= depth && !target.as_os_str().is_empty()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::stays;

    #[test]
    fn a_link_goes_up_first_and_not_too_far() {
        for (target, depth, is_well) in [
            ("a", 0, true),
            ("../a", 1, true),
            ("../../lib/a", 2, true),
            ("./a/b", 0, true),
            ("../a", 0, false),
            ("../../a", 1, false),
            ("a/../b", 3, false),
            ("/etc/passwd", 3, false),
            ("", 3, false),
        ] {
            assert_eq!(stays(Path::new(target), depth), is_well, "{target} at {depth}");
        }
    }
}
