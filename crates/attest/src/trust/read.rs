//! The trust root's YAML.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::identities::{self, read_identities};
use super::{Builder, Principal, Recall, Revocation, Role, Signs, TrustRoot, TrustedKey};
use crate::digest::Digest;
use crate::key::{PublicKey, Scheme};
use crate::note::NoteKey;
use crate::sigstore::{Instance, Pattern};
use crate::time::parse_time;
use crate::yaml::{Fields, LoadError, Node, Problems};

const SECTIONS: [(&str, Role); 8] = [
    ("builders", Role::Builder),
    ("review-authorities", Role::ReviewAuthority),
    ("testers", Role::Tester),
    ("scanners", Role::Scanner),
    ("releasers", Role::Releaser),
    ("rebuilders", Role::Rebuilder),
    ("verifiers", Role::Verifier),
    ("signers", Role::Signer),
];
const KEYS: [&str; 14] = [
    "version",
    "sigstore",
    "builders",
    "review-authorities",
    "testers",
    "scanners",
    "releasers",
    "rebuilders",
    "verifiers",
    "signers",
    "people",
    "groups",
    "logs",
    "witnesses",
];

/// The certificates that are a name's; a person's `identities` are what a forge calls him.
const CERTIFICATES: &str = "certificate-identities";

impl TrustRoot {
    /// Parses a trust root.
    ///
    /// # Errors
    /// All problems, each with its place and how to mend it.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<LoadError>> {
        let node = Node::parse(file, text).map_err(|e| vec![e])?;
        let mut problems = Problems::new();
        let root = read(&node, text, &mut problems);
        problems.finish(root)
    }
}

fn read(node: &Node, text: &str, problems: &mut Problems) -> Option<TrustRoot> {
    let fields = Fields::read(node, "a trust root", &KEYS, problems)?;
    let version = fields.required("version", problems)?;
    let version = problems.keep(version.number(1, u64::from(u32::MAX)))?;
    let mut root = TrustRoot {
        digest: Digest::sha256(text.as_bytes()),
        text: text.to_owned(),
        version,
        principals: BTreeMap::new(),
        groups: BTreeMap::new(),
        identities: BTreeMap::new(),
        logs: BTreeMap::new(),
        witnesses: BTreeMap::new(),
        instances: identities::read_instances(&fields, problems),
    };
    for (section, role) in SECTIONS {
        for (name, key, value) in entries(&fields, section, problems) {
            let principal = read_principal(name, value, role, &root.instances, problems);
            add(&mut root, principal, key, problems);
        }
    }
    for (name, key, value) in entries(&fields, "people", problems) {
        read_person(&mut root, name, key, value, problems);
    }
    read_groups(&mut root, &fields, problems);
    for (name, _, value) in entries(&fields, "logs", problems) {
        root.logs.extend(read_note_key(value, false, problems).map(|key| (name.to_owned(), key)));
    }
    for (name, _, value) in entries(&fields, "witnesses", problems) {
        root.witnesses.extend(read_note_key(value, true, problems).map(|key| (name.to_owned(), key)));
    }
    check_keys_are_unique(&root, node, problems);
    identities::check_positions(&root, node, problems);
    if root.principals.is_empty() && problems.is_empty() {
        problems.push(
            LoadError::new(&node.place, "the trust root trusts nobody")
                .wanted("at least one builder, person or other signer")
                .fix("see `portcullis init` for an example"),
        );
    }
    Some(root)
}

pub(super) fn entries<'a>(
    fields: &Fields<'a>,
    key: &str,
    problems: &mut Problems,
) -> Vec<(&'a str, &'a Node, &'a Node)> {
    let Some(node) = fields.optional(key) else { return Vec::new() };
    problems.keep(node.entries()).map(Iterator::collect).unwrap_or_default()
}

/// Adds a principal; the same name in two sections is one principal with two roles.
fn add(root: &mut TrustRoot, principal: Option<Principal>, key: &Node, problems: &mut Problems) {
    let Some(mut new) = principal else { return };
    let Some(old) = root.principals.get_mut(&new.name) else {
        root.principals.insert(new.name.clone(), new);
        return;
    };
    if new.builder.is_some() && old.builder.is_some() {
        problems.push(LoadError::new(&key.place, &format!("`{}` is a builder twice", new.name)));
    }
    old.roles.append(&mut new.roles);
    old.builder = old.builder.take().or(new.builder);
    old.operator = old.operator.take().or(new.operator);
    old.verifier_ids.append(&mut new.verifier_ids);
    for key in new.keys {
        if !old.keys.iter().any(|k| k.key == key.key) {
            old.keys.push(key);
        }
    }
    for identity in new.identities {
        if !old.identities.contains(&identity) {
            old.identities.push(identity);
        }
    }
}

