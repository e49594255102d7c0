//! What a choke point is set up with: a policy and a trust root. A control is the same with one line less, or another.

use attest::note::NoteKey;

use super::Stage;
use crate::failure::Failure;
use crate::keys::{listed, vkey};

const POLICY: &str = include_str!("policy.yaml");
const TRUST_ROOT: &str = include_str!("trust-root.yaml");

#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) policy: String,
    pub(crate) trust_root: String,
}

impl Rules {
    /// The policy without the line of a rule.
    pub(crate) fn without(&self, rule: &str) -> Result<Self, Failure> {
        let is_it = |line: &&str| line.trim_start().starts_with(&format!("{rule}:"));
        let policy: String =
            self.policy.lines().filter(|line| !is_it(line)).map(|l| format!("{l}\n")).collect();
        self.changed(policy, rule)
    }

    /// The policy with other words.
    pub(crate) fn policy_with(&self, from: &str, to: &str) -> Result<Self, Failure> {
        self.changed(self.policy.replacen(from, to, 1), from)
    }

    /// The trust root with other words.
    pub(crate) fn trust_root_with(&self, from: &str, to: &str) -> Result<Self, Failure> {
        let trust_root = self.trust_root.replacen(from, to, 1);
        if trust_root == self.trust_root {
            return Err(not_there(from));
        }
        Ok(Self { trust_root, ..self.clone() })
    }

    fn changed(&self, policy: String, what: &str) -> Result<Self, Failure> {
        if policy == self.policy {
            return Err(not_there(what));
        }
        Ok(Self { policy, ..self.clone() })
    }
}

/// A control that changes nothing would not switch anything off.
fn not_there(what: &str) -> Failure {
    Failure::new(&format!("the drill's own files do not say `{what}`"))
}

impl Stage<'_> {
    /// All rules, each of them met by what is honest.
    pub(crate) fn rules(&self) -> Result<Rules, Failure> {
        let policy = POLICY
            .replace("REPOSITORY", &self.repository()?.uri())
            .replace("TOOLCHAIN", &self.toolchain()?.to_string());
        let mut trust_root = String::new();
        for line in TRUST_ROOT.lines() {
            match line.strip_prefix("KEY ") {
                Some(name) => trust_root.push_str(&listed(self.key(name)?, 6)),
                None => trust_root.push_str(&format!("{line}\n")),
            }
        }
        let builds = vkey(&self.at("builder/builds"))?;
        NoteKey::parse(&builds).ok_or_else(|| Failure::new("the log of builds has no key"))?;
        Ok(Rules { policy, trust_root: trust_root.replace("LOG builds", &builds) })
    }
}
