//! What every configuration here reads: lists, files, addresses, sizes, spans.

use std::net::ToSocketAddrs as _;
use std::path::PathBuf;

use attest::time::Span;
use attest::yaml::{Fields, Node, Problems};

use crate::config::KeyPair;

/// The items of a list that may be absent.
pub(crate) fn list<T>(
    fields: &Fields<'_>,
    key: &str,
    problems: &mut Problems,
    read: impl Fn(&Node, &mut Problems) -> Option<T>,
) -> Vec<T> {
    let items = fields.optional(key).and_then(|n| problems.keep(n.list())).unwrap_or_default();
    items.iter().filter_map(|item| read(item, problems)).collect()
}

/// A string that must be there.
pub(crate) fn text(fields: &Fields<'_>, key: &str, problems: &mut Problems) -> Option<String> {
    let node = fields.required(key, problems)?;
    problems.keep(node.string()).map(str::to_owned)
}

/// A file that must be named.
pub(crate) fn path(fields: &Fields<'_>, key: &str, problems: &mut Problems) -> Option<PathBuf> {
    text(fields, key, problems).map(PathBuf::from)
}

/// `listen`: an address, never a name.
pub(crate) fn address(fields: &Fields<'_>, problems: &mut Problems) -> Option<String> {
    let node = fields.required("listen", problems)?;
    let text = problems.keep(node.string())?;
    // a name would be looked up: an address is what it says
    if text.parse::<std::net::SocketAddr>().is_err() || text.to_socket_addrs().is_err() {
        problems.push(node.mismatch("an address and a port, as in 127.0.0.1:8443"));
        return None;
    }
    Some(text.to_owned())
}

/// `{ certificate: FILE, key: FILE }`.
pub(crate) fn key_pair(node: &Node, problems: &mut Problems) -> Option<KeyPair> {
    let fields = Fields::read(node, "a key pair", &["certificate", "key"], problems)?;
    let (certificate, key) = (path(&fields, "certificate", problems), path(&fields, "key", problems));
    Some(KeyPair { certificate: certificate?, key: key? })
}

/// A size, as in `64MiB`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let (number, unit) = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)]
        .iter()
        .find_map(|(name, unit)| text.strip_suffix(name).map(|number| (number, *unit)))?;
    let is_number = !number.is_empty() && number.len() <= 6 && number.bytes().all(|b| b.is_ascii_digit());
    if is_number { number.parse::<u64>().ok().filter(|n| *n > 0).map(|n| n * unit) } else { None }
}


/// A span of time, or what counts where it is absent.
pub(crate) fn span(fields: &Fields<'_>, key: &str, otherwise: Span, problems: &mut Problems) -> Option<Span> {
    let Some(node) = fields.optional(key) else { return Some(otherwise) };
    let parsed = Span::parse(problems.keep(node.string())?);
    problems.keep(parsed.ok_or_else(|| node.mismatch("a span of time, as in 10s")))
}

/// A whole number, or what counts where it is absent.
pub(crate) fn number(
    fields: &Fields<'_>,
    key: &str,
    (least, most, otherwise): (u64, u64, u64),
    problems: &mut Problems,
) -> Option<usize> {
    let number = match fields.optional(key) {
        None => otherwise,
        Some(node) => problems.keep(node.number(least, most))?,
    };
    usize::try_from(number).ok()
}

/// Strings of a list that may be absent; nothing where one is no string.
pub(crate) fn words(fields: &Fields<'_>, key: &str, problems: &mut Problems) -> Option<Vec<String>> {
    let Some(node) = fields.optional(key) else { return Some(Vec::new()) };
    Some(problems.keep(node.strings())?.into_iter().map(|(word, _)| word).collect())
}
