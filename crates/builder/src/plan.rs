//! What a build will be, decided before anything of it is fetched or run: the closure of all of its inputs.

use attest::provenance::Dependency;
use attest::yaml::LoadError;
use attest::{Digest, Json, Object};

use crate::chain::Proven;
use crate::definition::{Base, BuildDefinition, DEFINITION_FILE, Input, Target, Test};
use crate::git::{GitError, Resolved};
use crate::locked::{LOCK_FILE, Locked};
use crate::orchestrate::BuildError;
use crate::sandbox::Tier;

/// A definition is a page; a lock file lists thousands of packages.
const MAX_DEFINITION: u64 = 1 << 20;
const MAX_LOCK: u64 = 16 << 20;

/// A target of a commit, with everything that it names.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The target's name.
    pub(crate) name: String,
    /// The target.
    pub(crate) target: Target,
    /// Its tests.
    pub(crate) tests: Vec<(String, Test)>,
    /// The digest of the definition, which a test result names.
    pub(crate) definition: Digest,
    /// What the root is made of.
    pub(crate) toolchain: Vec<Input>,
    /// The links in the root.
    pub(crate) links: Vec<(String, String)>,
    /// Everything below `/build/inputs`.
    pub(crate) inputs: Vec<Input>,
    /// The build's fixed time.
    pub(crate) epoch: i64,
}

impl Plan {
    /// Reads the definition and the lock file of the commit: never ones that the requester brings.
    pub(crate) fn read(resolved: &Resolved, target: &str) -> Result<Self, BuildError> {
        let text = resolved.file(DEFINITION_FILE, MAX_DEFINITION).map_err(BuildError::Git)?;
        let commit = resolved.source().commit().ok_or(BuildError::Git(GitError::Output("commit")))?;
        let text = text.ok_or(BuildError::NoDefinition(commit))?;
        let definition = BuildDefinition::parse(DEFINITION_FILE, &text).map_err(BuildError::Definition)?;
        let lock = resolved.file(LOCK_FILE, MAX_LOCK).map_err(BuildError::Git)?;
        let locked = match &lock {
            Some(text) => Locked::parse(LOCK_FILE, text).map_err(BuildError::Definition)?,
            None => Locked::default(),
        };
        if let Some(made_for) = &locked.made_for {
            let stale = made_for.check(&definition, |file| resolved.file(file, MAX_LOCK));
            if let Some(error) = stale.map_err(BuildError::Git)? {
                return Err(BuildError::Definition(vec![error]));
            }
        }
        Self::new(&definition, &locked, target, (&text, lock.as_deref()), resolved.epoch())
    }

    fn new(
        definition: &BuildDefinition,
        locked: &Locked,
        name: &str,
        (text, lock): (&str, Option<&str>),
        epoch: i64,
    ) -> Result<Self, BuildError> {
        let target = definition.target(name).ok_or_else(|| BuildError::Target {
            wanted: name.to_owned(),
            known: definition.targets.iter().map(|(n, _)| n.clone()).collect(),
        })?;
        let tests: Vec<(String, Test)> =
            target.tests.iter().filter_map(|t| Some((t.clone(), definition.test(t)?.clone()))).collect();
        let needs_root = target.image.is_none() || tests.iter().any(|(_, t)| !t.is_in_image);
        let toolchain = match &definition.toolchain.base {
            // an image is assembled without tools
            _ if !needs_root => Vec::new(),
            Base::Nothing => Vec::new(),
            Base::Archive(input) => vec![input.clone()],
            Base::Debian { packages, .. } if locked.toolchain.is_empty() => {
                return Err(BuildError::NotLocked(packages.join(", ")));
            }
            Base::Debian { .. } => locked.toolchain.clone(),
        };
        if !definition.lock.is_empty() && lock.is_none() {
            let what: Vec<&str> = definition.lock.iter().map(|(_, from)| from.as_str()).collect();
            return Err(BuildError::NotLocked(what.join(", ")));
        }
        let inputs: Vec<Input> = definition.inputs.iter().chain(&locked.inputs).cloned().collect();
        check_names(&inputs)?;
        Ok(Self {
            name: name.to_owned(),
            target: target.clone(),
            tests,
            definition: Digest::sha256([text, "\0", lock.unwrap_or_default()].concat().as_bytes()),
            toolchain,
            links: definition.toolchain.links.clone(),
            inputs,
            epoch,
        })
    }

