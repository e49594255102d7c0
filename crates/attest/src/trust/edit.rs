//! Changes of a trust root's text: a key is rotated or revoked, a builder's work recalled, a Sigstore instance renewed.
//!
//! The text is what people review, so it is edited line by line: comments, layout and every other line stay as they
//! are. The result is parsed again, and is given out only where it differs from the old trust root in exactly the
//! wanted way and in its version. Pure: text in, text out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;

use super::{Recall, Revocation, TrustRoot, TrustedKey};
use crate::key::PublicKey;
use crate::sigstore::Instance;
use crate::yaml::{LoadError, Node, Place, suggest};

mod lines;
mod places;
mod sigstore;
#[cfg(test)]
mod tests;

use lines::Text;
use places::{Occurrence, field, occurrences, places_of, principals, quoted};

/// A line, as it is quoted to whoever is refused because of it.
const MAX_REASON: usize = 500;

/// What is to change.
#[derive(Clone, Debug)]
pub enum Change {
    /// A name gets another key; the old ones go on until a time, or for good.
    Rotate {
        /// The name in the trust root.
        name: String,
        /// The key that comes.
        new: PublicKey,
        /// First moment at which it counts.
        from: Option<Timestamp>,
        /// Last moment at which the old keys count.
        until_old: Option<Timestamp>,
    },
    /// Nothing that these keys signed after a point counts any more.
    Revoke {
        /// The keys, by their ids.
        keys: Vec<String>,
        /// From when on, and why.
        revocation: Revocation,
    },
    /// Part of what a builder made does not count any more.
    Recall {
        /// The builder's name in the trust root.
        builder: String,
        /// Which part, and why.
        recall: Recall,
    },
    /// A Sigstore instance comes, or gets another trusted root.
    Sigstore(Instance),
}

/// A changed trust root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The whole text.
    pub text: String,
    /// The version, one more than before.
    pub version: u64,
    /// What is different, as a unified diff.
    pub diff: String,
}

/// Why a trust root is not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditError {
    /// It does not load as it is.
    Load(Vec<LoadError>),
    /// Nobody has this name.
    NoName {
        /// The name.
        name: String,
        /// The nearest name there is.
        near: Option<String>,
    },
    /// The name has no list of keys.
    NoKeys(String),
    /// The name is no builder's.
    NoBuilder(String),
    /// No such key; its id.
    NoKey(String),
    /// The new key is there already, under this name.
    KeyIsKnown(String),
    /// The key is revoked already.
    IsRevoked {
        /// Where it says so.
        place: Place,
        /// From when on.
        from: Timestamp,
    },
    /// No log has this name.
    NoLog(String),
    /// The reason is no line, or empty.
    Reason,
    /// A recall that recalls nothing.
    Nothing,
    /// An end before its beginning.
    Window,
    /// The new key would count only after the old ones have ended.
    Gap,
    /// With the change, the text would not load.
    After(Vec<LoadError>),
    /// The text here cannot be edited without changing more than is wanted.
    Layout(Place),
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(errors) => match errors.first() {
                Some(e) => write!(f, "the trust root does not load: {e}"),
                None => f.write_str("the trust root does not load"),
            },
            Self::After(errors) => match errors.first() {
                Some(e) => write!(f, "with the change it would not load: {e}"),
                None => f.write_str("with the change it would not load"),
            },
            Self::NoName { name, near: Some(near) } => write!(f, "nobody is called `{name}`; write `{near}`"),
            Self::NoName { name, near: None } => write!(f, "nobody is called `{name}`"),
            Self::NoKeys(name) => write!(f, "`{name}` has no list of keys"),
            Self::NoBuilder(name) => write!(f, "`{name}` is no builder"),
            Self::NoKey(id) => write!(f, "the key {id} is not in the trust root"),
            Self::KeyIsKnown(name) => write!(f, "the new key is there already, as one of `{name}`"),
            Self::IsRevoked { place, from } => {
                write!(f, "the key is revoked already, from {from} on ({place})")
            }
            Self::NoLog(name) => write!(f, "the trust root has no log `{name}`"),
            Self::Reason => write!(f, "the reason is not one line of 1 to {MAX_REASON} bytes"),
            Self::Nothing => {
                f.write_str("nothing says what is recalled: a range of versions, a tool's digest, or a time")
            }
            Self::Window => f.write_str("the end is before the beginning"),
            Self::Gap => f.write_str("the old keys would end before the new one counts"),
            Self::Layout(place) => {
                write!(f, "the text at {place} cannot be changed without changing more: edit it by hand")
            }
        }
    }
}
impl std::error::Error for EditError {}

