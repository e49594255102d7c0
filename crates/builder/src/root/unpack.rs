//! One entry of an archive into a root, without ever leaving the root.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Component, Path};
use std::time::Instant;

use super::meter::Meter;
use super::whiteout::{Whiteout, whiteout};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};

/// How deep a path may be.
const MAX_DEPTH: usize = 64;

/// Writes entries below one folder. Every path is resolved by the kernel as if that folder were `/`, so that a link in
/// an archive can lead nowhere else.
pub(super) struct Unpacker {
    root: OwnedFd,
    meter: Meter,
    looking: Meter,
    /// Whether the entries are an image's layer: it says what it takes away, and what it brings replaces what was there.
    is_layer: bool,
}

impl Unpacker {
    pub(super) fn new(root: &Path, deadline: Instant) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, root, flags, Mode::empty())?;
        let (meter, looking) = (Meter::until(deadline), Meter::until(deadline));
        Ok(Self { root, meter, looking, is_layer: false })
    }

    /// What unpacking may cost.
    pub(super) fn meter(&self) -> Meter {
        self.meter.clone()
    }

    /// What looking through layers for what they take away may cost.
    pub(super) fn looking(&self) -> Meter {
        self.looking.clone()
    }

    /// What follows is one layer of an image.
    pub(super) fn begin_layer(&mut self) {
        self.is_layer = true;
    }

    /// Takes away what an entry of a layer says is gone from the layers below; any other entry is left alone.
    pub(super) fn take_away<R: Read>(&self, entry: &tar::Entry<'_, R>) -> Result<(), String> {
        let path = entry.path().map_err(|e| e.to_string())?.into_owned();
        let shown = path.display().to_string().escape_debug().to_string();
        let parts = parts(&path).ok_or_else(|| format!("{shown}: a path that leaves the root"))?;
        let Some((name, folders)) = parts.split_last() else { return Ok(()) };
        let Some(what) = whiteout(name)? else { return Ok(()) };
        if !entry.header().entry_type().is_file() {
            return Err(format!("{shown}: a whiteout that is no file"));
        }
        let folder = if folders.is_empty() { ".".to_owned() } else { folders.join("/") };
        let folder = match self.open_folder(&folder) {
            // nothing of it is there any more
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(());
            }
            other => other.map_err(|e| format!("{shown}: {e}"))?,
        };
        let taken = match what {
            Whiteout::One(name) => remove_all(folder.as_fd(), name),
            Whiteout::All => empty(folder.as_fd()),
        };
        taken.map_err(|e| format!("{shown}: {e}"))
    }

    pub(super) fn entry<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> Result<(), String> {
        let path = entry.path().map_err(|e| e.to_string())?.into_owned();
        let shown = path.display().to_string().escape_debug().to_string();
        let failed = |e: io::Error| format!("{shown}: {e}");
        let parts = parts(&path).ok_or_else(|| format!("{shown}: a path that leaves the root"))?;
        let Some((name, folders)) = parts.split_last() else { return Ok(()) };
        if self.is_layer && whiteout(name)?.is_some() {
            return Ok(());
        }
        let parent = self.folders(folders).map_err(failed)?;
        let kind = entry.header().entry_type();
        // no set-user-id, no set-group-id, no sticky bit, and readable for whatever user the build runs as
        let mode = entry.header().mode().map_err(failed)? & 0o755 | 0o444;
        match kind {
            tar::EntryType::Directory => self.make_folder(parent.as_fd(), name).map_err(failed),
            tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                self.clear(parent.as_fd(), name).map_err(failed)?;
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = rustix::fs::openat(&parent, *name, flags, Mode::from_raw_mode(mode))
                    .map_err(|e| failed(e.into()))?;
                let mut file = File::from(file);
                self.meter.copy(entry, &mut file).map_err(failed)?;
                rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(|e| failed(e.into()))
            }
            tar::EntryType::Symlink => {
                let target = entry.link_name().map_err(failed)?.unwrap_or_default().into_owned();
                self.clear(parent.as_fd(), name).map_err(failed)?;
                rustix::fs::symlinkat(&target, &parent, *name).map_err(|e| failed(e.into()))
            }
            tar::EntryType::Link => {
                let target = entry.link_name().map_err(failed)?.unwrap_or_default().into_owned();
                self.hard_link(&target, parent.as_fd(), name).map_err(failed)
            }
            // the sandbox has devices of its own
            tar::EntryType::Char | tar::EntryType::Block if shown.contains("dev/") => Ok(()),
            tar::EntryType::XGlobalHeader => Ok(()),
            other => Err(format!("{shown}: an entry of a kind that no root needs ({other:?})")),
        }
    }

    fn hard_link(&self, target: &Path, parent: BorrowedFd<'_>, name: &str) -> io::Result<()> {
        let outside = || io::Error::from(io::ErrorKind::InvalidData);
        let parts = parts(target).ok_or_else(outside)?;
        let (from, folders) = parts.split_last().ok_or_else(outside)?;
        let folder = self.folders(folders)?;
        self.clear(parent, name)?;
        Ok(rustix::fs::linkat(&folder, *from, parent, name, AtFlags::empty())?)
    }

    /// Makes room for an entry.
    fn clear(&self, parent: BorrowedFd<'_>, name: &str) -> io::Result<()> {
        if self.is_layer { remove_all(parent, name) } else { remove(parent, name) }
    }

    fn make_folder(&self, parent: BorrowedFd<'_>, name: &str) -> io::Result<()> {
        if self.is_layer && is_link(parent, name) {
            remove(parent, name)?;
        }
        make_folder(parent, name)
    }

    /// A link that the definition asks for.
    pub(super) fn link(&mut self, path: &str, to: &str) -> Result<(), String> {
        let parts: Vec<&str> = path.split('/').collect();
        let Some((name, folders)) = parts.split_last() else { return Ok(()) };
        let made = self.folders(folders).and_then(|parent| {
            remove(parent.as_fd(), name)?;
            Ok(rustix::fs::symlinkat(to, &parent, *name)?)
        });
        made.map_err(|e| format!("the link {path}: {e}"))
    }

    /// The folder at a path, made where it is not there.
    fn folders(&self, parts: &[&str]) -> io::Result<OwnedFd> {
        let mut at = self.root.try_clone()?;
        let mut path = String::new();
        for part in parts {
            path = if path.is_empty() { (*part).to_owned() } else { format!("{path}/{part}") };
            at = match self.open_folder(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    rustix::fs::mkdirat(&at, *part, Mode::from_raw_mode(0o755))?;
                    self.open_folder(&path)?
                }
                other => other?,
            };
        }
        Ok(at)
    }

    fn open_folder(&self, path: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve)?)
    }
}