fn read_principal(
    name: &str,
    node: &Node,
    role: Role,
    instances: &[Instance],
    problems: &mut Problems,
) -> Option<Principal> {
    let (what, known): (&'static str, &[&str]) = match role {
        Role::Builder => (
            "a builder",
            &["keys", CERTIFICATES, "ids", "hermetic", "environments", "recalled", "slsa-build-level"],
        ),
        Role::Rebuilder => ("a rebuilder", &["keys", CERTIFICATES, "operator"]),
        Role::Verifier => ("a verifier", &["keys", CERTIFICATES, "ids"]),
        _ => ("a signer", &["keys", CERTIFICATES]),
    };
    let fields = Fields::read(node, what, known, problems)?;
    let identities = match fields.optional(CERTIFICATES) {
        Some(node) => read_identities(node, instances, problems)?,
        None => Vec::new(),
    };
    let keys = match fields.optional("keys") {
        None if !identities.is_empty() => Vec::new(),
        Some(node) => read_keys(node, problems)?,
        None => read_keys(fields.required("keys", problems)?, problems)?,
    };
    let builder = match role {
        Role::Builder => Some(read_builder(&fields, problems)?),
        _ => None,
    };
    let operator = match role {
        Role::Rebuilder => {
            let node = fields.required("operator", problems)?;
            Some(problems.keep(node.string())?.to_owned())
        }
        _ => None,
    };
    // one without ids is read, because files from before there were any are: it may claim none
    let ids = fields.optional("ids").filter(|_| role == Role::Verifier);
    let ids = ids.and_then(|n| problems.keep(n.strings())).unwrap_or_default();
    let verifier_ids = ids.into_iter().map(|(id, _)| id).collect();
    let (name, roles) = (name.to_owned(), BTreeSet::from([role]));
    Some(Principal { name, roles, keys, identities, builder, operator, verifier_ids })
}

fn read_builder(fields: &Fields<'_>, problems: &mut Problems) -> Option<Builder> {
    let ids = fields.required("ids", problems)?;
    let ids = problems.keep(ids.strings())?;
    for (id, place) in ids.iter().filter(|(id, _)| id.contains('*')) {
        problems.keep(Pattern::parse(id).map_err(|e| LoadError::new(place, &e.to_string())));
    }
    let ids = ids.into_iter().map(|(id, _)| id).collect();
    let environments = fields.optional("environments").and_then(|n| problems.keep(n.strings()));
    let hermetic = fields.optional("hermetic").and_then(|n| problems.keep(n.strings())).unwrap_or_default();
    let level = fields.optional("slsa-build-level").and_then(|n| problems.keep(n.number(1, 3)));
    let mut builder = Builder {
        ids,
        slsa_level: level.and_then(|level| u8::try_from(level).ok()),
        environments: environments.unwrap_or_default().into_iter().map(|(e, _)| e).collect(),
        ..Builder::default()
    };
    for (text, place) in hermetic {
        builder.hermetic.extend(problems.keep(read_versions(&text, &place)));
    }
    if let Some(list) = fields.optional("recalled").and_then(|n| problems.keep(n.list())) {
        builder.recalls = list.iter().filter_map(|item| read_recall(item, problems)).collect();
    }
    Some(builder)
}

fn read_versions(text: &str, place: &crate::yaml::Place) -> Result<semver::VersionReq, LoadError> {
    semver::VersionReq::parse(text).map_err(|e| {
        LoadError::new(place, &format!("`{text}` is no range of versions: {e}"))
            .wanted("a range, as in \">=1.4.2\"")
    })
}

