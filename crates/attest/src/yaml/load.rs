//! Reading fields out of a YAML map: unknown keys with a suggestion, wrong kinds with a place, all problems at once.

use std::fmt;

use super::{Node, Place, Value};

/// Something is wrong with a file that a person wrote: what, where, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// Where.
    pub place: Place,
    /// What is wrong, in one line.
    pub message: String,
    /// What would have been right.
    pub wanted: Option<String>,
    /// What stands there.
    pub found: Option<String>,
    /// How to mend it.
    pub fix: Option<String>,
}

impl LoadError {
    /// An error at a place.
    #[must_use]
    pub fn new(place: &Place, message: &str) -> Self {
        Self { place: place.clone(), message: message.to_owned(), wanted: None, found: None, fix: None }
    }

    /// Says what would have been right.
    #[must_use]
    pub fn wanted(mut self, wanted: &str) -> Self {
        self.wanted = Some(wanted.to_owned());
        self
    }

    /// Says what stands there.
    #[must_use]
    pub fn found(mut self, found: &str) -> Self {
        self.found = Some(found.to_owned());
        self
    }

    /// Says how to mend it.
    #[must_use]
    pub fn fix(mut self, fix: &str) -> Self {
        self.fix = Some(fix.to_owned());
        self
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}
impl std::error::Error for LoadError {}

/// Everything found wrong with a file so far.
#[derive(Debug, Default)]
pub struct Problems(Vec<LoadError>);

impl Problems {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is wrong so far. What only follows from another mistake need not be told beside it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one.
    pub fn push(&mut self, error: LoadError) {
        self.0.push(error);
    }

    /// Keeps the value, or the problem.
    pub fn keep<T>(&mut self, result: Result<T, LoadError>) -> Option<T> {
        result.map_err(|e| self.push(e)).ok()
    }

    /// The value if nothing is wrong.
    ///
    /// # Errors
    /// All problems, in the order of their places, where there is one or the value could not be made.
    pub fn finish<T>(mut self, value: Option<T>) -> Result<T, Vec<LoadError>> {
        self.0.sort_by(|a, b| a.place.cmp(&b.place));
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self.0),
        }
    }
}

/// The fields of a map whose keys are known.
#[derive(Debug)]
pub struct Fields<'a> {
    place: &'a Place,
    what: &'static str,
    pairs: &'a [(Node, Node)],
}

impl<'a> Fields<'a> {
    /// Takes a map; unknown keys become problems.
    pub fn read(node: &'a Node, what: &'static str, known: &[&str], problems: &mut Problems) -> Option<Self> {
        let Value::Map(pairs) = &node.value else {
            problems.push(node.mismatch(&format!("a map with the fields of {what}")));
            return None;
        };
        for (key, _) in pairs {
            let name = key.text();
            if !known.contains(&name) {
                let error = LoadError::new(&key.place, &format!("unknown key `{name}` in {what}"))
                    .wanted(&format!("one of {}", known.join(", ")))
                    .found(name);
                problems.push(match suggest(name, known) {
                    Some(near) => error.fix(&format!("write `{near}`")),
                    None => error.fix("remove it; nothing reads it"),
                });
            }
        }
        Some(Self { place: &node.place, what, pairs })
    }

    /// The value of a key that may be there.
    #[must_use]
    pub fn optional(&self, key: &str) -> Option<&'a Node> {
        self.pairs.iter().find(|(k, _)| k.text() == key).map(|(_, v)| v)
    }

    /// The value of a key that must be there.
    pub fn required(&self, key: &str, problems: &mut Problems) -> Option<&'a Node> {
        let found = self.optional(key);
        if found.is_none() {
            problems.push(
                LoadError::new(self.place, &format!("{} needs the key `{key}`", self.what))
                    .fix(&format!("add a line `{key}: …`")),
            );
        }
        found
    }
}

impl Node {
    fn text(&self) -> &str {
        match &self.value {
            Value::Scalar { text, .. } => text,
            Value::List(_) | Value::Map(_) => "",
        }
    }