    /// The whole environment of a command: fixed, then what the definition adds.
    pub(crate) fn environment(&self, own: &[(String, String)]) -> Vec<(String, String)> {
        let fixed = [
            ("PATH", "/usr/bin:/bin".to_owned()),
            ("HOME", "/nonexistent".to_owned()),
            ("LC_ALL", "C".to_owned()),
            ("TZ", "UTC".to_owned()),
            ("SOURCE_DATE_EPOCH", self.epoch.to_string()),
        ];
        let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value));
        fixed.chain(own.iter().cloned()).collect()
    }

    /// Every input as provenance lists it, with what proved those that are other builds' artifacts.
    pub(crate) fn dependencies(&self, proven: &[Proven]) -> Vec<Dependency> {
        let proof = |digest: &Digest| proven.iter().find(|p| p.artifact == *digest).map(|p| p.bundle.clone());
        let one = |(input, is_tool): (&Input, bool)| Dependency {
            name: (!input.name.is_empty()).then(|| input.name.clone()),
            uri: input.uri.clone(),
            digests: input.digest.clone().into(),
            is_tool,
            provenance: proof(&input.digest),
        };
        self.all_inputs().filter(|(input, is_tool)| self.goes_in(input, *is_tool)).map(one).collect()
    }

    /// A command can read every input; an image holds those that it names, and no tool has a part in it.
    fn goes_in(&self, input: &Input, is_tool: bool) -> bool {
        self.target.image.as_ref().is_none_or(|image| !is_tool && image.holds(&input.name))
    }

    /// Every input, tools first.
    fn all_inputs(&self) -> impl Iterator<Item = (&Input, bool)> {
        self.toolchain.iter().map(|i| (i, true)).chain(self.inputs.iter().map(|i| (i, false)))
    }

    /// The digest of everything that can influence the outputs: what a cache is keyed by.
    pub(crate) fn key(&self, tree: &Digest, tier: Tier) -> Digest {
        let limits = &self.target.action.limits;
        let pairs = |pairs: &[(String, String)]| {
            Json::Array(pairs.iter().map(|(a, b)| Json::from(vec![a.clone(), b.clone()])).collect())
        };
        let inputs = self.all_inputs().map(|(i, is_tool)| {
            let object = Object::new().with("name", i.name.as_str()).with("digest", i.digest.to_string());
            Json::from(object.with("tool", is_tool))
        });
        let text = Object::new()
            .with("tree", tree.to_string())
            .with("definition", self.definition.to_string())
            .with("target", self.name.as_str())
            .with("command", self.target.action.command.clone())
            .with("environment", pairs(&self.environment(&self.target.action.environment)))
            .with("limits", format!("{limits:?}"))
            .with("platform", platform())
            .with("sandbox", tier.profile().to_string())
            .with("links", pairs(&self.links))
            .with("inputs", Json::Array(inputs.collect()))
            .with("builder", env!("CARGO_PKG_VERSION"));
        Digest::sha256(Json::from(text).to_string().as_bytes())
    }
}

/// What else somebody needs to build it again.
pub(crate) fn platform() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

/// One name, one file; and no file that is also a folder of others.
fn check_names(inputs: &[Input]) -> Result<(), BuildError> {
    let mut names = std::collections::BTreeSet::new();
    let refuse = |name: &str| {
        let place = attest::yaml::Place { file: LOCK_FILE.into(), line: 1, column: 1 };
        let error = LoadError::new(
            &place,
            &format!("two inputs want the name `{name}`, or one is a folder of the other"),
        )
        .fix("rename the one that portcullis.build.yaml declares by hand");
        Err(BuildError::Definition(vec![error]))
    };
    for input in inputs {
        if !names.insert(input.name.as_str()) {
            return refuse(&input.name);
        }
    }
    for input in inputs {
        let mut folder = input.name.as_str();
        while let Some((parent, _)) = folder.rsplit_once('/') {
            if names.contains(parent) {
                return refuse(parent);
            }
            folder = parent;
        }
    }
    Ok(())
}