/// The names of a path below the root: no `..`, not too deep, and text.
fn parts(path: &Path) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    (parts.len() <= MAX_DEPTH).then_some(parts)
}

/// A folder that is there, be it through a link, stays: merged `/usr` is made of such links.
fn make_folder(parent: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
        Err(rustix::io::Errno::EXIST) => {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let kind = rustix::fs::fstat(rustix::fs::openat(parent, name, flags, Mode::empty())?)?.st_mode;
            let kind = rustix::fs::FileType::from_raw_mode(kind);
            if matches!(kind, rustix::fs::FileType::Directory | rustix::fs::FileType::Symlink) {
                return Ok(());
            }
            rustix::fs::unlinkat(parent, name, AtFlags::empty())?;
            Ok(rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))?)
        }
        other => Ok(other?),
    }
}

/// What a later archive brings replaces what an earlier one did.
fn remove(parent: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(rustix::io::Errno::ISDIR) => Err(io::Error::from(io::ErrorKind::IsADirectory)),
        Err(e) => Err(e.into()),
    }
}

fn is_link(parent: BorrowedFd<'_>, name: &str) -> bool {
    rustix::fs::readlinkat(parent, name, Vec::new()).is_ok()
}

/// Removes whatever is there, folders with all that they hold. No link is followed.
fn remove_all(parent: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let Err(e) = remove(parent, name) else { return Ok(()) };
    if e.kind() != io::ErrorKind::IsADirectory {
        return Err(e);
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    empty(rustix::fs::openat(parent, name, flags, Mode::empty())?.as_fd())?;
    Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

fn empty(folder: BorrowedFd<'_>) -> io::Result<()> {
    // the names first: a folder that is changed while it is listed may hide some
    let mut names = Vec::new();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    for entry in rustix::fs::Dir::new(rustix::fs::openat(folder, ".", flags, Mode::empty())?)? {
        let name = entry?.file_name().to_str().map(str::to_owned);
        names.push(name.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?);
    }
    names.retain(|name| !matches!(name.as_str(), "." | ".."));
    names.iter().try_for_each(|name| remove_all(folder, name))
}
