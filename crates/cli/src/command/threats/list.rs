//! The threats of THREATS.md: who stops each, and what stays open where it is stopped.

use policy::{Mode, OnOutage, Policy};
use server::webhook::Config;

/// Who stops a threat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// Rules of a policy.
    Rules,
    /// A part of the choke point's configuration.
    Part(Part),
}

/// A part of a choke point's configuration that stops a threat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Proxies,
    Watch,
    Breakglass,
    Witnesses,
    Governance,
}

/// One threat.
#[derive(Clone, Copy, Debug)]
pub(super) struct Threat {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) stopped: Stopped,
    /// What stays open where it is stopped.
    pub(super) limit: &'static str,
}

const fn rules(id: &'static str, title: &'static str, limit: &'static str) -> Threat {
    Threat { id, title, stopped: Stopped::Rules, limit }
}

const fn part(id: &'static str, title: &'static str, part: Part, limit: &'static str) -> Threat {
    Threat { id, title, stopped: Stopped::Part(part), limit }
}

/// All of them, in order.
pub(super) const THREATS: [Threat; 15] = [
    rules("T1", "a change accidentally introduces a vulnerability", "reviewers and tests miss things"),
    rules("T2", "a change adds a backdoor", "two people who collude"),
    rules("T3", "a build from a locally modified tree", "a builder that lets somebody in"),
    rules("T4", "a harmful configuration is deployed", "configuration that no choke point guards"),
    rules("T5", "a modified binary is deployed", "whoever runs it is believed to run these bytes"),
    part(
        "T6",
        "a bucket's ACL is changed by hand",
        Part::Proxies,
        "whoever reaches the store past the proxy",
    ),
    rules(
        "T7",
        "the signing key is stolen",
        "what was signed before anybody noticed, where no log or witness saw it",
    ),
    rules(
        "T8",
        "an old version with a known vulnerability is deployed",
        "what no scanner or advisory knows yet",
    ),
    rules(
        "T9",
        "CI is misconfigured to build any repository",
        "a hostile change of the allowed repository: T1, T2",
    ),
    rules("T10", "a build script exfiltrates the signing key", "a hole in the sandbox or its kernel"),
    rules("T11", "a backdoored compiler or tool is used", "a tool that was bad before it was declared"),
    part("T12", "the choke point is bypassed", Part::Watch, "what is found runs already"),
    part(
        "T13",
        "breakglass is abused",
        Part::Breakglass,
        "one person of the group is enough; a second looks afterwards",
    ),
    part(
        "T14",
        "the log is edited or truncated",
        Part::Witnesses,
        "a witness in the same administrator's reach",
    ),
    part(
        "T15",
        "the policy or trust root is weakened",
        Part::Governance,
        "those who may sign for the files, together",
    ),
];

impl Part {
    /// What to add to the configuration.
    pub(super) fn fix(self) -> &'static str {
        match self {
            Self::Proxies => "proxies: [{ kind: s3, … }]        docs/proxy.md",
            Self::Watch => "watch: { every: 30s, grace: 10s }  docs/after-deployment.md",
            Self::Breakglass => "alarms: { sinks: […] }            docs/alarms.md",
            Self::Witnesses => "witnesses: { quorum: 1, of: […] }  docs/log.md",
            Self::Governance => "governance: { … }, guardrails: …  docs/governance.md",
        }
    }

    /// By what a configuration stops it; nothing where it does not.
    pub(super) fn by(self, config: &Config, policy: &Policy) -> Option<&'static str> {
        match self {
            Self::Proxies => {
                // a proxy that takes packages or files never sees an access list
                let is_before = config.proxies.iter().any(|own| matches!(own.kind.as_str(), "s3" | "json"));
                is_before.then_some("a proxy in front of what is changed")
            }
            Self::Watch => {
                config.after.watch.is_some().then_some("what runs is joined with what was decided")
            }
            Self::Breakglass if policy.breakglass().is_none() => Some("no grant is taken here"),
            Self::Breakglass => {
                (!config.alarms.sinks.is_empty()).then_some("alarms, a budget, a second person's review")
            }
            Self::Witnesses => {
                config.after.witnesses.is_some().then_some("a Merkle tree that witnesses cosign")
            }
            Self::Governance => {
                let is_whole = config.governance.is_some() && config.guardrails.is_some();
                is_whole.then_some("the files come into force through the choke point, within guardrails")
            }
        }
    }
}

/// What opens all of a policy's rules at once.
pub(super) fn openings(policy: &Policy) -> Vec<String> {
    let mut openings = Vec::new();
    if policy.mode() == Mode::DryRun {
        openings.push("dry run: nothing is refused".to_owned());
    }
    if policy.on_outage() == OnOutage::Admit {
        openings.push(
            "on-outage: admit: while a part of ours is away, what is missing does not refuse".to_owned(),
        );
    }
    if let Some(breakglass) = policy.breakglass() {
        openings.push(format!(
            "breakglass: one of {} lets anything in, for {}; somebody else looks at it within {}",
            breakglass.group.name, breakglass.expires, breakglass.reviewed_within
        ));
    }
    if let Some(span) = policy.standing() {
        openings.push(format!(
            "standing: what ran may be made again for {span}, whatever its evidence says today"
        ));
    }
    openings.extend(policy.upcoming().iter().map(|upcoming| {
        let names: Vec<&str> = upcoming.require.iter().map(|one| one.rule.name).collect();
        format!("until {}: {} only warn", upcoming.from, names.join(", "))
    }));
    openings
}