fn read_recall(node: &Node, problems: &mut Problems) -> Option<Recall> {
    let fields = Fields::read(node, "a recall", &["version", "tool", "from", "until", "reason"], problems)?;
    let reason = fields.required("reason", problems)?;
    let reason = problems.keep(reason.string())?.to_owned();
    let version = fields
        .optional("version")
        .and_then(|n| problems.keep(n.string().and_then(|text| read_versions(text, &n.place))));
    let tool = fields.optional("tool").and_then(|n| {
        let digest =
            n.string().and_then(|t| Digest::parse(t).map_err(|e| LoadError::new(&n.place, &e.to_string())));
        problems.keep(digest)
    });
    let from = fields.optional("from").and_then(|n| problems.keep(read_time(n)));
    let until = fields.optional("until").and_then(|n| problems.keep(read_time(n)));
    let window = match (from, until) {
        (None, None) => None,
        (from, until) => Some((from.unwrap_or(Timestamp::MIN), until.unwrap_or(Timestamp::MAX))),
    };
    if version.is_none() && tool.is_none() && window.is_none() {
        problems.push(
            LoadError::new(&node.place, "a recall that recalls nothing")
                .fix("say which: `version`, `tool`, `from` or `until`"),
        );
    }
    Some(Recall { version, tool, window, reason })
}

fn read_keys(node: &Node, problems: &mut Problems) -> Option<Vec<TrustedKey>> {
    let items = problems.keep(node.list())?;
    if items.is_empty() {
        problems.push(node.mismatch("at least one key").found("an empty list"));
        return None;
    }
    let keys: Option<Vec<Vec<TrustedKey>>> = items.iter().map(|item| read_key(item, problems)).collect();
    keys.map(|keys| keys.into_iter().flatten().collect())
}

/// One key, or all usable keys of one OpenPGP block.
fn read_key(node: &Node, problems: &mut Problems) -> Option<Vec<TrustedKey>> {
    let known = ["key", "scheme", "from", "until", "revoked", "signs", "key-id"];
    let fields = Fields::read(node, "a key", &known, problems)?;
    let text = fields.required("key", problems)?;
    let keys = PublicKey::from_listed(problems.keep(text.string())?);
    let keys = problems.keep(keys.map_err(|e| LoadError::new(&text.place, &e.to_string())))?;
    let keys = match fields.optional("scheme") {
        None => keys,
        Some(node) => {
            let schemes = [
                Scheme::P256,
                Scheme::P384,
                Scheme::Ed25519,
                Scheme::RsaPss,
                Scheme::RsaPkcs1,
                Scheme::MlDsa65,
            ];
            let name = problems.keep(node.string())?;
            let wanted = node.mismatch("p256, p384, ed25519, rsa-pss, rsa-pkcs1 or ml-dsa-65");
            let scheme = problems.keep(schemes.into_iter().find(|s| s.name() == name).ok_or(wanted))?;
            let keys: Result<Vec<_>, _> = keys.into_iter().map(|key| key.with_scheme(scheme)).collect();
            problems.keep(keys.map_err(|e| LoadError::new(&node.place, &e.to_string())))?
        }
    };
    let from = fields.optional("from").and_then(|n| problems.keep(read_time(n)));
    let until = fields.optional("until").and_then(|n| problems.keep(read_time(n)));
    if let (Some(from), Some(until)) = (from, until)
        && from > until
    {
        problems.push(
            LoadError::new(&node.place, "a key that ends before it begins").fix("swap `from` and `until`"),
        );
    }
    let revoked = match fields.optional("revoked") {
        Some(node) => Some(read_revocation(node, problems)?),
        None => None,
    };
    let signs = match fields.optional("signs") {
        None => Signs::Envelope,
        Some(node) => problems.keep(match node.string() {
            Ok("envelope") => Ok(Signs::Envelope),
            Ok("payload") => Ok(Signs::Payload),
            Ok(_) => Err(node.mismatch("envelope, or payload for a key that signs the payload alone")),
            Err(e) => Err(e),
        })?,
    };
    let key_id = fields.optional("key-id").and_then(|n| problems.keep(n.string().map(str::to_owned)));
    let trusted =
        |key| TrustedKey { key, from, until, revoked: revoked.clone(), signs, key_id: key_id.clone() };
    Some(keys.into_iter().map(trusted).collect())
}

pub(super) fn read_revocation(node: &Node, problems: &mut Problems) -> Option<Revocation> {
    let fields = Fields::read(node, "a revocation", &["from", "reason", "log", "size"], problems)?;
    let from = fields.required("from", problems)?;
    let from = problems.keep(read_time(from))?;
    let reason = fields.required("reason", problems)?;
    let reason = problems.keep(reason.string())?.to_owned();
    let position = match (fields.optional("log"), fields.optional("size")) {
        (Some(log), Some(size)) => {
            let log = problems.keep(log.string())?.to_owned();
            Some((log, problems.keep(size.number(0, u64::from(u32::MAX)))?))
        }
        (None, None) => None,
        _ => {
            problems.push(LoadError::new(&node.place, "`log` and `size` go together"));
            None
        }
    };
    Some(Revocation { from, position, reason })
}

