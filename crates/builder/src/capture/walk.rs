//! Files with every folder and link on the way to them, and the archive of them.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

enum Entry {
    Folder,
    Link(PathBuf),
    File,
}

/// What goes into the archive, by absolute path.
#[derive(Default)]
pub(super) struct Files(BTreeMap<PathBuf, Entry>);

impl Files {
    /// Walks to a path name by name, as the kernel would, and takes everything on the way: so merged and unmerged
    /// `/usr`, `/lib64` and `/etc/alternatives` need no special case. Gives the real path.
    pub(super) fn add(&mut self, path: &Path) -> Option<PathBuf> {
        let mut rest: VecDeque<OsString> = names(path);
        let mut current = PathBuf::from("/");
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                current.pop();
                continue;
            }
            let next = current.join(&name);
            let metadata = fs::symlink_metadata(&next).ok()?;
            if metadata.is_symlink() {
                links += 1;
                if links > 40 {
                    return None;
                }
                let target = fs::read_link(&next).ok()?;
                for name in names(&target).into_iter().rev() {
                    rest.push_front(name);
                }
                if target.is_absolute() {
                    current = PathBuf::from("/");
                }
                self.0.insert(next, Entry::Link(target));
            } else if metadata.is_dir() {
                self.0.insert(next.clone(), Entry::Folder);
                current = next;
            } else {
                self.0.insert(next.clone(), Entry::File);
                return rest.is_empty().then_some(next);
            }
        }
        Some(current)
    }

    /// Everything below a folder.
    pub(super) fn add_tree(&mut self, folder: &Path) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for path in entries.filter_map(|e| e.ok().map(|e| e.path())) {
            let is_known = self.0.contains_key(&path);
            self.add(&path);
            if path.is_dir() && !path.is_symlink() && !is_known {
                self.add_tree(&path);
            }
        }
    }

    /// Writes the archive: sorted, without times and owners, with two modes.
    pub(super) fn write(&self, out: &Path) -> io::Result<()> {
        let mut archive = tar::Builder::new(BufWriter::new(File::create(out)?));
        for (path, entry) in &self.0 {
            let name = path.strip_prefix("/").unwrap_or(path);
            let mut header = tar::Header::new_gnu();
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(0);
            header.set_mode(0o755);
            match entry {
                Entry::Folder => {
                    header.set_entry_type(tar::EntryType::Directory);
                    archive.append_data(&mut header, name, io::empty())?;
                }
                Entry::Link(target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_mode(0o777);
                    archive.append_link(&mut header, name, target)?;
                }
                Entry::File => {
                    let file = File::open(path)?;
                    let metadata = file.metadata()?;
                    let is_program = metadata.permissions().mode() & 0o111 != 0;
                    header.set_mode(if is_program { 0o755 } else { 0o644 });
                    header.set_size(metadata.len());
                    archive.append_data(&mut header, name, file)?;
                }
            }
        }
        let mut writer = archive.into_inner()?;
        writer.flush()?;
        writer.get_ref().sync_all()
    }
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|c| match c {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}
