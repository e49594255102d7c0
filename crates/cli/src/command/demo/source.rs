//! The demo's git repository: an upstream project, imported, with a build definition.

use std::fs::File;
use std::path::{Path, PathBuf};

use attest::Digest;
use builder::DEFINITION_FILE;

use crate::command::throw_away::{Author, git};
use crate::failure::Failure;
use crate::keys::write;

const DEFINITION: &str = include_str!("build.yaml");
const ALICE: Author = Author { name: "Alice", address: "alice@demo.example" };

pub(super) struct Repository(PathBuf);

impl Repository {
    /// Unpacks the upstream source, adds a build definition that pins the toolchain, and commits both.
    pub(super) fn import(dir: &Path, upstream: &Path, toolchain: &Digest) -> Result<Self, Failure> {
        let failed = |e| Failure::io("unpack", upstream, &e);
        let file = File::open(upstream).map_err(failed)?;
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
        let parent = dir.parent().unwrap_or(dir);
        archive.unpack(parent.join("unpacked")).map_err(failed)?;
        std::fs::rename(parent.join("unpacked/tree-2.1.0"), dir).map_err(failed)?;
        std::fs::remove_dir(parent.join("unpacked")).ok();
        write(&dir.join(DEFINITION_FILE), &DEFINITION.replace("TOOLCHAIN", &toolchain.hex()))?;
        let repository = Self(dir.to_owned());
        repository.git(&["init", "--quiet", "--initial-branch=main"])?;
        repository.git(&["add", "--all", "--force"])?;
        repository.git(&["commit", "--quiet", "--message", "Import tree 2.1.0 and say how it is built"])?;
        Ok(repository)
    }

    pub(super) fn head(&self) -> Result<String, Failure> {
        self.git(&["rev-parse", "main"])
    }

    /// Commits a change of one text in one file, as alice.
    pub(super) fn replace(&self, file: &str, old: &str, new: &str, message: &str) -> Result<(), Failure> {
        let path = self.0.join(file);
        let text = crate::input::text("source file", &path)?;
        write(&path, &text.replace(old, new))?;
        self.git(&["add", "--", file])?;
        self.git(&["commit", "--quiet", "--message", message]).map(|_| ())
    }

    pub(super) fn fork(&self, dir: &Path) -> Result<Self, Failure> {
        let (from, to) = (self.0.display().to_string(), dir.display().to_string());
        self.git(&["clone", "--quiet", "--no-hardlinks", &from, &to])?;
        Ok(Self(dir.to_owned()))
    }

    fn git(&self, args: &[&str]) -> Result<String, Failure> {
        git(&self.0, ALICE, args)
    }
}
