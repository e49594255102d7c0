//! One paragraph of deb822(5): fields, and lines that go on with the one before. No comments, no second paragraph, no
//! field twice: each has two readings.

use std::collections::BTreeMap;

use crate::json::ShapeError;

/// The most fields that are read.
const MAX_FIELDS: usize = 64;

/// A field: what stands beside its name, and the lines below without the space in front.
#[derive(Debug, Default)]
pub(super) struct Field<'a> {
    pub(super) first: &'a str,
    pub(super) lines: Vec<&'a str>,
}

/// The fields by name in lower case.
#[derive(Debug)]
pub(super) struct Paragraph<'a>(BTreeMap<String, Field<'a>>);

impl<'a> Paragraph<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, ShapeError> {
        let mut fields: BTreeMap<String, Field<'_>> = BTreeMap::new();
        let mut last = None;
        for line in text.trim_end_matches('\n').split('\n') {
            let wanted = |what: &str| Err(ShapeError::new("", what, &quoted(line)));
            if line.contains(|c: char| c.is_control() && c != '\t') {
                return wanted("a .buildinfo without control characters");
            }
            if let Some(more) = line.strip_prefix([' ', '\t']) {
                match last.as_ref().and_then(|name| fields.get_mut(name)) {
                    Some(field) => field.lines.push(more),
                    None => return wanted("a field first"),
                }
                continue;
            }
            let (name, first) = match line.split_once(':') {
                Some((name, first)) if is_name(name) => (name.to_ascii_lowercase(), first.trim()),
                _ => return wanted("`Name: value`, in one paragraph"),
            };
            let field = Field { first, lines: Vec::new() };
            if fields.len() >= MAX_FIELDS || fields.insert(name.clone(), field).is_some() {
                return Err(ShapeError::new(&name, "a field once, and 64 fields at most", "another"));
            }
            last = Some(name);
        }
        Ok(Self(fields))
    }

    /// A field, whatever is in it.
    pub(super) fn field(&self, name: &str) -> Option<&Field<'a>> {
        self.0.get(&name.to_ascii_lowercase())
    }

    /// A value on one line.
    pub(super) fn line(&self, name: &str) -> Result<Option<&'a str>, ShapeError> {
        match self.field(name) {
            None => Ok(None),
            Some(field) if field.lines.is_empty() && !field.first.is_empty() => Ok(Some(field.first)),
            Some(_) => Err(ShapeError::new(name, "one line", "none, or several")),
        }
    }

    /// A value on one line that must be there.
    pub(super) fn required(&self, name: &str) -> Result<&'a str, ShapeError> {
        self.line(name)?.ok_or_else(|| ShapeError::new(name, "the field", "nothing"))
    }

    /// The lines below a field that must be there, with nothing beside its name.
    pub(super) fn below(&self, name: &str) -> Result<&[&'a str], ShapeError> {
        match self.field(name) {
            Some(field) if field.first.is_empty() && !field.lines.is_empty() => Ok(&field.lines),
            Some(_) => Err(ShapeError::new(name, "lines below the field, and none beside it", "others")),
            None => Err(ShapeError::new(name, "the field", "nothing")),
        }
    }

    /// Words, wherever lines are broken.
    pub(super) fn words(&self, name: &str) -> Vec<&'a str> {
        let Some(field) = self.field(name) else { return Vec::new() };
        field.lines.iter().fold(field.first.split_whitespace().collect(), |mut words, line| {
            words.extend(line.split_whitespace());
            words
        })
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !name.starts_with('-')
}

/// A line, short enough for a message.
pub(super) fn quoted(line: &str) -> String {
    format!("`{}`", line.chars().take(60).collect::<String>().escape_debug())
}
