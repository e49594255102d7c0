//! The files below a folder of links, as bytes: what they are worth is decided elsewhere.

use std::fs;
use std::path::Path;

use translate::layout::Links;

use crate::failure::Failure;
use crate::input;

/// As deep as layouts in layouts are verified.
const MAX_DEPTH: usize = 4;
const MAX_FILES: usize = 5000;
const MAX_LINK: u64 = 16 << 20;
const MAX_BYTES: usize = 256 << 20;

pub(crate) fn read(dir: &Path) -> Result<Links, Failure> {
    let mut links = Links::new();
    let mut bytes = 0;
    below(dir, "", 0, &mut links, &mut bytes)?;
    Ok(links)
}

fn below(
    dir: &Path,
    prefix: &str,
    depth: usize,
    links: &mut Links,
    bytes: &mut usize,
) -> Result<(), Failure> {
    let failed = |e| Failure::io("read the links in", dir, &e);
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // a name that is no text is no step's
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = format!("{prefix}{name}");
        if entry.file_type().map_err(failed)?.is_dir() {
            if depth + 1 < MAX_DEPTH {
                below(&entry.path(), &format!("{path}/"), depth + 1, links, bytes)?;
            }
        } else if name.ends_with(".link") {
            let link = input::read("link", &entry.path(), MAX_LINK)?;
            *bytes += link.len();
            links.insert(path, link);
        }
        if links.len() > MAX_FILES || *bytes > MAX_BYTES {
            return Err(Failure::new(&format!("there are too many links in {}", dir.display()))
                .line("wanted", &format!("at most {MAX_FILES} files and {MAX_BYTES} bytes"))
                .line("fix", "name the folder with the links of this layout alone"));
        }
    }
    Ok(())
}
