//! The trust root's Sigstore instances, and the certificates that are a name's.

use super::read::{entries, read_revocation, read_time};
use crate::sigstore::{CertificateIdentity, EMBEDDED, Instance, Pattern, Subject, TrustedIdentity};
use crate::trust::TrustRoot;
use crate::yaml::{Fields, LoadError, Node, Problems, suggest};

/// More roots of trust than anybody can review.
const MAX_INSTANCES: usize = 8;
const KNOWN: [&str; 12] = [
    "instance",
    "issuer",
    "identity",
    "identity-matching",
    "source-repository",
    "source-ref",
    "workflow",
    "runner",
    "trigger",
    "from",
    "until",
    "revoked",
];

pub(super) fn read_instances(fields: &Fields<'_>, problems: &mut Problems) -> Vec<Instance> {
    let mut instances = Vec::new();
    for (name, key, value) in entries(fields, "sigstore", problems) {
        if instances.len() == MAX_INSTANCES {
            problems
                .push(LoadError::new(&key.place, &format!("more than {MAX_INSTANCES} Sigstore instances")));
            break;
        }
        instances.extend(read_instance(name, value, problems));
    }
    instances
}

/// An instance's log says a leaf's place outside of what it proves, and begins anew with every shard: a thief would write a
/// small number. So no revocation goes by it, under its own name or under that of a log of ours.
pub(super) fn check_positions(root: &TrustRoot, node: &Node, problems: &mut Problems) {
    for name in root.instances.iter().map(Instance::name).filter(|name| root.logs.contains_key(*name)) {
        let message = format!("a log and a Sigstore instance are both called `{name}`");
        problems.push(LoadError::new(&node.place, &message).fix("call the log otherwise"));
    }
    for principal in root.principals.values() {
        let keys = principal.keys.iter().filter_map(|key| key.revoked.as_ref());
        let revocations = keys.chain(principal.identities.iter().filter_map(|i| i.revoked.as_ref()));
        let positions = revocations.filter_map(|revocation| revocation.position.as_ref());
        for (log, _) in positions.filter(|(log, _)| root.instances.iter().any(|i| i.name() == log)) {
            let message = format!("a revocation of {} by a position in the logs of `{log}`", principal.name);
            problems.push(
                LoadError::new(&node.place, &message)
                    .wanted(
                        "a log under `logs`, or `from` alone: Sigstore's logs say when something was signed",
                    )
                    .fix("leave out `log` and `size`"),
            );
        }
    }
}

fn read_instance(name: &str, node: &Node, problems: &mut Problems) -> Option<Instance> {
    let fields = Fields::read(node, "a Sigstore instance", &["trusted-root"], problems)?;
    let node = fields.required("trusted-root", problems)?;
    let text = problems.keep(node.string())?;
    if text != "embedded" {
        return problems.keep(Instance::parse(name, text).map_err(|e| {
            LoadError::new(&node.place, &e.to_string())
                .wanted("`embedded`, or the JSON text of a trusted root")
                .fix("take it from the instance: portcullis trust-root sigstore add")
        }));
    }
    problems.keep(Instance::embedded(name).map_err(|e| {
        LoadError::new(&node.place, &e.to_string())
            .wanted(&format!("one of {}", EMBEDDED.join(", ")))
            .fix("call the instance so, or write the JSON text of its trusted root here")
    }))
}

pub(super) fn read_identities(
    node: &Node,
    instances: &[Instance],
    problems: &mut Problems,
) -> Option<Vec<TrustedIdentity>> {
    let items = problems.keep(node.list())?;
    if items.is_empty() {
        problems.push(node.mismatch("at least one certificate identity").found("an empty list"));
        return None;
    }
    items.iter().map(|item| read_identity(item, instances, problems)).collect()
}

fn read_identity(node: &Node, instances: &[Instance], problems: &mut Problems) -> Option<TrustedIdentity> {
    let fields = Fields::read(node, "a certificate identity", &KNOWN, problems)?;
    let instance = read_instance_name(&fields, node, instances, problems)?;
    let issuer = fields.required("issuer", problems)?;
    let issuer = problems.keep(issuer.string())?.to_owned();
    let subject = read_subject(&fields, node, problems)?;
    let mut text =
        |key: &str| fields.optional(key).and_then(|n| problems.keep(n.string().map(str::to_owned)));
    let (source_repository, runner) = (text("source-repository"), text("runner"));
    let triggers = fields.optional("trigger").and_then(|n| problems.keep(n.strings())).unwrap_or_default();
    let identity = CertificateIdentity {
        instance,
        issuer,
        subject,
        source_repository,
        source_ref: read_pattern(&fields, "source-ref", problems),
        workflow: read_pattern(&fields, "workflow", problems),
        runner,
        triggers: triggers.into_iter().map(|(trigger, _)| trigger).collect(),
    };
    let from = fields.optional("from").and_then(|n| problems.keep(read_time(n)));
    let until = fields.optional("until").and_then(|n| problems.keep(read_time(n)));
    let revoked = match fields.optional("revoked") {
        Some(node) => Some(read_revocation(node, problems)?),
        None => None,
    };
    Some(TrustedIdentity { identity, from, until, revoked })
}

/// With several instances, the one that is meant must be said: each of them can certify anybody.
fn read_instance_name(
    fields: &Fields<'_>,
    node: &Node,
    instances: &[Instance],
    problems: &mut Problems,
) -> Option<String> {
    let names: Vec<&str> = instances.iter().map(Instance::name).collect();
    let Some(given) = fields.optional("instance") else {
        return match names.as_slice() {
            [only] => Some((*only).to_owned()),
            // an instance that cannot be read has been told
            [] if !problems.is_empty() => None,
            [] => {
                problems.push(
                    LoadError::new(&node.place, "a certificate identity, and no Sigstore instance")
                        .fix("add one: sigstore: { public-good: { trusted-root: embedded } }"),
                );
                None
            }
            several => {
                problems.push(
                    LoadError::new(
                        &node.place,
                        "nothing says which Sigstore instance certifies this identity",
                    )
                    .wanted(&format!("instance: {}", several.join(", or ")))
                    .fix("add the line `instance: NAME` to it"),
                );
                None
            }
        };
    };
    let name = problems.keep(given.string())?;
    if names.contains(&name) {
        return Some(name.to_owned());
    }
    let error = LoadError::new(&given.place, &format!("no Sigstore instance is called `{name}`"));
    problems.push(match suggest(name, &names) {
        Some(near) => error.fix(&format!("write `{near}`")),
        None => error.fix("add it under `sigstore`"),
    });
    None
}

fn read_subject(fields: &Fields<'_>, node: &Node, problems: &mut Problems) -> Option<Subject> {
    match (fields.optional("identity"), fields.optional("identity-matching")) {
        (Some(exact), None) => Some(Subject::Exactly(problems.keep(exact.string())?.to_owned())),
        (None, Some(_)) => read_pattern(fields, "identity-matching", problems).map(Subject::Matching),
        _ => {
            problems.push(
                LoadError::new(
                    &node.place,
                    "a certificate identity is one of `identity` and `identity-matching`",
                )
                .wanted(
                    "identity: https://github.com/acme/shop/.github/workflows/release.yml@refs/heads/main",
                ),
            );
            None
        }
    }
}

fn read_pattern(fields: &Fields<'_>, key: &str, problems: &mut Problems) -> Option<Pattern> {
    let node = fields.optional(key)?;
    let text = problems.keep(node.string())?;
    problems.keep(Pattern::parse(text).map_err(|e| LoadError::new(&node.place, &e.to_string())))
}
