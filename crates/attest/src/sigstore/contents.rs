//! What a trusted root trusts, part by part, for people who review a change of one.

use std::fmt;

use crate::digest::Digest;
use crate::dsse::base64;
use crate::json::{Limits, Object, ShapeError, each, parse_with};

const KINDS: [(&str, &str); 4] = [
    ("certificateAuthorities", "certificate authority"),
    ("ctlogs", "certificate log"),
    ("tlogs", "log"),
    ("timestampAuthorities", "timestamp authority"),
];

/// An authority or a log of an instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// What it is, in words.
    pub kind: &'static str,
    /// Where it is, or what it calls itself; anybody may call himself so.
    pub name: String,
    /// SHA-256 of its key, or of its certificates one after another: what it is known by.
    pub id: String,
    /// First moment at which it counts, as it is written.
    pub from: Option<String>,
    /// Last moment at which it counts.
    pub until: Option<String>,
}

/// In what one trusted root is another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// It is trusted now.
    Added(Part),
    /// It is not trusted any more: what it vouched for does not open any more.
    Removed(Part),
    /// It counts at other times; first as it was.
    Window(Part, Part),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = self.id.get(..12).unwrap_or(&self.id);
        write!(f, "{} {} ({short}…), {}", self.kind, self.name, self.window())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(part) => write!(f, "added:   {part}"),
            Self::Removed(part) => write!(f, "removed: {part}"),
            Self::Window(before, after) => write!(f, "window:  {after}; before, {}", before.window()),
        }
    }
}

impl Part {
    fn window(&self) -> String {
        let from = self.from.as_deref().unwrap_or("always");
        format!("from {from} until {}", self.until.as_deref().unwrap_or("further notice"))
    }
}

/// The parts of a trusted root, in the order of its sections.
///
/// # Errors
/// [`ShapeError`] for text that is no trusted root.
pub fn contents(text: &str) -> Result<Vec<Part>, ShapeError> {
    let none = |e: &dyn fmt::Display| ShapeError::new("", "the JSON of a trusted root", &e.to_string());
    let json = parse_with(text.as_bytes(), Limits::default()).map_err(|e| none(&e))?;
    let root = json.as_object()?;
    let mut parts = Vec::new();
    for (section, kind) in KINDS {
        parts.extend(each(section, root.optional_array(section)?, |value| read(kind, value.as_object()?))?);
    }
    Ok(parts)
}

fn read(kind: &'static str, object: &Object) -> Result<Part, ShapeError> {
    let key = object.optional_object("publicKey")?;
    let raw = match key {
        Some(key) => bytes(key)?,
        None => {
            let chain = object.object("certChain")?.array("certificates")?;
            each("certificates", chain, |certificate| bytes(certificate.as_object()?))?.concat()
        }
    };
    let window = key.unwrap_or(object).optional_object("validFor")?;
    let time = |name: &str| window.map_or(Ok(None), |w| w.optional_string(name));
    let name = match (object.optional_string("baseUrl")?, object.optional_string("uri")?) {
        (Some(name), _) | (None, Some(name)) => name.to_owned(),
        (None, None) => {
            object.object("subject")?.optional_string("commonName")?.unwrap_or_default().to_owned()
        }
    };
    let id = Digest::sha256(&raw).hex();
    let (from, until) = (time("start")?.map(str::to_owned), time("end")?.map(str::to_owned));
    Ok(Part { kind, name, id, from, until })
}

fn bytes(object: &Object) -> Result<Vec<u8>, ShapeError> {
    base64(object.string("rawBytes")?).ok_or_else(|| ShapeError::new("rawBytes", "base64", "something else"))
}

/// In what `after` is another than `before`: removals first, because they are what breaks.
#[must_use]
pub fn differences(before: &[Part], after: &[Part]) -> Vec<Difference> {
    let same = |a: &Part, b: &Part| (a.kind, &a.id) == (b.kind, &b.id);
    let find = |parts: &[Part], wanted: &Part| parts.iter().find(|p| same(p, wanted)).cloned();
    let gone = before.iter().filter(|p| find(after, p).is_none()).cloned().map(Difference::Removed);
    let new = after.iter().filter_map(|part| match find(before, part) {
        None => Some(Difference::Added(part.clone())),
        Some(old) if old.window() != part.window() => Some(Difference::Window(old, part.clone())),
        Some(_) => None,
    });
    gone.chain(new).collect()
}