    /// What stands here, in words.
    #[must_use]
    pub fn found(&self) -> String {
        match &self.value {
            Value::Scalar { text, .. } if text.is_empty() => "nothing".to_owned(),
            Value::Scalar { text, .. } => format!("`{}`", text.chars().take(60).collect::<String>()),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }

    /// The error that something else was wanted here.
    #[must_use]
    pub fn mismatch(&self, wanted: &str) -> LoadError {
        LoadError::new(&self.place, &format!("wanted {wanted}"))
            .wanted(wanted)
            .found(&self.found())
            .fix(&format!("write {wanted}"))
    }

    /// A text that is not empty.
    ///
    /// # Errors
    /// [`LoadError`] for other kinds, and for plain scalars that another reader would not take for text.
    pub fn string(&self) -> Result<&str, LoadError> {
        match &self.value {
            Value::Scalar { text, plain: true } if is_ambiguous(text) => {
                let message = format!("`{text}` is no text to every YAML reader");
                Err(LoadError::new(&self.place, &message)
                    .wanted("a text")
                    .found(text)
                    .fix(&format!("put it in quotes: \"{text}\"")))
            }
            Value::Scalar { text, .. } if !text.is_empty() => Ok(text),
            Value::Scalar { .. } | Value::List(_) | Value::Map(_) => Err(self.mismatch("a text")),
        }
    }

    /// A whole number between two bounds, both inclusive.
    ///
    /// # Errors
    /// [`LoadError`] for anything else.
    pub fn number(&self, least: u64, most: u64) -> Result<u64, LoadError> {
        let wanted = || self.mismatch(&format!("a whole number from {least} to {most}"));
        match &self.value {
            Value::Scalar { text, plain: true } if text.bytes().all(|b| b.is_ascii_digit()) => {
                let canonical = text == "0" || !text.starts_with('0');
                text.parse().ok().filter(|n| canonical && (least..=most).contains(n)).ok_or_else(wanted)
            }
            _ => Err(wanted()),
        }
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// [`LoadError`] for anything else, `yes` and `on` among it.
    pub fn boolean(&self) -> Result<bool, LoadError> {
        match &self.value {
            Value::Scalar { text, plain: true } if text == "true" => Ok(true),
            Value::Scalar { text, plain: true } if text == "false" => Ok(false),
            _ => Err(self.mismatch("true or false")),
        }
    }

    /// A list.
    ///
    /// # Errors
    /// [`LoadError`] for anything else.
    pub fn list(&self) -> Result<&[Node], LoadError> {
        match &self.value {
            Value::List(items) => Ok(items),
            _ => Err(self.mismatch("a list").fix("write it in brackets: [ … ]")),
        }
    }

    /// A list of texts with at least one, none twice.
    ///
    /// # Errors
    /// [`LoadError`] for anything else.
    pub fn strings(&self) -> Result<Vec<(String, Place)>, LoadError> {
        let items = self.list()?;
        if items.is_empty() {
            return Err(self.mismatch("at least one entry").found("an empty list"));
        }
        let mut out: Vec<(String, Place)> = Vec::new();
        for item in items {
            let text = item.string()?;
            if out.iter().any(|(known, _)| known == text) {
                return Err(LoadError::new(&item.place, &format!("`{text}` stands twice in the list"))
                    .fix("remove one of the two"));
            }
            out.push((text.to_owned(), item.place.clone()));
        }
        Ok(out)
    }

    /// The pairs of a map whose keys are names that a person chose.
    ///
    /// # Errors
    /// [`LoadError`] for anything else.
    pub fn entries(&self) -> Result<impl Iterator<Item = (&str, &Node, &Node)>, LoadError> {
        match &self.value {
            Value::Map(pairs) => Ok(pairs.iter().map(|(k, v)| (k.text(), k, v))),
            _ => Err(self.mismatch("a map of names")),
        }
    }
}

/// Whether some YAML reader takes this plain scalar for a number, a boolean or nothing.
fn is_ambiguous(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let word =
        matches!(lower.as_str(), "~" | "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n");
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'))
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '.' | '+' | '-' | '_' | 'e' | 'E' | ':' | 'x' | 'o'))
        && (text.parse::<f64>().is_ok() || text.starts_with("0x") || text.starts_with("0o"));
    word || numeric
}

/// The known word that is nearest, if it is within two edits or a third of the word, or begins with it.
#[must_use]
pub fn suggest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let limit = 2.max(word.chars().count() / 3);
    if word.len() >= 3
        && let Some(whole) = known.iter().find(|k| k.starts_with(word))
    {
        return Some(whole);
    }
    let distances = known.iter().map(|k| (distance(&word.to_lowercase(), k), *k));
    distances.filter(|(d, k)| *d <= limit && *d < k.chars().count()).min().map(|(_, k)| k)
}

/// Levenshtein's distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for ((cb, up_left), up) in b.iter().zip(&row).zip(row.iter().skip(1)) {
            let left = next.last().copied().unwrap_or(0);
            next.push((up_left + usize::from(ca != *cb)).min(up + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
