//! Roots on the disk: made once, used by many builds at a time, and swept only while nobody uses them.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::store::{Store, touch};

/// A root that stays where it is as long as this lives.
#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
    _used: File,
}

impl Root {
    /// The root of a name, which stands for everything that decides its content; `make` fills a new folder with it
    /// where it is not there yet.
    pub(crate) fn open<E>(
        store: &Store,
        name: &str,
        failed: impl Fn(io::Error) -> E,
        make: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<Self, E> {
        let roots = store.roots();
        fs::create_dir_all(&roots).map_err(&failed)?;
        let used = File::create(roots.join(format!("{name}.lock"))).map_err(&failed)?;
        used.lock_shared().map_err(&failed)?;
        let path = roots.join(name);
        if path.is_dir() {
            touch(&path).map_err(&failed)?;
            return Ok(Self { path, _used: used });
        }
        let work = roots.join(format!("{name}.{}-{:?}", std::process::id(), std::thread::current().id()));
        remove(&work).map_err(&failed)?;
        fs::create_dir(&work).map_err(&failed)?;
        let moved = make(&work).and_then(|()| {
            // a machine that goes down must not leave empty files under the name of a whole root
            File::open(&work).and_then(|f| Ok(rustix::fs::syncfs(f)?)).map_err(&failed)?;
            match fs::rename(&work, &path) {
                // another build was faster; what it made is the same
                Err(_) if path.is_dir() => Ok(()),
                other => other.map_err(&failed),
            }
        });
        remove(&work).ok();
        moved.map(|()| Self { path, _used: used })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Removes what is old and not in use now. It is made again where somebody needs it.
pub(crate) fn sweep(store: &Store, is_old: &dyn Fn(&Path) -> bool, is_dry: bool) -> io::Result<()> {
    let Ok(entries) = fs::read_dir(store.roots()) else { return Ok(()) };
    for path in entries.flatten().map(|e| e.path()).filter(|p| p.is_dir() && is_old(p)) {
        // a root that is being made is in use as the one that it becomes
        let Some(name) = path.file_name().and_then(|n| n.to_str()?.split('.').next()) else { continue };
        let used = File::create(store.roots().join(format!("{name}.lock")))?;
        if !is_dry && used.try_lock().is_ok() {
            // under another name first: half a root must never stand under the name of a whole one
            let doomed = store.roots().join(format!("{name}.swept-{}", std::process::id()));
            fs::rename(&path, &doomed)?;
            remove(&doomed)?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
