//! Just enough ELF: is it dynamic, and which linker does it name?

use std::path::{Path, PathBuf};

pub(super) enum Kind {
    /// Dynamically linked; libraries name no linker.
    Dynamic(Option<PathBuf>),
    /// Statically linked, or an object.
    Static,
    /// A script and its interpreter.
    Script(PathBuf),
    /// Anything else.
    Other,
}

pub(super) fn kind(path: &Path) -> Kind {
    let bytes = std::fs::read(path).unwrap_or_default();
    if let Some(line) = bytes.strip_prefix(b"#!") {
        let line =
            String::from_utf8_lossy(line.split(|b| *b == b'\n').next().unwrap_or_default()).into_owned();
        return line.split_whitespace().next().map_or(Kind::Other, |i| Kind::Script(i.into()));
    }
    if !bytes.starts_with(b"\x7fELF\x02") {
        return Kind::Other;
    }
    headers(&bytes).unwrap_or(Kind::Static)
}

/// Reads the program headers of a 64-bit little-endian file.
fn headers(bytes: &[u8]) -> Option<Kind> {
    const DYNAMIC: u64 = 2;
    const INTERPRETER: u64 = 3;
    let number = |at: usize, width: usize| {
        let field = bytes.get(at..at.checked_add(width)?)?;
        field.iter().rev().try_fold(0_u64, |n, b| n.checked_mul(256)?.checked_add((*b).into()))
    };
    let start = usize::try_from(number(32, 8)?).ok()?;
    let (size, count) = (usize::try_from(number(54, 2)?).ok()?, usize::try_from(number(56, 2)?).ok()?);
    let (mut linker, mut is_dynamic) = (None, false);
    for index in 0..count {
        let at = start.checked_add(size.checked_mul(index)?)?;
        match number(at, 4)? {
            DYNAMIC => is_dynamic = true,
            INTERPRETER => {
                let offset = usize::try_from(number(at + 8, 8)?).ok()?;
                let length = usize::try_from(number(at + 32, 8)?).ok()?;
                let name = bytes.get(offset..offset.checked_add(length)?)?;
                let name = String::from_utf8_lossy(name.split(|b| *b == 0).next()?).into_owned();
                linker = Some(PathBuf::from(name));
            }
            _ => {}
        }
    }
    Some(if is_dynamic || linker.is_some() { Kind::Dynamic(linker) } else { Kind::Static })
}
