//! What provenance promises to keep, written down: source and inputs until a day, so that a build can be done again and
//! looked into. A sweeper deletes the rest, and never what is still promised.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use attest::json::{ShapeError, each};
use attest::time::{Span, parse_time};
use attest::{Digest, Json, Object};
use jiff::Timestamp;

use crate::git;
use crate::record::BuildRecord;
use crate::store::{INPUTS, OUTPUTS, Store, StoreError};

/// One promise: about one output of one build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The artifact's name.
    pub name: String,
    /// Its digest.
    pub artifact: Digest,
    /// Its provenance's bundle.
    pub bundle: Digest,
    /// The repository.
    pub repository: String,
    /// The commit, in hex.
    pub commit: String,
    /// Every input.
    pub inputs: Vec<Digest>,
    /// When it was built.
    pub built: Timestamp,
    /// Until when everything above is kept.
    pub until: Timestamp,
}

/// What a sweep deleted, or would.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Files of the store.
    pub files: Vec<Digest>,
    /// Commits, each with its repository.
    pub commits: Vec<(String, String)>,
    /// How many bytes the files had.
    pub bytes: u64,
}

impl Lease {
    /// The promise that a record makes.
    #[must_use]
    pub fn of(record: &BuildRecord, bundle: &Digest) -> Self {
        let provenance = &record.provenance;
        let source = provenance.source.clone().unwrap_or_default();
        let built = provenance.finished.unwrap_or(Timestamp::UNIX_EPOCH);
        Self {
            name: record.name.clone(),
            artifact: record.digest.clone(),
            bundle: bundle.clone(),
            repository: source.repository.clone(),
            commit: source.commit().map(|c| c.hex()).unwrap_or_default(),
            inputs: provenance.dependencies.iter().filter_map(|d| d.digests.first()).collect(),
            built,
            until: source.kept_until.unwrap_or(built),
        }
    }

    /// Writes it durably.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn write(&self, store: &Store) -> Result<(), StoreError> {
        let folder = store.folder("leases");
        let path = folder.join(format!("{}.json", self.bundle.hex()));
        let failed = |e| StoreError::Io(path.clone(), e);
        fs::create_dir_all(&folder).map_err(failed)?;
        tlog::write_durably(&path, self.to_json().to_string().as_bytes()).map_err(failed)
    }

    /// All that were made, oldest first. One that cannot be read is an error: nothing may be deleted in doubt.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn all(store: &Store) -> Result<Vec<Self>, StoreError> {
        let mut leases = Vec::new();
        for path in list(&store.folder("leases"))? {
            // a file that was being written when the machine went down was never promised
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            let failed = |e| StoreError::Io(path.clone(), e);
            let bytes = fs::read(&path).map_err(failed)?;
            let wrong = |e: String| failed(io::Error::new(io::ErrorKind::InvalidData, e));
            let json = attest::json::parse(&bytes).map_err(|e| wrong(e.to_string()))?;
            leases.push(Self::read(&json).map_err(|e| wrong(e.to_string()))?);
        }
        leases.sort_by_key(|l| l.built);
        Ok(leases)
    }

    /// As it is written and shown.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let inputs: Vec<String> = self.inputs.iter().map(Digest::to_string).collect();
        Object::new()
            .with("name", self.name.as_str())
            .with("artifact", self.artifact.to_string())
            .with("bundle", self.bundle.to_string())
            .with("repository", self.repository.as_str())
            .with("commit", self.commit.as_str())
            .with("inputs", inputs)
            .with("built", self.built.to_string())
            .with("until", self.until.to_string())
            .into()
    }

    fn read(json: &Json) -> Result<Self, ShapeError> {
        let object = json.as_object()?;
        let digest =
            |text: &str| Digest::parse(text).map_err(|e| ShapeError::new("", "a digest", &e.to_string()));
        let time = |key: &str| {
            let text = object.string(key)?;
            parse_time(text).ok_or_else(|| ShapeError::new(key, "a time in UTC", text))
        };
        Ok(Self {
            name: object.string("name")?.to_owned(),
            artifact: digest(object.string("artifact")?)?,
            bundle: digest(object.string("bundle")?)?,
            repository: object.string("repository")?.to_owned(),
            commit: object.string("commit")?.to_owned(),
            inputs: each("inputs", object.array("inputs")?, |i| digest(i.as_str()?))?,
            built: time("built")?,
            until: time("until")?,
        })
    }
}

