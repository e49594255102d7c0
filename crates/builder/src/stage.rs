//! A plan's inputs where a sandbox can see them.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown, lchown};
use std::path::{Path, PathBuf};

use crate::chain::{Chain, Proven};
use crate::definition::Input;
use crate::fetch::Fetcher;
use crate::git::Resolved;
use crate::orchestrate::BuildError;
use crate::plan::Plan;
use crate::root;
use crate::sandbox::BuildUser;
use crate::store::{Store, hash_file};

/// The inputs of one build, fetched, checked and laid out.
pub(crate) struct Stage {
    /// The root file system.
    pub(crate) root: root::Root,
    /// The folder that is `/build/inputs`.
    pub(crate) inputs: Option<PathBuf>,
    /// Which inputs are other builds' artifacts, and what proved it.
    pub(crate) proven: Vec<Proven>,
}

/// Fetches every input by its digest, and lays them out below `work`.
pub(crate) fn stage(
    plan: &Plan,
    store: &Store,
    fetcher: &dyn Fetcher,
    chain: Chain<'_>,
    work: &Path,
) -> Result<Stage, BuildError> {
    let mut archives = Vec::new();
    for input in &plan.toolchain {
        archives.push((input.digest.clone(), store.fetch(input, fetcher).map_err(BuildError::Input)?));
    }
    let root = root::prepare(store, &archives, &plan.links).map_err(BuildError::Root)?;
    let mut proven = Vec::new();
    let folder = work.join("inputs");
    for input in &plan.inputs {
        let (file, proof) = obtain(input, store, fetcher, chain)?;
        proven.extend(proof);
        let place = folder.join(&input.name);
        lay(&file, &place).map_err(|e| BuildError::Io(folder.clone(), e))?;
        // the copy is what the build reads: it is what must have the declared digest
        if hash_file(&place).map_err(BuildError::Input)? != input.digest {
            return Err(BuildError::Changed(input.name.clone()));
        }
    }
    let inputs = (!plan.inputs.is_empty()).then_some(folder);
    Ok(Stage { root, inputs, proven })
}

/// The file of an input, with what proved that it is another build's artifact.
pub(crate) fn obtain(
    input: &Input,
    store: &Store,
    fetcher: &dyn Fetcher,
    chain: Chain<'_>,
) -> Result<(PathBuf, Option<Proven>), BuildError> {
    let file = store.fetch(input, fetcher).map_err(BuildError::Input)?;
    let proof = input.built_by.as_ref().map(|builder| chain.prove(input, builder, store)).transpose()?;
    Ok((file, proof))
}

/// A copy that shares its blocks where the file system can, and never a hard link: a link's count and owner would show
/// one build something of another.
fn lay(file: &Path, place: &Path) -> io::Result<()> {
    fs::create_dir_all(place.parent().unwrap_or(place))?;
    fs::copy(file, place)?;
    fs::set_permissions(place, fs::Permissions::from_mode(0o444))
}

/// A fresh check-out of the commit that the build's user may write.
pub(crate) fn check_out(
    resolved: &Resolved,
    tree: &Path,
    user: Option<&BuildUser>,
) -> Result<(), BuildError> {
    resolved.check_out(tree).map_err(BuildError::Git)?;
    match user {
        Some(user) => hand_over(tree, user.id()).map_err(|e| BuildError::Io(tree.to_owned(), e)),
        None => Ok(()),
    }
}

fn hand_over(tree: &Path, user: u32) -> io::Result<()> {
    chown(tree, Some(user), Some(user))?;
    for entry in fs::read_dir(tree)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            hand_over(&entry.path(), user)?;
        } else {
            lchown(entry.path(), Some(user), Some(user))?;
        }
    }
    Ok(())
}
