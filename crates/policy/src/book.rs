//! All policies, with exactly one answer for every deployment.

use attest::trust::segments_match;
use attest::{Digest, LoadError, Place};

use crate::guardrail::Guardrails;
use crate::policy::{Located, Policy};

/// A policy file: its name as messages show it, and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// The book's folder and the path below it, with slashes: the same on every machine.
    pub name: String,
    /// The text.
    pub text: String,
}

/// A loaded book.
#[derive(Debug)]
pub struct Book {
    policies: Vec<Policy>,
    files: Vec<SourceFile>,
    digest: Digest,
}

impl Book {
    /// Loads a book and checks that no two policies can claim one deployment.
    ///
    /// # Errors
    /// All problems of all files. A book with one bad file is not loaded at all: half a book would admit by
    /// forgetting.
    pub fn load(mut files: Vec<SourceFile>, guardrails: &Guardrails) -> Result<Self, Vec<LoadError>> {
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let mut errors = Vec::new();
        let mut policies = Vec::new();
        for file in &files {
            match Policy::parse(&file.name, &file.text) {
                Ok(policy) => policies.push(policy),
                Err(more) => errors.extend(more),
            }
        }
        errors.extend(overlaps(&policies));
        errors.extend(policies.iter().flat_map(|p| guardrails.check(p)));
        if files.is_empty() {
            let place = Place { file: "book".into(), line: 1, column: 1 };
            errors.push(
                LoadError::new(&place, "the book has no policies")
                    .wanted("at least one file that ends in .yaml")
                    .fix("write one; see `portcullis init` for an example"),
            );
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let digest = digest_of(&files);
        Ok(Self { policies, files, digest })
    }

    /// The digest over all names and texts.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The files it was loaded from.
    #[must_use]
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// The policies, by the order of their files' names.
    #[must_use]
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// The one policy for an artifact in an environment.
    #[must_use]
    pub fn select(&self, environment: &str, uri: &str) -> Option<&Policy> {
        self.guarding(environment).find(|p| p.artifacts().iter().any(|a| segments_match(&a.text, uri)))
    }

    /// The policies of an environment.
    pub fn guarding(&self, environment: &str) -> impl Iterator<Item = &Policy> {
        self.policies.iter().filter(move |p| segments_match(&p.environment().text, environment))
    }
}

/// SHA-256 over lines of digest and name, sorted: in-toto's `dirHash`. The digest of a book, whether or not it loads.
#[must_use]
pub fn digest_of(files: &[SourceFile]) -> Digest {
    let mut files: Vec<&SourceFile> = files.iter().collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let line = |f: &&SourceFile| format!("{}  {}\n", Digest::sha256(f.text.as_bytes()).hex(), f.name);
    Digest::sha256(files.iter().map(line).collect::<String>().as_bytes())
}

/// Two policies overlap where both an environment and an artifact could match both.
fn overlaps(policies: &[Policy]) -> Vec<LoadError> {
    let mut errors = Vec::new();
    for (index, policy) in policies.iter().enumerate() {
        for earlier in policies.iter().take(index) {
            if !patterns_meet(&policy.environment().text, &earlier.environment().text) {
                continue;
            }
            let pairs =
                policy.artifacts().iter().flat_map(|a| earlier.artifacts().iter().map(move |b| (a, b)));
            if let Some((here, there)) = pairs.into_iter().find(|(a, b)| patterns_meet(&a.text, &b.text)) {
                errors.push(overlap(policy, here, there));
            }
        }
    }
    errors
}

fn overlap(policy: &Policy, here: &Located, there: &Located) -> LoadError {
    let environment = &policy.environment().text;
    LoadError::new(&here.place, &format!("two policies claim `{}` in `{environment}`", here.text))
        .wanted("exactly one policy for a deployment")
        .found(&format!("`{}` at {}", there.text, there.place))
        .fix("take the artifact out of one of the two, or give them different environments")
}

/// Whether some name matches both patterns.
pub(crate) fn patterns_meet(a: &str, b: &str) -> bool {
    let (a, b): (Vec<&str>, Vec<&str>) = (a.split('/').collect(), b.split('/').collect());
    a.len() == b.len() && a.iter().zip(&b).all(|(x, y)| x == y || *x == "*" || *y == "*")
}
