//! Builds, as a user asks for them: by the program, in the sandbox, signed by a signer of its own.

use std::path::{Path, PathBuf};

use attest::Digest;

use super::{Ran, Repository, Stage, word};
use crate::failure::Failure;

/// What the builder made of a branch.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    pub(crate) artifact: PathBuf,
    pub(crate) provenance: PathBuf,
    pub(crate) test: PathBuf,
    pub(crate) commit: Digest,
}

/// What is to be built, and where it goes.
#[derive(Clone, Copy)]
pub(crate) struct Wish<'w> {
    pub(crate) repository: &'w Repository,
    pub(crate) branch: &'w str,
    pub(crate) target: &'w str,
    pub(crate) out: &'w Path,
    /// Another store of inputs than the stage's.
    pub(crate) store: Option<&'w Path>,
    /// What whoever starts the build has in the environment.
    pub(crate) secret: Option<(&'w str, &'w str)>,
}

impl<'w> Wish<'w> {
    pub(crate) fn new(repository: &'w Repository, branch: &'w str, out: &'w Path) -> Self {
        Self { repository, branch, target: "shop", out, store: None, secret: None }
    }
}

impl Stage<'_> {
    /// What the builder makes of a branch of the allowed repository, built once.
    pub(crate) fn built(&self, branch: &str) -> Result<Built, Failure> {
        if let Some(built) = self.built.borrow().get(branch) {
            return Ok(built.clone());
        }
        let built = self.build(self.repository()?, branch)?;
        self.built.borrow_mut().insert(branch.to_owned(), built.clone());
        Ok(built)
    }

    /// What the builder makes of a branch. A test that fails is told, and publishes its result.
    pub(crate) fn build(&self, repository: &Repository, branch: &str) -> Result<Built, Failure> {
        let commit = repository.head(branch)?;
        let out = self.fresh("built")?;
        let ran = self.try_build(Wish::new(repository, branch, &out))?;
        if ran.exit != 0 && ran.exit != 1 {
            return Err(Failure::new("a build of the drill failed").line("found", ran.text.trim()));
        }
        let at = |name: &str| out.join(name);
        Ok(Built {
            artifact: at("shop"),
            provenance: at("shop.sigstore.json"),
            test: at("shop.unit.test.sigstore.json"),
            commit,
        })
    }

    /// A build that may fail.
    pub(crate) fn try_build(&self, wish: Wish<'_>) -> Result<Ran, Failure> {
        let Wish { branch, target, .. } = wish;
        self.output.progress(&format!("     building {target} of {branch} in the sandbox"));
        let (source, out, state) = (word(wish.repository.dir()), word(wish.out), word(&self.at("builder")));
        let store = word(wish.store.unwrap_or(&self.at("store")));
        let what = ["build", &source, "--ref", branch, "--target", target, "--out", &out];
        let with = ["--state", &state, "--store", &store, "--offline", "--recheck", "0"];
        let mut program = self.program()?;
        program.args(what).args(with);
        if let Some((name, value)) = wish.secret {
            program.env(name, value);
        }
        Self::run(program)
    }
}
