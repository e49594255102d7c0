//! The repository into which is pushed, and what must be true of any ref in it.

use std::collections::BTreeMap;

use attest::{Algorithm, Digest};

use super::config::{Config, Protected};
use super::push::Update;
use super::refusal::Refusal;
use crate::failure::Failure;
use crate::git::Git;

/// The repository as it is before the push.
pub(super) struct Repository {
    pub(super) git: Git,
    /// Branches that stand for another one, and which.
    indirect: BTreeMap<String, String>,
    /// The tips of all branches.
    tips: BTreeMap<String, Digest>,
}

impl Repository {
    /// Looks at it once; everything after asks about single objects.
    pub(super) fn open(git: Git, config: &Config) -> Result<Self, Failure> {
        if git.text("look at the repository", &["rev-parse", "--is-shallow-repository"])?.trim() != "false" {
            return Err(Failure::new(
                "the repository has only a part of its history, so nothing shows what a push adds",
            )
            .line("fix", "make it whole: git fetch --unshallow"));
        }
        let format = "--format=%(refname)%00%(symref)%00%(objectname)";
        let listed = git.text("list the branches", &["for-each-ref", format, "refs/heads/"])?;
        let (mut indirect, mut tips) = (BTreeMap::new(), BTreeMap::new());
        for line in listed.lines() {
            let fields: Vec<&str> = line.split('\0').collect();
            let [name, symref, id] = fields.as_slice() else { continue };
            if !symref.is_empty() {
                indirect.insert((*name).to_owned(), (*symref).to_owned());
            } else if let Ok(tip) = Digest::from_hex(Algorithm::GitCommit, id) {
                tips.insert((*name).to_owned(), tip);
            }
        }
        for (name, target) in &indirect {
            let short = |full: &str| full.strip_prefix("refs/heads/").unwrap_or(full).to_owned();
            let is_open = config.protecting(&short(target)).next().is_none();
            if config.protecting(&short(name)).next().is_some() && is_open {
                return Err(Failure::new("a protected branch stands for one that is not protected")
                    .line("found", &policy::one_line(&format!("{name} is {target}")))
                    .line("fix", "protect that branch too, or make the first one a branch of its own"));
            }
        }
        Ok(Self { git, indirect, tips })
    }

    /// A push to a ref that stands for another one would move that one, under another name.
    pub(super) fn is_indirect(&self, update: &Update) -> Result<Option<Refusal>, Failure> {
        let target = match self.indirect.get(&update.name) {
            Some(target) => Some(target.clone()),
            None => {
                let args = ["symbolic-ref", "--quiet", &update.name];
                let ended = self.git.ask("look at a ref", &args, Vec::new())?;
                match ended.code {
                    Some(0) => Some(String::from_utf8_lossy(&ended.stdout).trim_end().to_owned()),
                    Some(1) => None,
                    _ => {
                        return Err(Failure::new("git could not look at a ref")
                            .line("found", &policy::one_line(&update.name)));
                    }
                }
            }
        };
        Ok(target.map(|target| {
            Refusal::new("ref-direct", update, "the ref stands for another one")
                .wanted("a ref of its own")
                .found(&format!("{} is {target}", update.name))
                .fix(&format!("push to {target}"))
        }))
    }

    /// What is pushed must be a commit, or a tag of one: anything else nobody reviews and no scanner sees.
    pub(super) fn at_commit(&self, update: &Update) -> Result<Vec<Refusal>, Failure> {
        let Some(new) = &update.new else { return Ok(Vec::new()) };
        Ok(match self.git.peel(&new.hex())? {
            Some(_) => Vec::new(),
            None => vec![
                Refusal::new("ref-commit", update, "what is pushed is no commit")
                    .wanted("a commit, or a tag of one")
                    .found(&new.hex())
                    .fix("push a commit"),
            ],
        })
    }

    /// A tag is made once.
    pub(super) fn tag(&self, update: &Update) -> Result<Vec<Refusal>, Failure> {
        let Some(old) = &update.old else { return self.at_commit(update) };
        let found = match &update.new {
            Some(new) => format!("a move from {} to {}", old.short(), new.short()),
            None => format!("its deletion; it is at {}", old.short()),
        };
        Ok(vec![
            Refusal::new("tag-kept", update, "a tag never moves, and is never deleted")
                .wanted("a tag of a new name")
                .found(&found)
                .fix("make another tag"),
        ])
    }

    /// The tips of protected branches that ask for no less than `entry`: what is behind them was reviewed as it asks.
    pub(super) fn reviewed_tips<'r>(
        &'r self,
        config: &'r Config,
        entry: &'r Protected,
    ) -> impl Iterator<Item = &'r Digest> {
        let is_as_strict = |p: &Protected| {
            p.approvals.0 >= entry.approvals.0 && (p.signed.is_some() || entry.signed.is_none())
        };
        let is_reviewed = move |name: &str| {
            name.strip_prefix("refs/heads/").is_some_and(|name| config.protecting(name).any(is_as_strict))
        };
        self.tips.iter().filter(move |(name, _)| is_reviewed(name)).map(|(_, tip)| tip)
    }
}
