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

/// A value, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// For people: `spec.containers[0].image`.
    pub at: String,
    /// For a JSON patch (RFC 6901): `/spec/containers/0/image`.
    pub pointer: String,
    /// The `name` of the innermost list item on the way.
    pub holder: String,
    /// The value.
    pub value: &'a Json,
}

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
    /// Parses `a.b[*].c`, and `metadata.annotations["runtime.example/image"]` where a name holds other characters.
    ///
    /// # Errors
    /// [`PathError`] naming the step that is none: empty, with an index, or with a character that no field has.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let wrong = |part: &str| PathError { part: part.to_owned() };
        let mut segments = Vec::new();
        let mut rest = text;
        loop {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
            match name {
                "*" => segments.push(Segment::Values),
                _ if is_plain && !name.is_empty() => segments.push(Segment::Key(name.to_owned())),
                _ => return Err(wrong(rest)),
            }
            rest = after;
            while let Some(inner) = rest.strip_prefix('[') {
                let (segment, after) = bracket(inner).ok_or_else(|| wrong(rest))?;
                segments.push(segment);
                rest = after;
            }
            match rest.strip_prefix('.') {
                Some(after) => rest = after,
                None if rest.is_empty() => return Ok(Self(segments)),
                None => return Err(wrong(rest)),
            }
        }
    }

    /// Every value that stands at this path, with its own place, as in `spec.containers[0].image`. What is absent, or
    /// `null`, is no value.
    ///
    /// # Errors
    /// `WrongTurn` where something on the way is of another kind: a list where the path wants a map could hide what
    /// is looked for.
    pub fn find<'a>(&self, object: &'a Object) -> Result<Vec<Found<'a>>, WrongTurn> {
        let mut found = Vec::new();
        let Some((first, rest)) = self.0.split_first() else { return Ok(found) };
        let here = Here::default();
        match first {
            Segment::Key(key) => {
                if let Some(value) = object.get(key) {
                    walk(rest, &here.key(key), value, &mut found)?;
                }
            }
            Segment::Values | Segment::Items => {
                for (key, value) in object.iter() {
                    walk(rest, &here.key(key), value, &mut found)?;
                }
            }
        }
        Ok(found)
    }
}

/// A place on the way, in both spellings.
#[derive(Clone, Default)]
struct Here {
    at: String,
    pointer: String,
    holder: String,
}

impl Here {
    fn key(&self, key: &str) -> Self {
        let is_plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let at = match (is_plain, self.at.is_empty()) {
            (false, _) => format!("{}[\"{}\"]", self.at, policy::one_line(key)),
            (true, true) => key.to_owned(),
            (true, false) => format!("{}.{key}", self.at),
        };
        let pointer = format!("{}/{}", self.pointer, key.replace('~', "~0").replace('/', "~1"));
        Self { at, pointer, holder: self.holder.clone() }
    }

    fn item(&self, index: usize, item: &Json) -> Self {
        let name = item.as_object().ok().and_then(|o| o.optional_string("name").ok().flatten());
        Self {
            at: format!("{}[{index}]", self.at),
            pointer: format!("{}/{index}", self.pointer),
            holder: name.unwrap_or(&self.holder).to_owned(),
        }
    }
}

/// What stands in brackets: `*`, or a name in quotes.
fn bracket(inner: &str) -> Option<(Segment, &str)> {
    if let Some(after) = inner.strip_prefix("*]") {
        return Some((Segment::Items, after));
    }
    let (name, after) = inner.strip_prefix('"')?.split_once("\"]")?;
    (!name.is_empty() && !name.contains(['"', '\\'])).then(|| (Segment::Key(name.to_owned()), after))
}

fn walk<'a>(
    segments: &[Segment],
    here: &Here,
    value: &'a Json,
    found: &mut Vec<Found<'a>>,
) -> Result<(), WrongTurn> {
    let Some((segment, rest)) = segments.split_first() else {
        let Here { at, pointer, holder } = here.clone();
        found.push(Found { at, pointer, holder, value });
        return Ok(());
    };
    let wrong = |wanted| WrongTurn { at: here.at.clone(), wanted, found: value.kind() };
    match (segment, value) {
        (_, Json::Null) => {}
        (Segment::Key(key), Json::Object(object)) => {
            if let Some(value) = object.get(key) {
                walk(rest, &here.key(key), value, found)?;
            }
        }
        (Segment::Values, Json::Object(object)) => {
            for (key, value) in object.iter() {
                walk(rest, &here.key(key), value, found)?;
            }
        }
        (Segment::Items, Json::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                walk(rest, &here.item(index, item), item, found)?;
            }
        }
        (Segment::Items, _) => return Err(wrong("a list")),
        (Segment::Key(_) | Segment::Values, _) => return Err(wrong("an object")),
    }
    Ok(())
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            let dot = if index > 0 && *segment != Segment::Items { "." } else { "" };
            match segment {
                Segment::Key(key) if key.contains(['.', '/']) => write!(f, "[\"{key}\"]")?,
                Segment::Key(key) => write!(f, "{dot}{key}")?,
                Segment::Values => write!(f, "{dot}*")?,
                Segment::Items => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_one_way_and_written_the_same() {
        for good in [
            "image",
            "spec.containers[*].image",
            "a[*][*].b",
            "a.*.b",
            r#"metadata.annotations["x.example/i"]"#,
        ] {
            assert_eq!(Path::parse(good).unwrap().to_string(), good);
        }
        for bad in
            ["", ".", "a..b", "a[0]", "a[*]b", "a[", "[*].a", "a.b c", "a[\"\"]", "a.", "$.a", "a[\"x\"y"]
        {
            assert!(Path::parse(bad).is_err(), "{bad}");
        }
    }
}
