//! Who somebody is: an e-mail address as a commit has it, or `github.com/alice`, an account with its forge.

use std::collections::{BTreeMap, BTreeSet};

use attest::Digest;

/// Names under which forges show who deleted the account.
const GHOSTS: [&str; 3] = ["ghost", "ghost1", "deleted-user"];

/// An account: the name alone is another person's at another forge.
pub(crate) fn account(host: &str, name: &str) -> String {
    format!("{host}/{name}")
}

/// Whether nobody is behind an account any more.
pub(crate) fn is_ghost(name: &str) -> bool {
    GHOSTS.contains(&name.to_ascii_lowercase().as_str())
}

/// Whether a name says that a machine has it. Forges keep these endings for their machines.
pub(crate) fn is_bot(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let made_by_gitlab =
        (name.starts_with("project_") || name.starts_with("group_")) && name.contains("_bot");
    name.ends_with("[bot]") || made_by_gitlab
}

/// The host in a URL.
pub(crate) fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.split('/').next().filter(|host| !host.is_empty() && !host.contains('@'))
}

/// The co-authors that the lines of a commit's message name. Every such line counts, wherever it stands: one too many
/// refuses, and one too few would let somebody approve what they wrote.
pub(crate) fn co_authors(message: &str) -> Vec<String> {
    let lines = message.lines().filter_map(|line| line.split_once(':'));
    let lines = lines.filter(|(key, _)| key.trim().eq_ignore_ascii_case("co-authored-by"));
    lines.map(|(_, who)| address(who)).filter(|who| !who.is_empty()).collect()
}

/// The address in `Name <address>`, or the whole text.
fn address(text: &str) -> String {
    let inner = text.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(address, _)| address);
    inner.unwrap_or(text).trim().to_owned()
}

/// The commits that an export lists, with their parents.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    parents: BTreeMap<String, Vec<Digest>>,
}

impl Listed {
    pub(crate) fn add(&mut self, commit: &Digest, parents: Vec<Digest>) {
        self.parents.insert(commit.hex(), parents);
    }

    pub(crate) fn len(&self) -> usize {
        self.parents.len()
    }

    pub(crate) fn has(&self, commit: &Digest) -> bool {
        self.parents.contains_key(&commit.hex())
    }

    /// The one commit on which all listed ones were made, where there is one. A list that was cut off, or a change into
    /// which its branch was merged, has several, or one that nobody can tell from the true one: see the callers.
    pub(crate) fn base(&self) -> Option<Digest> {
        let outside: BTreeSet<Digest> =
            self.parents.values().flatten().filter(|p| !self.has(p)).cloned().collect();
        let mut outside = outside.into_iter();
        outside.next().filter(|_| outside.next().is_none())
    }
}
