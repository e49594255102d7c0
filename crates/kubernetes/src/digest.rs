//! What identifies a configuration object: the digest of its final form without what the server itself keeps in it.

mod fields;

use std::fmt;

use attest::{Digest, Json, Object};
use aws_lc_rs::hmac;

use crate::canonical::canonical;
use crate::evidence::PREFIX;
use crate::review::GroupKind;

pub use fields::reference_page;
use fields::{BUILT_IN, Keep, OMITTED, Omitted, REPLICAS};

/// kubectl's own note of what it applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What the digest depends on beside the object.
#[derive(Clone, Copy, Debug, Default)]
pub struct DigestForm<'a> {
    /// Whether an autoscaler owns the number of replicas: then it is left out. Said by the webhook's configuration
    /// only; nothing in the cluster can say it.
    pub autoscaled: bool,
    /// The key that binds the data of Secrets.
    pub secret_key: Option<&'a [u8]>,
}

/// Why an object has no digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormError {
    /// A Secret, and no key to bind its data with.
    KeyMissing,
    /// A Secret whose data are no texts.
    SecretShape(&'static str),
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyMissing => f.write_str("a Secret is digested under a key, and none is configured"),
            Self::SecretShape(key) => write!(f, "{key} of a Secret is no map of texts"),
        }
    }
}
impl std::error::Error for FormError {}

/// The digest of an object's final form: SHA-256 of [`canonical`] text of [`configuration_form`].
///
/// # Errors
/// [`FormError`] for a Secret that cannot be bound.
pub fn configuration_digest(
    kind: &GroupKind,
    object: &Object,
    form: DigestForm<'_>,
) -> Result<Digest, FormError> {
    let reduced = configuration_form(kind, object, form)?;
    Ok(Digest::sha256(canonical(&reduced.into()).as_bytes()))
}

/// The object without server-owned fields, and with the data of a Secret replaced by a keyed hash: what is digested,
/// and what may be shown and stored.
///
/// # Errors
/// [`FormError`] for a Secret that cannot be bound.
pub fn configuration_form(
    kind: &GroupKind,
    object: &Object,
    form: DigestForm<'_>,
) -> Result<Object, FormError> {
    let mut object = object.clone();
    // the status of a custom resource without that subresource is a field that anybody writes
    let is_of = |entry: &&Omitted| match entry.kind {
        "*" => true,
        BUILT_IN => kind.is_built_in(),
        name => name == kind.name(),
    };
    for entry in OMITTED.iter().filter(is_of) {
        omit(&mut object, entry);
    }
    if form.autoscaled && REPLICAS.contains(&kind.name().as_str()) {
        remove(&mut object, &["spec", "replicas"]);
    }
    let prefix = crate::images::pod_prefix(kind).unwrap_or_default();
    tidy(&mut object, &prefix.split('.').filter(|step| !step.is_empty()).collect::<Vec<_>>());
    if kind.group.is_empty() && kind.kind == "Secret" {
        bind_secret(&mut object, form.secret_key.ok_or(FormError::KeyMissing)?)?;
    }
    Ok(object)
}

/// Tidies the metadata of the object itself, and of the templates in it.
fn tidy(object: &mut Object, steps: &[&str]) {
    if let Some((_, Json::Object(metadata))) = object.iter_mut().find(|(key, _)| *key == "metadata") {
        tidy_annotations(metadata);
    }
    if let Some((first, rest)) = steps.split_first()
        && let Some((_, Json::Object(inner))) = object.iter_mut().find(|(key, _)| key == first)
    {
        tidy(inner, rest);
    }
}

/// Our own annotations only name evidence, and every piece of it is proven: what they say can make a deployment be
/// refused for want of evidence, or bring evidence that was signed for exactly this digest, and nothing else. If they
/// counted, no evidence could ever be attached to what it is about.
fn tidy_annotations(metadata: &mut Object) {
    let mut is_empty = false;
    if let Some((_, Json::Object(annotations))) = metadata.iter_mut().find(|(key, _)| *key == "annotations") {
        let ours: Vec<String> = annotations
            .iter()
            .map(|(key, _)| key.to_owned())
            .filter(|key| key.starts_with(PREFIX) || key == LAST_APPLIED)
            .collect();
        for key in ours {
            annotations.remove(&key);
        }
        is_empty = annotations.is_empty();
    }
    if is_empty {
        metadata.remove("annotations");
    }
}

fn omit(object: &mut Object, entry: &Omitted) {
    let is_kept = match entry.keep {
        Keep::Never => false,
        Keep::IfIs(value) => at(object, entry.path).is_some_and(|v| is_only(v, value)),
        Keep::IfTrue(path) => matches!(at(object, path), Some(Json::Bool(true))),
    };
    if !is_kept {
        remove(object, entry.path);
    }
}

fn is_only(found: &Json, value: &str) -> bool {
    match found {
        Json::String(text) => text == value,
        Json::Array(items) => items.len() == 1 && items.iter().all(|item| is_only(item, value)),
        _ => false,
    }
}

fn at<'a>(object: &'a Object, path: &[&str]) -> Option<&'a Json> {
    let (first, rest) = path.split_first()?;
    let value = object.get(first)?;
    if rest.is_empty() { Some(value) } else { at(value.as_object().ok()?, rest) }
}

/// Removes a field; `[*]` is every item. A map that becomes empty goes too: before the server filled it in, it was not
/// there.
fn remove(object: &mut Object, path: &[&str]) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        object.remove(first);
        return;
    }
    let mut is_empty = false;
    if let Some((_, value)) = object.iter_mut().find(|(key, _)| key == first) {
        match value {
            Json::Object(inner) => {
                remove(inner, rest);
                is_empty = inner.is_empty();
            }
            Json::Array(items) => {
                let rest = rest.strip_prefix(&["[*]"]).unwrap_or(rest);
                for item in items {
                    if let Json::Object(inner) = item {
                        remove(inner, rest);
                    }
                }
            }
            _ => {}
        }
    }
    if is_empty {
        object.remove(first);
    }
}

/// Replaces every value by HMAC-SHA256 under the key, over the Secret's place, the value's name and the value: equal
/// values in two places do not look equal, and nobody without the key can try out values.
fn bind_secret(object: &mut Object, key: &[u8]) -> Result<(), FormError> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let text = |object: &Object, name: &str| match at(object, &["metadata", name]) {
        Some(Json::String(text)) => text.clone(),
        _ => String::new(),
    };
    let (namespace, place) = (text(object, "namespace"), text(object, "name"));
    for field in ["data", "stringData"] {
        let Some((_, value)) = object.iter_mut().find(|(name, _)| *name == field) else { continue };
        let Json::Object(data) = value else {
            if *value == Json::Null {
                continue;
            }
            return Err(FormError::SecretShape(field));
        };
        for (name, value) in data.iter_mut() {
            let Json::String(secret) = value else { return Err(FormError::SecretShape(field)) };
            let mut context = hmac::Context::with_key(&key);
            for part in [namespace.as_str(), &place, field, name, secret] {
                context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
                context.update(part.as_bytes());
            }
            let tag = attest::digest::to_hex(context.sign().as_ref());
            *value = Json::from(format!("hmac-sha256:{tag}"));
        }
    }
    Ok(())
}
