//! What the layers below hold, by path: enough to say what a file upon them would meet.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Component, Path};
use std::time::Instant;

use crate::root::{Meter, PATIENCE, Whiteout, whiteout};

/// What a base may hold.
const MAX_ENTRIES: usize = 2_000_000;

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    Link,
    Other,
}

/// The paths of one or more layers.
#[derive(Debug, Default)]
pub(super) struct Tree(BTreeMap<String, Kind>);

impl Tree {
    pub(super) fn get(&self, path: &str) -> Option<Kind> {
        self.0.get(path).copied()
    }

    /// Puts a layer upon those that are there: first what it takes away from them, then what it brings.
    pub(super) fn add(&mut self, layer: impl Read) -> Result<(), String> {
        let mut brings = Vec::new();
        let meter = Meter::until(Instant::now() + PATIENCE);
        meter.each(layer, |entry| {
            let path = path(&entry.path().map_err(|e| e.to_string())?)?;
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
            match whiteout(name)? {
                Some(Whiteout::One(name)) if folder.is_empty() => self.take_away(name),
                Some(Whiteout::One(name)) => self.take_away(&format!("{folder}/{name}")),
                Some(Whiteout::All) => self.empty(folder),
                None if path.is_empty() => {}
                None => {
                    let kind = match entry.header().entry_type() {
                        tar::EntryType::Directory => Kind::Folder,
                        tar::EntryType::Symlink => Kind::Link,
                        tar::EntryType::XGlobalHeader => return Ok(()),
                        _ => Kind::Other,
                    };
                    brings.push((path, kind));
                }
            }
            if brings.len() + self.0.len() > MAX_ENTRIES {
                return Err(format!("it holds more than {MAX_ENTRIES} entries"));
            }
            Ok(())
        })?;
        for (path, kind) in brings {
            self.put(path, kind);
        }
        Ok(())
    }

    fn put(&mut self, path: String, kind: Kind) {
        for parent in parents(&path) {
            self.0.entry(parent.to_owned()).or_insert(Kind::Folder);
        }
        if kind != Kind::Folder || self.get(&path) != Some(Kind::Folder) {
            self.take_away(&path);
        }
        self.0.insert(path, kind);
    }

    fn take_away(&mut self, path: &str) {
        self.0.remove(path);
        self.empty(path);
    }

    fn empty(&mut self, folder: &str) {
        let below = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let gone = self.0.range(below.clone()..).map(|(path, _)| path);
        let gone: Vec<String> = gone.take_while(|path| path.starts_with(&below)).cloned().collect();
        for path in gone {
            self.0.remove(&path);
        }
    }
}

/// The folders that a path lies in, the outermost first.
pub(super) fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').filter_map(|(at, _)| path.get(..at))
}

fn path(path: &Path) -> Result<String, String> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => parts.push(name.to_string_lossy()),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(format!(
                    "{}: a path that leaves the root",
                    path.display().to_string().escape_debug()
                ));
            }
        }
    }
    Ok(parts.join("/"))
}
