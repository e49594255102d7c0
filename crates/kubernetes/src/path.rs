//! Places in objects that a person can name: `spec.template.spec.containers[*].image`.

use std::fmt;

use attest::{Json, Object};

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    /// A field.
    Key(String),
    /// Every item of a list.
    Items,
    /// Every value of a map.
    Values,
}

/// A path with `[*]` for every item of a list, and `.*` for every value of a map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(Vec<Segment>);

/// Why a text is no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    /// The part that is wrong.
    pub part: String,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no step of a path", self.part)
    }
}
impl std::error::Error for PathError {}

/// Something on the way to a field is of another kind than the path says, so what the field holds is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongTurn {
    /// Where.
    pub at: String,
    /// What the path wants there.
    pub wanted: &'static str,
    /// What stands there.
    pub found: &'static str,
}

impl Path {
    /// Parses `a.b[*].c`.
    ///
    /// # Errors
    /// [`PathError`] naming the step that is none: empty, with an index, or with a character that no field has.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let mut segments = Vec::new();
        for part in text.split('.') {
            let wrong = || PathError { part: part.to_owned() };
            let name = part.trim_end_matches("[*]");
            let lists = (part.len() - name.len()) / 3;
            let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
            match name {
                "" => return Err(wrong()),
                "*" => segments.push(Segment::Values),
                _ if is_plain => segments.push(Segment::Key(name.to_owned())),
                _ => return Err(wrong()),
            }
            segments.extend(std::iter::repeat_n(Segment::Items, lists));
        }
        Ok(Self(segments))
    }

    /// Every value that stands at this path, with its own place, as in `spec.containers[0].image`. What is absent, or
    /// `null`, is no value.
    ///
    /// # Errors
    /// [`WrongTurn`] where something on the way is of another kind: a list where the path wants a map could hide what
    /// is looked for.
    pub fn find<'a>(&self, object: &'a Object) -> Result<Vec<(String, &'a Json)>, WrongTurn> {
        let mut found = Vec::new();
        let Some((Segment::Key(first), rest)) = self.0.split_first() else {
            if self.0.first() == Some(&Segment::Values) {
                for (key, value) in object.iter() {
                    walk(self.0.get(1..).unwrap_or_default(), key.to_owned(), value, &mut found)?;
                }
            }
            return Ok(found);
        };
        if let Some(value) = object.get(first) {
            walk(rest, first.clone(), value, &mut found)?;
        }
        Ok(found)
    }
}

fn walk<'a>(
    segments: &[Segment],
    at: String,
    value: &'a Json,
    found: &mut Vec<(String, &'a Json)>,
) -> Result<(), WrongTurn> {
    let Some((segment, rest)) = segments.split_first() else {
        found.push((at, value));
        return Ok(());
    };
    let wrong = |at: &str, wanted| WrongTurn { at: at.to_owned(), wanted, found: value.kind() };
    match (segment, value) {
        (_, Json::Null) => {}
        (Segment::Key(key), Json::Object(object)) => {
            if let Some(value) = object.get(key) {
                walk(rest, format!("{at}.{key}"), value, found)?;
            }
        }
        (Segment::Values, Json::Object(object)) => {
            for (key, value) in object.iter() {
                walk(rest, format!("{at}.{key}"), value, found)?;
            }
        }
        (Segment::Items, Json::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                walk(rest, format!("{at}[{index}]"), item, found)?;
            }
        }
        (Segment::Items, _) => return Err(wrong(&at, "a list")),
        (Segment::Key(_) | Segment::Values, _) => return Err(wrong(&at, "an object")),
    }
    Ok(())
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            let dot = if index > 0 && *segment != Segment::Items { "." } else { "" };
            match segment {
                Segment::Key(key) => write!(f, "{dot}{key}")?,
                Segment::Values => write!(f, "{dot}*")?,
                Segment::Items => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}
