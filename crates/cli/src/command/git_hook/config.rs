//! The hook's configuration: strict YAML, on the server, where nobody who pushes can write.

use std::path::{Path, PathBuf};
use std::time::Duration;

use attest::Place;
use attest::time::Span;
use attest::trust::segments_match;
use attest::yaml::{Fields, LoadError, Node, Problems};

use crate::failure::Failure;
use crate::input;

/// What is protected, and how.
#[derive(Debug)]
pub(super) struct Config {
    /// The repository, as reviews name it.
    pub(super) repository: String,
    pub(super) trust_root: PathBuf,
    /// How long the looking may take, the scanner aside.
    pub(super) within: Duration,
    pub(super) protected: Vec<Protected>,
    pub(super) secrets: Option<Scanner>,
}

/// Branches, and what they ask for.
#[derive(Debug)]
pub(super) struct Protected {
    /// Patterns of names; `*` is one segment.
    pub(super) branches: Vec<(String, Place)>,
    /// How many people other than the authors must approve.
    pub(super) approvals: (u64, Place),
    /// Whether people of the trust root must have signed every commit.
    pub(super) signed: Option<Place>,
}

/// A program that looks for secrets.
#[derive(Debug)]
pub(super) struct Scanner {
    /// The program and its arguments; `{commits}` is what `git log` is to be asked for.
    pub(super) command: Vec<String>,
    /// The exit code with which it says that it found something.
    pub(super) found: i32,
    pub(super) within: Duration,
    pub(super) place: Place,
}

impl Config {
    pub(super) fn load(path: &Path) -> Result<Self, Failure> {
        let text = input::text("configuration", path)?;
        let mut config = Self::parse(&path.display().to_string(), &text)
            .map_err(|errors| Failure::load("hook-invalid", errors))?;
        // relative names are relative to the file: a hook's own folder is the repository's
        if let Some(folder) = path.parent() {
            config.trust_root = folder.join(&config.trust_root);
        }
        Ok(config)
    }

    fn parse(file: &str, text: &str) -> Result<Self, Vec<LoadError>> {
        let mut problems = Problems::new();
        let node = Node::parse(file, text).map_err(|e| vec![e])?;
        let config = Self::read(&node, &mut problems);
        problems.finish(config)
    }

    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let known = ["repository", "trust-root", "within", "protected", "secrets"];
        let fields = Fields::read(node, "the hook's configuration", &known, problems)?;
        let repository = fields.required("repository", problems);
        let trust_root = fields.required("trust-root", problems);
        let protected = fields.required("protected", problems);
        let within = span(fields.optional("within"), 60, problems);
        let secrets = match fields.optional("secrets") {
            Some(node) => Some(Scanner::read(node, problems)?),
            None => None,
        };
        let items = problems.keep(protected?.list())?;
        if items.is_empty() {
            problems.push(protected?.mismatch("at least one entry under `protected`"));
        }
        Some(Self {
            repository: problems.keep(repository?.string())?.to_owned(),
            trust_root: PathBuf::from(problems.keep(trust_root?.string())?),
            within: within?,
            protected: items.iter().map(|item| Protected::read(item, problems)).collect::<Option<_>>()?,
            secrets,
        })
    }

    /// What a branch is asked for: by every entry that names it.
    pub(super) fn protecting<'c>(&'c self, branch: &'c str) -> impl Iterator<Item = &'c Protected> {
        self.protected.iter().filter(move |p| p.branches.iter().any(|(b, _)| segments_match(b, branch)))
    }
}

impl Protected {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let fields =
            Fields::read(node, "a protected branch", &["branches", "approvals", "signed"], problems)?;
        let (branches, approvals) =
            (fields.required("branches", problems)?, fields.required("approvals", problems)?);
        let names = problems.keep(branches.strings())?;
        for (name, place) in &names {
            if name.starts_with("refs/") {
                problems.push(LoadError::new(place, "a branch is named without `refs/heads/`").found(name));
            }
        }
        let signed = match fields.optional("signed") {
            Some(node) => problems.keep(node.boolean())?.then(|| node.place.clone()),
            None => None,
        };
        let approvals = (problems.keep(approvals.number(1, 10))?, approvals.place.clone());
        Some(Self { branches: names, approvals, signed })
    }
}

impl Scanner {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let fields = Fields::read(node, "`secrets`", &["command", "found", "within"], problems)?;
        let (command, found) = (fields.required("command", problems)?, fields.required("found", problems)?);
        let words: Option<Vec<String>> = problems
            .keep(command.list())?
            .iter()
            .map(|w| Some(problems.keep(w.string())?.to_owned()))
            .collect();
        let words = words?;
        if !words.iter().skip(1).any(|word| word.contains("{commits}")) {
            problems.push(
                LoadError::new(&command.place, "the scanner is not told which commits to look at")
                    .wanted("an argument with {commits}")
                    .fix("for gitleaks, write \"--log-opts={commits}\""),
            );
        }
        Some(Self {
            command: words,
            // a program that fails ends with 1 or more, mostly with 1 or 2: those must not look like a finding
            found: i32::try_from(problems.keep(found.number(3, 120))?).ok()?,
            within: span(fields.optional("within"), 60, problems)?,
            place: node.place.clone(),
        })
    }
}

/// A span of at most an hour; so many seconds where there is none.
fn span(node: Option<&Node>, seconds: u64, problems: &mut Problems) -> Option<Duration> {
    let Some(node) = node else { return Some(Duration::from_secs(seconds)) };
    let text = problems.keep(node.string())?;
    let read = Span::parse(text).and_then(|span| u64::try_from(span.as_seconds()).ok());
    let wanted = || node.mismatch("a span of time from 1s to 1h, as in 60s");
    problems.keep(read.filter(|s| (1..=3600).contains(s)).map(Duration::from_secs).ok_or_else(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "repository: https://git.example/shop\ntrust-root: root.yaml\nprotected:\n\
                        - branches: [main, release/*]\n  approvals: 2\n";

    fn refused(text: &str) -> String {
        let errors = Config::parse("hook.yaml", text).unwrap_err();
        errors
            .iter()
            .map(|e| format!("{}: {} {}\n", e.place, e.message, e.fix.clone().unwrap_or_default()))
            .collect()
    }

    #[test]
    fn what_is_protected_is_what_a_pattern_says() {
        let config = Config::parse("hook.yaml", GOOD).unwrap();
        let is_protected = |branch| config.protecting(branch).next().is_some();
        assert!(is_protected("main") && is_protected("release/1.4"));
        assert!(!is_protected("release/1/4") && !is_protected("main2") && !is_protected("feature"));
    }

    #[test]
    fn nothing_is_guessed() {
        for (text, wanted) in [
            (
                GOOD.replace("approvals: 2", "approvals: 0"),
                "hook.yaml:5:14: wanted a whole number from 1 to 10",
            ),
            (GOOD.replace("approvals", "approval"), "unknown key `approval`"),
            (GOOD.replace("main", "refs/heads/main"), "without `refs/heads/`"),
            (format!("{GOOD}within: 1d\n"), "a span of time from 1s to 1h"),
            (format!("{GOOD}secrets: {{ command: [scan], found: 7 }}\n"), "not told which commits"),
            (format!("{GOOD}secrets: {{ command: [scan, \"{{commits}}\"], found: 1 }}\n"), "from 3 to 120"),
            ("repository: x\n".to_owned(), "needs the key `protected`"),
        ] {
            let told = refused(&text);
            assert!(told.contains(wanted), "{text}\n{told}");
        }
    }
}