/// Changes a trust root's text.
///
/// # Errors
/// [`EditError`]; an invalid text is never given out.
pub fn change(file: &str, text: &str, change: &Change) -> Result<Changed, EditError> {
    let before = TrustRoot::parse(file, text).map_err(EditError::Load)?;
    let node = Node::parse(file, text).map_err(|e| EditError::Load(vec![e]))?;
    let wanted = apply(&before, change)?;
    let mut text = Text::new(text);
    let version = field(&node, "version").ok_or_else(|| EditError::Layout(node.place.clone()))?;
    text.set_scalar(version, &wanted.version.to_string())?;
    match change {
        Change::Rotate { name, new, from, until_old } => {
            rotate(&mut text, &node, (&before, name), (new, *from), *until_old)?;
        }
        Change::Revoke { keys, revocation } => revoke(&mut text, &node, keys, revocation)?,
        Change::Recall { builder, recall } => recall_in(&mut text, &node, builder, recall)?,
        Change::Sigstore(instance) => sigstore::set(&mut text, &node, instance)?,
    }
    let (changed, diff) = text.finish(file);
    let after = TrustRoot::parse(file, &changed).map_err(EditError::After)?;
    if !is_same(&after, &wanted) {
        return Err(EditError::Layout(node.place.clone()));
    }
    Ok(Changed { text: changed, version: wanted.version, diff })
}

/// The trust root that is wanted, without its text.
fn apply(before: &TrustRoot, change: &Change) -> Result<TrustRoot, EditError> {
    let mut root = before.clone();
    root.version += 1;
    match change {
        Change::Rotate { name, new, from, until_old } => {
            if let Some(owner) = before.principals().find(|p| p.keys.iter().any(|k| k.key.id() == new.id())) {
                return Err(EditError::KeyIsKnown(owner.name.clone()));
            }
            if until_old.zip(*from).is_some_and(|(until, from)| until < from) {
                return Err(EditError::Gap);
            }
            let unknown = no_name(before, name);
            let principal = root.principals.get_mut(name).ok_or(unknown)?;
            if let Some(until) = until_old {
                principal
                    .keys
                    .iter_mut()
                    .filter(|k| ends_after(k, *until))
                    .for_each(|k| k.until = Some(*until));
            }
            principal.keys.push(TrustedKey { from: *from, ..TrustedKey::new(new.clone()) });
        }
        Change::Revoke { keys, revocation } => {
            check_reason(&revocation.reason)?;
            if let Some((log, _)) = revocation.position.as_ref().filter(|(log, _)| before.log(log).is_none())
            {
                return Err(EditError::NoLog(log.clone()));
            }
            for id in keys {
                // listed in two forms it is one key still
                let mut is_known = false;
                let all = root.principals.values_mut().flat_map(|p| p.keys.iter_mut());
                for key in all.filter(|k| k.key.id() == *id) {
                    key.revoked = Some(revocation.clone());
                    is_known = true;
                }
                if !is_known {
                    return Err(EditError::NoKey(id.clone()));
                }
            }
        }
        Change::Recall { builder, recall } => {
            check_reason(&recall.reason)?;
            if recall.version.is_none() && recall.tool.is_none() && recall.window.is_none() {
                return Err(EditError::Nothing);
            }
            if recall.window.is_some_and(|(from, until)| from > until) {
                return Err(EditError::Window);
            }
            let unknown = no_name(before, builder);
            let principal = root.principals.get_mut(builder).ok_or(unknown)?;
            let known = principal.builder.as_mut().ok_or_else(|| EditError::NoBuilder(builder.clone()))?;
            known.recalls.push(recall.clone());
        }
        Change::Sigstore(instance) => match root.instances.iter_mut().find(|i| i.name() == instance.name()) {
            Some(old) => *old = instance.clone(),
            None => root.instances.push(instance.clone()),
        },
    }
    Ok(root)
}

