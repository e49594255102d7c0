//! A build that failed, signed: what happened is known later, and can never be taken for a good build.

use attest::json::ShapeError;
use attest::time::parse_time;
use attest::{Digest, DigestSet, Json, Object, Statement};
use jiff::Timestamp;

/// The predicate's type. No rule reads it, and it is about a commit: no artifact has it as evidence.
pub const BUILD_FAILURE: &str = "https://portcullis.dev/build-failure/v1";
/// A reason is a line, not a log.
pub(crate) const MAX_REASON: usize = 500;

const FIELDS: [&str; 9] =
    ["repository", "ref", "target", "commit", "reason", "log", "started", "finished", "invocation"];

/// A build that made nothing, as the orchestrator saw it. It names no builder: the signer says who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureRecord {
    /// The repository.
    pub repository: String,
    /// The full ref that was asked for, as in `refs/heads/main`.
    pub reference: String,
    /// The target.
    pub target: String,
    /// The commit that was built, as a `gitCommit` digest.
    pub commit: Digest,
    /// Why it failed, in one line. It may quote the build: [`one_line`] is applied on its way to the signer.
    pub reason: String,
    /// SHA-256 of what the build wrote.
    pub log: Digest,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// Which run it was.
    pub invocation: String,
}

impl FailureRecord {
    /// The form in which it goes to the signer.
    #[must_use]
    pub fn to_json(&self) -> Json {
        self.fields().with("commit", self.commit.to_string()).into()
    }

    fn fields(&self) -> Object {
        Object::new()
            .with("repository", self.repository.as_str())
            .with("ref", self.reference.as_str())
            .with("target", self.target.as_str())
            .with("reason", one_line(&self.reason))
            .with("log", self.log.to_string())
            .with("started", self.started.to_string())
            .with("finished", self.finished.to_string())
            .with("invocation", self.invocation.as_str())
    }

    /// Reads it back, strictly.
    ///
    /// # Errors
    /// [`ShapeError`] for another shape.
    pub fn read(json: &Json) -> Result<Self, ShapeError> {
        let object = json.as_object()?;
        if let Some((unknown, _)) = object.iter().find(|(k, _)| !FIELDS.contains(k)) {
            return Err(ShapeError::new("", "the fields of a failure alone", unknown));
        }
        let text = |key: &str| object.string(key).map(str::to_owned);
        let digest = |key: &str| {
            Digest::parse(object.string(key)?).map_err(|e| ShapeError::new(key, "a digest", &e.to_string()))
        };
        let time = |key: &str| {
            let text = object.string(key)?;
            parse_time(text).ok_or_else(|| ShapeError::new(key, "a time in UTC", text))
        };
        Ok(Self {
            repository: text("repository")?,
            reference: text("ref")?,
            target: text("target")?,
            commit: digest("commit")?,
            reason: text("reason")?,
            log: digest("log")?,
            started: time("started")?,
            finished: time("finished")?,
            invocation: text("invocation")?,
        })
    }

    /// The statement that a signer of this id and version signs: about the commit, and that nothing came of it.
    pub(crate) fn statement(&self, builder_id: &str, version: &str) -> String {
        let builder = Object::new().with("id", builder_id).with("version", version);
        let predicate = self.fields().with("builder", builder).with("result", "failed");
        Statement::write(&self.repository, &DigestSet::from(self.commit.clone()), BUILD_FAILURE, predicate)
    }
}

/// A text as one line: control characters, line ends and characters that turn the direction of writing become blanks,
/// and what is too long is cut.
#[must_use]
pub fn one_line(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    let mut line = String::new();
    for word in
        text.split(|c: char| c.is_control() || c.is_whitespace() || turns(c)).filter(|w| !w.is_empty())
    {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let mut end = line.len().min(MAX_REASON);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.truncate(end);
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_whatever_the_build_wrote() {
        assert_eq!(one_line("a\nb\u{1b}[31m\tc\u{202e}d"), "a b [31m c d");
        assert_eq!(one_line("\n\r \0"), "");
        for text in ["é".repeat(400), "x y ".repeat(300), "€".repeat(1000)] {
            let line = one_line(&text);
            assert!(line.len() <= MAX_REASON && line.len() > MAX_REASON - 4);
            assert_eq!(one_line(&line), line, "and stays as it is");
        }
    }
}