/// Deletes files, commits and roots that nobody was promised, unless they were used within `grace`: a build that runs
/// now has not made its promise yet.
///
/// # Errors
/// [`StoreError::Io`]; where a lease cannot be read, nothing is deleted.
pub fn sweep(store: &Store, now: Timestamp, grace: Span, is_dry: bool) -> Result<Swept, StoreError> {
    let (kept, over): (Vec<Lease>, Vec<Lease>) = Lease::all(store)?.into_iter().partition(|l| l.until >= now);
    let digests: BTreeSet<String> =
        kept.iter().flat_map(|l| l.inputs.iter().chain([&l.artifact, &l.bundle])).map(Digest::hex).collect();
    let commits: BTreeSet<(&str, &str)> =
        kept.iter().map(|l| (l.repository.as_str(), l.commit.as_str())).collect();
    let mut swept = Swept::default();
    let is_old = |path: &Path| {
        let age = fs::symlink_metadata(path)
            .and_then(|m| m.modified())
            .ok()
            .and_then(|t| Timestamp::try_from(t).ok());
        age.is_some_and(|t| Span::between(t, now) > grace)
    };
    for folder in [INPUTS, OUTPUTS] {
        sweep_files(&store.folder(folder), &digests, &is_old, is_dry, &mut swept)?;
    }
    // roots are made of inputs, and made again where somebody needs them
    crate::root::sweep(store, &is_old, is_dry).map_err(|e| StoreError::Io(store.roots(), e))?;
    sweep_sources(store, &commits, &is_old, is_dry, &mut swept)?;
    if !is_dry {
        for lease in over {
            remove(&store.folder("leases").join(format!("{}.json", lease.bundle.hex())), false)?;
        }
    }
    Ok(swept)
}

fn sweep_files(
    folder: &Path,
    kept: &BTreeSet<String>,
    is_old: &dyn Fn(&Path) -> bool,
    is_dry: bool,
    swept: &mut Swept,
) -> Result<(), StoreError> {
    for path in list(folder)? {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        // where a file came from is told as long as the file is there
        let is_of_another = path.extension().is_some_and(|e| e == "from") && path.with_extension("").exists();
        if kept.contains(&name) || is_of_another || !is_old(&path) {
            continue;
        }
        swept.bytes += fs::metadata(&path).map(|m| m.len()).unwrap_or(0);
        swept.files.extend(Digest::from_hex(attest::Algorithm::Sha256, &name));
        remove(&path, is_dry)?;
        let origin = path.with_added_extension("from");
        if origin.exists() {
            remove(&origin, is_dry)?;
        }
    }
    Ok(())
}

fn sweep_sources(
    store: &Store,
    kept: &BTreeSet<(&str, &str)>,
    is_old: &dyn Fn(&Path) -> bool,
    is_dry: bool,
    swept: &mut Swept,
) -> Result<(), StoreError> {
    for dir in
        list(&store.folder("source"))?.into_iter().filter(|p| p.extension().is_some_and(|e| e == "git"))
    {
        let failed = |e: git::GitError| StoreError::Io(dir.clone(), io::Error::other(e.to_string()));
        let repository = fs::read_to_string(dir.join("portcullis")).unwrap_or_default();
        let mut gone = false;
        for (commit, touched) in git::snapshots(&dir).map_err(failed)? {
            let is_kept = kept.contains(&(repository.as_str(), commit.as_str()));
            if is_kept || !is_old(&touched) {
                continue;
            }
            if !is_dry {
                git::forget(&dir, &commit).map_err(failed)?;
            }
            gone = true;
            swept.commits.push((repository.clone(), commit));
        }
        if gone && !is_dry {
            git::collect(&dir).map_err(failed)?;
        }
    }
    Ok(())
}

fn remove(path: &Path, is_dry: bool) -> Result<(), StoreError> {
    if is_dry {
        return Ok(());
    }
    let is_folder = path.is_dir() && !path.is_symlink();
    let removed = if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.map_err(|e| StoreError::Io(path.to_owned(), e))
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    match fs::read_dir(folder) {
        Ok(entries) => {
            let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
            paths.sort();
            Ok(paths)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(StoreError::Io(folder.to_owned(), e)),
    }
}