fn no_name(root: &TrustRoot, name: &str) -> EditError {
    let known: Vec<&str> = root.principals().map(|p| p.name.as_str()).collect();
    EditError::NoName { name: name.to_owned(), near: suggest(name, &known).map(str::to_owned) }
}

fn check_reason(reason: &str) -> Result<(), EditError> {
    let is_line =
        !reason.trim().is_empty() && reason.len() <= MAX_REASON && !reason.chars().any(char::is_control);
    if is_line { Ok(()) } else { Err(EditError::Reason) }
}

fn ends_after(key: &TrustedKey, time: Timestamp) -> bool {
    key.revoked.is_none() && key.until.is_none_or(|until| until > time)
}

fn rotate(
    text: &mut Text<'_>,
    node: &Node,
    (before, name): (&TrustRoot, &str),
    (new, from): (&PublicKey, Option<Timestamp>),
    until_old: Option<Timestamp>,
) -> Result<(), EditError> {
    let ending: BTreeSet<String> = match (until_old, before.principal(name)) {
        (Some(until), Some(principal)) => {
            principal.keys.iter().filter(|k| ends_after(k, until)).map(|k| k.key.id()).collect()
        }
        _ => BTreeSet::new(),
    };
    for found in places_of(node, |o| o.name == name && ending.contains(&o.key.id())) {
        let until = until_old.map(|t| t.to_string()).unwrap_or_default();
        match field(found.map, "until") {
            Some(old) => text.set_scalar(old, &until)?,
            None => text.add_field(found.map, &format!("until: {until}"))?,
        }
    }
    // one name in two sections is one principal: both get the key, so that no later edit of one loses it
    let lists: Vec<&Node> = principals(node)
        .filter(|(_, n, _)| *n == name)
        .filter_map(|(_, _, map)| field(map, "keys"))
        .collect();
    if lists.is_empty() {
        return Err(EditError::NoKeys(name.to_owned()));
    }
    let from = from.map(|t| format!("from: {t}"));
    for list in lists {
        text.add_key(list, &new.to_pem(), from.as_deref())?;
    }
    Ok(())
}

fn revoke(
    text: &mut Text<'_>,
    node: &Node,
    keys: &[String],
    revocation: &Revocation,
) -> Result<(), EditError> {
    let mut value = format!("revoked: {{ from: {}, reason: {}", revocation.from, quoted(&revocation.reason));
    if let Some((log, size)) = &revocation.position {
        value.push_str(&format!(", log: {}, size: {size}", quoted(log)));
    }
    value.push_str(" }");
    // every place where the key stands: the first one counts today, and another after the next edit
    for found in places_of(node, |o| keys.contains(&o.key.id())) {
        if let Some(old) = field(found.map, "revoked") {
            let from = field(old, "from").and_then(|n| n.string().ok()).and_then(places::time);
            let from = from.unwrap_or(Timestamp::MIN);
            return Err(EditError::IsRevoked { place: old.place.clone(), from });
        }
        text.add_field(found.map, &value)?;
    }
    Ok(())
}

