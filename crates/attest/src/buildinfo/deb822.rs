//! One paragraph of deb822(5): fields, and lines that go on with the one before. No comments, no second paragraph, no
//! field twice: each has two readings.

use std::collections::BTreeMap;

use crate::json::ShapeError;

/// The most fields that are read.
const MAX_FIELDS: usize = 64;

/// A field: what stands beside its name, and the lines below without the space in front.
#[derive(Debug, Default)]
struct Field<'a> {
    first: &'a str,
    lines: Vec<&'a str>,
}

/// A control file of Debian's, parsed: its fields by name.
#[derive(Debug)]
pub struct Paragraph<'a>(BTreeMap<String, Field<'a>>);

impl<'a> Paragraph<'a> {
    /// Parses a text that is one paragraph.
    ///
    /// # Errors
    /// [`ShapeError`] with the line.
    pub fn parse(text: &'a str) -> Result<Self, ShapeError> {
        let mut fields: BTreeMap<String, Field<'_>> = BTreeMap::new();
        let mut last = None;
        for line in text.trim_end_matches('\n').split('\n') {
            let wanted = |what: &str| Err(ShapeError::new("", what, &quoted(line)));
            if line.contains(|c: char| c.is_control() && c != '\t') {
                return wanted("text without control characters");
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

    /// Whether a field is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.field(name).is_some()
    }

    fn field(&self, name: &str) -> Option<&Field<'a>> {
        self.0.get(&name.to_ascii_lowercase())
    }

    /// A value on one line.
    ///
    /// # Errors
    /// [`ShapeError`] where it has another form.
    pub fn line(&self, name: &str) -> Result<Option<&'a str>, ShapeError> {
        match self.field(name) {
            None => Ok(None),
            Some(field) if field.lines.is_empty() && !field.first.is_empty() => Ok(Some(field.first)),
            Some(_) => Err(ShapeError::new(name, "one line", "none, or several")),
        }
    }

    /// A value on one line that must be there.
    ///
    /// # Errors
    /// [`ShapeError`] where it is not, or has another form.
    pub fn required(&self, name: &str) -> Result<&'a str, ShapeError> {
        self.line(name)?.ok_or_else(|| ShapeError::new(name, "the field", "nothing"))
    }

    /// The lines below a field that must be there, with nothing beside its name.
    ///
    /// # Errors
    /// [`ShapeError`] where it is not, or has another form.
    pub fn below(&self, name: &str) -> Result<&[&'a str], ShapeError> {
        match self.field(name) {
            Some(field) if field.first.is_empty() && !field.lines.is_empty() => Ok(&field.lines),
            Some(_) => Err(ShapeError::new(name, "lines below the field, and none beside it", "others")),
            None => Err(ShapeError::new(name, "the field", "nothing")),
        }
    }

    /// Lines of `checksum size name`; a name is a file's, without a folder.
    ///
    /// # Errors
    /// [`ShapeError`] where a line has another form.
    pub fn checksums(&self, field: &str) -> Result<Vec<(&'a str, u64, &'a str)>, ShapeError> {
        let read = |line: &&'a str| {
            let mut words = line.split(' ');
            let (hex, size, name) = (words.next()?, words.next()?, words.next()?);
            let is_size = !size.is_empty() && size.bytes().all(|b| b.is_ascii_digit());
            let is_file = !name.is_empty() && !name.contains(['/', '\\']) && !name.starts_with('.');
            if words.next().is_some() || !is_size || !is_file {
                return None;
            }
            Some((hex, size.parse().ok()?, name))
        };
        let lines = self.below(field)?.iter();
        let wanted = |line| ShapeError::new(field, "`checksum size name`", &quoted(line));
        lines.map(|line| read(line).ok_or_else(|| wanted(line))).collect()
    }

    /// Words, wherever lines are broken.
    #[must_use]
    pub fn words(&self, name: &str) -> Vec<&'a str> {
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
