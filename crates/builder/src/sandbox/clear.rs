//! Removes what a build leaves, however deep its folders stand in one another.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Removes a folder with everything in it, once no process of the build is left. Folders in folders are first moved up
/// beside their parents: no path becomes long, and no descriptor is held for each level.
pub(crate) fn clear(tree: &Path) -> io::Result<()> {
    let mut number = 0_u64;
    let mut folders = vec![tree.to_owned()];
    let beside = tree.with_extension("removed");
    fs::create_dir_all(&beside)?;
    while let Some(folder) = folders.pop() {
        // a build may have left it closed to its own user, which is ours where we are not root
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                fs::remove_file(entry.path())?;
                continue;
            }
            number += 1;
            let place = beside.join(number.to_string());
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o700))?;
            fs::rename(entry.path(), &place)?;
            folders.push(place);
        }
        fs::remove_dir(&folder)?;
    }
    fs::remove_dir(&beside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_no_path_reaches_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("src");
        fs::create_dir(&tree).unwrap();
        // from the inside out, for no path reaches in
        let (name, spare) = ("d".repeat(200), dir.path().join("spare"));
        for level in 0..60 {
            fs::create_dir_all(&spare).unwrap();
            fs::write(spare.join("file"), level.to_string()).unwrap();
            if tree.join(&name).exists() {
                fs::rename(tree.join(&name), spare.join(&name)).unwrap();
            }
            fs::rename(&spare, tree.join(&name)).unwrap();
        }
        assert!(fs::metadata(tree.join(vec![name.as_str(); 60].join("/"))).is_err(), "the path is too long");
        clear(&tree).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