fn recall_in(text: &mut Text<'_>, node: &Node, builder: &str, recall: &Recall) -> Result<(), EditError> {
    let mut fields = Vec::new();
    fields.extend(recall.version.as_ref().map(|v| format!("version: {}", quoted(&v.to_string()))));
    fields.extend(recall.tool.as_ref().map(|t| format!("tool: {}", quoted(&t.to_string()))));
    if let Some((from, until)) = recall.window {
        fields.extend((from != Timestamp::MIN).then(|| format!("from: {from}")));
        fields.extend((until != Timestamp::MAX).then(|| format!("until: {until}")));
    }
    fields.push(format!("reason: {}", quoted(&recall.reason)));
    let item = format!("{{ {} }}", fields.join(", "));
    let map = principals(node).find(|(section, name, _)| *section == "builders" && *name == builder);
    let (_, _, map) = map.ok_or_else(|| EditError::NoBuilder(builder.to_owned()))?;
    match field(map, "recalled") {
        Some(list) => text.add_item(list, &item),
        None => text.add_list(map, "recalled", &item),
    }
}

/// Whether two trust roots say the same. The order of a name's keys and recalls, and of instances, says nothing.
fn is_same(a: &TrustRoot, b: &TrustRoot) -> bool {
    let sorted = |root: &TrustRoot| {
        let mut root = root.clone();
        for principal in root.principals.values_mut() {
            principal.keys.sort_by_key(|k| k.key.id());
            if let Some(builder) = &mut principal.builder {
                builder.recalls.sort_by_key(|r| format!("{r:?}"));
            }
        }
        root.instances.sort_by(|a, b| a.name().cmp(b.name()));
        root
    };
    let (a, b) = (sorted(a), sorted(b));
    (a.version, a.principals, a.groups) == (b.version, b.principals, b.groups)
        && (a.identities, a.logs, a.witnesses, a.instances)
            == (b.identities, b.logs, b.witnesses, b.instances)
}

/// What is allowed in a trust root and probably not meant, for whoever reviews it: a name without a key that counts at
/// `at`, a key whose places disagree, a revocation by the position in a log that nobody knows.
///
/// # Errors
/// All problems, where it does not load.
pub fn weaknesses(file: &str, text: &str, at: Timestamp) -> Result<Vec<LoadError>, Vec<LoadError>> {
    let root = TrustRoot::parse(file, text)?;
    let node = Node::parse(file, text).map_err(|e| vec![e])?;
    let mut found = Vec::new();
    for (_, name, map) in principals(&node) {
        let keys = root.principal(name).map(|p| p.keys.as_slice()).unwrap_or_default();
        let counts = |k: &TrustedKey| {
            k.from.is_none_or(|t| t <= at) && k.until.is_none_or(|t| t >= at) && k.revoked.is_none()
        };
        if !keys.is_empty() && !keys.iter().any(counts) {
            let message = format!("no key of `{name}` counts at {at}");
            found.push(LoadError::new(&map.place, &message).fix("add one: portcullis trust-root rotate"));
        }
        for (log, _) in keys.iter().filter_map(|k| k.revoked.as_ref()?.position.as_ref()) {
            if root.log(log).is_none() {
                let message =
                    format!("a key of `{name}` is revoked by its position in `{log}`, which is no log here");
                found.push(LoadError::new(&map.place, &message).fix(&format!("add `{log}` under `logs`")));
            }
        }
    }
    let mut first: BTreeMap<String, Occurrence<'_>> = BTreeMap::new();
    for other in occurrences(&node) {
        match first.get(&other.key.id()) {
            Some(one) if one.conditions() != other.conditions() => found.push(
                LoadError::new(
                    &other.map.place,
                    "the key stands twice, and only the conditions at its first place count",
                )
                .found(&format!("first at {}", one.map.place))
                .fix("write the same `from`, `until` and `revoked` at both places"),
            ),
            Some(_) => {}
            None => drop(first.insert(other.key.id(), other)),
        }
    }
    Ok(found)
}
