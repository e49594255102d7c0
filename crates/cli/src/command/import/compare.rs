//! Two releases of a package, file by file, and text by text.

use std::time::Duration;

use attest::{Json, Object};
use policy::one_line;
use similar::TextDiff;

use super::archive::{Contents, Entry};

/// Two texts of a megabyte that have nothing in common would take minutes to compare exactly.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a file differs.
#[derive(Debug, PartialEq, Eq)]
enum How {
    Added,
    Removed,
    Changed,
}

/// One file that differs.
#[derive(Debug)]
struct Change<'c> {
    how: How,
    name: &'c str,
    old: Option<&'c Entry>,
    new: Option<&'c Entry>,
}

/// What differs between two releases.
#[derive(Debug)]
pub(super) struct Difference<'c> {
    changes: Vec<Change<'c>>,
    same: usize,
}

/// The difference as text, of at most so many lines.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) text: String,
    /// How many lines were left out.
    pub(super) left_out: usize,
}

impl<'c> Difference<'c> {
    pub(super) fn of(old: &'c Contents, new: &'c Contents) -> Self {
        let (mut changes, mut same) = (Vec::new(), 0);
        let names = old.0.keys().chain(new.0.keys().filter(|name| !old.0.contains_key(*name)));
        for name in names {
            let (old, new) = (old.0.get(name), new.0.get(name));
            let how = match (old, new) {
                (Some(old), Some(new)) if old == new => {
                    same += 1;
                    continue;
                }
                (Some(_), Some(_)) => How::Changed,
                (Some(_), None) => How::Removed,
                (None, _) => How::Added,
            };
            changes.push(Change { how, name, old, new });
        }
        changes.sort_by_key(|change| change.name);
        Self { changes, same }
    }

    fn count(&self, how: &How) -> usize {
        self.changes.iter().filter(|change| change.how == *how).count()
    }

    /// Every file that differs on a line, with what cannot be shown as text named as such.
    pub(super) fn summary(&self) -> String {
        let count = |how| self.count(&how);
        let (added, removed, changed) = (count(How::Added), count(How::Removed), count(How::Changed));
        let mut out =
            format!("{changed} changed, {added} added, {removed} removed, {} the same\n", self.same);
        for change in &self.changes {
            out += &format!("{:<8} {}{}\n", change.word(), one_line(change.name), change.about());
        }
        out
    }

    /// The unified differences of all texts.
    pub(super) fn shown(&self, lines: usize) -> Shown {
        let (mut text, mut used, mut left_out) = (String::new(), 0, 0);
        for change in &self.changes {
            let Some(diff) = change.unified() else { continue };
            for line in diff.lines() {
                if used < lines {
                    text += &shown(line);
                    text.push('\n');
                    used += 1;
                } else {
                    left_out += 1;
                }
            }
        }
        Shown { text, left_out }
    }

    pub(super) fn to_json(&self) -> Json {
        let changes = self.changes.iter().map(|change| {
            let digest = |entry: Option<&Entry>| match entry {
                Some(Entry::File { digest, .. }) => Some(digest.to_string()),
                Some(Entry::Link(target)) => Some(format!("link:{target}")),
                None => None,
            };
            let mut object = Object::new().with("file", change.name).with("change", change.word());
            object.set_some("old", digest(change.old));
            object.set_some("new", digest(change.new));
            object.set("is_text", change.unified().is_some());
            Json::from(object)
        });
        Json::Array(changes.collect())
    }
}

impl Change<'_> {
    fn word(&self) -> &'static str {
        match self.how {
            How::Added => "added",
            How::Removed => "removed",
            How::Changed => "changed",
        }
    }

    /// What a difference of texts would not show.
    fn about(&self) -> String {
        let what = |entry: &Entry| match entry {
            Entry::Link(target) => format!("a link to {}", one_line(target)),
            Entry::File { size, is_executable, text, .. } => {
                let kind = if text.is_some() { "" } else { "binary, " };
                let mode = if *is_executable { ", executable" } else { "" };
                format!("{kind}{size} bytes{mode}")
            }
        };
        match (self.old, self.new) {
            (Some(old), Some(new)) => format!(" ({} → {})", what(old), what(new)),
            (Some(one), None) | (None, Some(one)) => format!(" ({})", what(one)),
            (None, None) => String::new(),
        }
    }

    /// The difference of two texts; an absent file is an empty one.
    fn unified(&self) -> Option<String> {
        let text = |entry: Option<&Entry>| match entry {
            None => Some(String::new()),
            Some(Entry::File { text, .. }) => text.clone(),
            Some(Entry::Link(_)) => None,
        };
        let (old, new) = (text(self.old)?, text(self.new)?);
        if old == new {
            return None;
        }
        let (before, after) = match self.how {
            How::Added => ("/dev/null".to_owned(), format!("b/{}", self.name)),
            How::Removed => (format!("a/{}", self.name), "/dev/null".to_owned()),
            How::Changed => (format!("a/{}", self.name), format!("b/{}", self.name)),
        };
        let mut config = TextDiff::configure();
        config.timeout(PATIENCE);
        let diff = config.diff_lines(old.as_str(), new.as_str());
        Some(diff.unified_diff().header(&before, &after).to_string())
    }
}

/// A line with nothing in it that drives a terminal or changes how its neighbours are shown. It is never cut: what a
/// reviewer does not see was not reviewed.
fn shown(line: &str) -> String {
    let characters: Vec<char> = line.chars().collect();
    let piece = |piece: &[char]| {
        let plain: String = piece.iter().collect();
        plain.split('\t').map(one_line).collect::<Vec<_>>().join("\t")
    };
    characters.chunks(400).map(piece).collect()
}
