//! How an image's layer says what it takes away from the layers below it (OCI image specification, "Whiteouts").

/// What an entry of a layer takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whiteout<'a> {
    /// This name in the entry's folder.
    One(&'a str),
    /// Everything in the entry's folder.
    All,
}

/// Reads an entry's name; nothing where it is an ordinary one.
///
/// # Errors
/// Why it cannot be honoured: a name that other implementations give another meaning.
pub(crate) fn whiteout(name: &str) -> Result<Option<Whiteout<'_>>, String> {
    let Some(hidden) = name.strip_prefix(".wh.") else { return Ok(None) };
    match hidden {
        ".wh..opq" => Ok(Some(Whiteout::All)),
        "" | "." | ".." => Err(format!("{name}: a whiteout of nothing")),
        other if other.starts_with(".wh.") => {
            Err(format!("{}: a whiteout of a kind that is not known here", name.escape_debug()))
        }
        other => Ok(Some(Whiteout::One(other))),
    }
}
