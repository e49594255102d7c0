//! The drill's git repositories.

use std::path::{Path, PathBuf};

use attest::{Algorithm, Digest};
use builder::DEFINITION_FILE;

use crate::command::throw_away::{Author, git};
use crate::failure::Failure;
use crate::keys;

const DEFINITION: &str = include_str!("build.yaml");
const SHOP: &str = include_str!("shop.c");

pub(crate) const ALICE: Author = Author { name: "Alice", address: "alice@drill.example" };
pub(crate) const BOB: Author = Author { name: "Bob", address: "bob@drill.example" };

#[derive(Debug)]
pub(crate) struct Repository(PathBuf);

impl Repository {
    /// A shop, and how it is built.
    pub(super) fn begin(dir: &Path, toolchain: &Digest) -> Result<Self, Failure> {
        let repository = Self::empty(dir)?;
        let definition = DEFINITION.replace("TOOLCHAIN", &toolchain.hex());
        repository.commit(ALICE, &[("shop.c", SHOP), (DEFINITION_FILE, &definition)], "A shop")?;
        Ok(repository)
    }

    pub(crate) fn empty(dir: &Path) -> Result<Self, Failure> {
        keys::folder(dir)?;
        let repository = Self(dir.to_owned());
        repository.git(ALICE, &["init", "--quiet", "--initial-branch=main"])?;
        Ok(repository)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.0
    }

    /// As provenance names it.
    pub(crate) fn uri(&self) -> String {
        format!("file://{}", self.0.display())
    }

    pub(crate) fn head(&self, branch: &str) -> Result<Digest, Failure> {
        let head = self.git(ALICE, &["rev-parse", "--verify", branch])?;
        Digest::from_hex(Algorithm::GitCommit, &head)
            .map_err(|e| Failure::new("git gave no commit").line("found", &e.to_string()))
    }

    /// A new branch that begins where another ends, checked out; nothing where it is there already.
    pub(crate) fn branch(&self, name: &str, from: &str) -> Result<(), Failure> {
        self.git(ALICE, &["checkout", "--quiet", "-b", name, from]).map(drop)
    }

    /// Writes files, and commits them.
    pub(crate) fn commit(
        &self,
        author: Author,
        files: &[(&str, &str)],
        message: &str,
    ) -> Result<(), Failure> {
        for (name, text) in files {
            keys::write(&self.0.join(name), text)?;
            self.git(author, &["add", "--", name])?;
        }
        self.git(author, &["commit", "--quiet", "--message", message]).map(drop)
    }

    /// Commits a change of one text in the shop.
    pub(crate) fn change(&self, author: Author, from: &str, to: &str, message: &str) -> Result<(), Failure> {
        let text = crate::input::text("source file", &self.0.join("shop.c"))?;
        self.commit(author, &[("shop.c", &text.replace(from, to))], message)
    }

    pub(crate) fn fork(&self, dir: &Path) -> Result<Self, Failure> {
        let (from, to) = (self.0.display().to_string(), dir.display().to_string());
        self.git(ALICE, &["clone", "--quiet", "--no-hardlinks", "--branch", "main", &from, &to])?;
        Ok(Self(dir.to_owned()))
    }

    fn git(&self, author: Author, words: &[&str]) -> Result<String, Failure> {
        git(&self.0, author, words)
    }
}