pub(super) fn read_time(node: &Node) -> Result<Timestamp, LoadError> {
    let wanted = || {
        node.mismatch("a time in UTC, as in 2026-11-22T09:00:00Z, or a date")
            .fix("write the time with `T` and `Z`: 2026-11-22T09:00:00Z")
    };
    let text = node.string()?;
    let text = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    parse_time(&text).ok_or_else(wanted)
}

fn read_person(root: &mut TrustRoot, name: &str, key: &Node, node: &Node, problems: &mut Problems) {
    let known = ["identities", "roles", "keys", CERTIFICATES];
    let Some(fields) = Fields::read(node, "a person", &known, problems) else { return };
    let identities = fields.required("identities", problems).and_then(|n| problems.keep(n.strings()));
    for (identity, place) in identities.unwrap_or_default() {
        let other = root.identities.insert(identity.to_ascii_lowercase(), name.to_owned());
        if let Some(other) = other.filter(|o| o != name) {
            let message = format!("the identity `{identity}` belongs to two people, `{other}` and `{name}`");
            problems.push(
                LoadError::new(&place, &message).fix("an identity is one person's: remove it from one"),
            );
        }
    }
    let mut roles = BTreeSet::new();
    for (role, place) in fields.optional("roles").and_then(|n| problems.keep(n.strings())).unwrap_or_default()
    {
        match role.as_str() {
            "reviewer" => roles.insert(Role::Reviewer),
            "releaser" => roles.insert(Role::Releaser),
            other => {
                let error = LoadError::new(&place, &format!("a person has no role `{other}`"));
                problems.push(error.wanted("reviewer or releaser"));
                false
            }
        };
    }
    let keys = fields.optional("keys").and_then(|n| read_keys(n, problems)).unwrap_or_default();
    let certificates = fields.optional(CERTIFICATES);
    let certificates = certificates.and_then(|n| read_identities(n, &root.instances, problems));
    let (name, identities, verifier_ids) = (name.to_owned(), certificates.unwrap_or_default(), Vec::new());
    let person = Principal { name, roles, keys, identities, builder: None, operator: None, verifier_ids };
    add(root, Some(person), key, problems);
}

fn read_groups(root: &mut TrustRoot, fields: &Fields<'_>, problems: &mut Problems) {
    for (name, _, value) in entries(fields, "groups", problems) {
        let members = problems.keep(value.strings()).unwrap_or_default();
        for (member, place) in &members {
            if !root.principals.contains_key(member) {
                let known: Vec<&str> = root.principals.keys().map(String::as_str).collect();
                let error = LoadError::new(place, &format!("nobody is called `{member}`"));
                problems.push(match crate::yaml::suggest(member, &known) {
                    Some(near) => error.fix(&format!("write `{near}`")),
                    None => error.fix(&format!("add `{member}` under `people`")),
                });
            }
        }
        root.groups.insert(name.to_owned(), members.into_iter().map(|(m, _)| m).collect());
    }
}

fn read_note_key(node: &Node, is_witness: bool, problems: &mut Problems) -> Option<NoteKey> {
    let fields = Fields::read(node, "a log or witness", &["key"], problems)?;
    let key = fields.required("key", problems)?;
    let text = problems.keep(key.string())?;
    let Some((parsed, cosigner)) = NoteKey::parse(text) else {
        problems.push(key.mismatch("a verifier key, as in name+1a2b3c4d+base64"));
        return None;
    };
    if cosigner && !is_witness {
        problems
            .push(LoadError::new(&key.place, "a witness's key under `logs`").fix("put it under `witnesses`"));
        return None;
    }
    Some(parsed)
}

/// One key under two names would let one secret speak as two.
fn check_keys_are_unique(root: &TrustRoot, node: &Node, problems: &mut Problems) {
    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    for principal in root.principals.values() {
        for key in &principal.keys {
            match owners.insert(key.key.id(), &principal.name) {
                Some(other) if other != principal.name => {
                    let message = format!("one key belongs to two names, `{other}` and `{}`", principal.name);
                    problems.push(
                        LoadError::new(&node.place, &message)
                            .fix("give each its own key, or use one name in both sections"),
                    );
                }
                _ => {}
            }
        }
    }
}
