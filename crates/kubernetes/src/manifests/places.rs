//! What the configuration names beside the book and the trust root, and where it is in a Pod: what is written goes to the
//! replica's volume, what is public to the ConfigMap, and what is secret to a Secret that the operator makes.

use std::collections::{BTreeMap, BTreeSet};

use attest::{Json, Object};

use super::ManifestError;

/// The replica's volume.
pub(super) const DATA: &str = "/var/lib/portcullis";
/// Keys and authorities that no manifest holds.
pub(super) const SECRETS: &str = "/etc/portcullis-secrets";
/// Advisories, which somebody else brings up to date.
pub(super) const ADVISORIES: &str = "/etc/portcullis-advisories";
/// The folder of the witnesses' keys, beside the book.
pub(super) const WITNESSES: &str = "witnesses";
/// Those of a sink of alarms that are secret, or stand beside what is.
const OF_SINK: [&str; 3] = ["secret", "password", "ca"];

/// The configuration of a Pod, but for what every configuration names.
pub(super) fn in_pod(mut whole: Object) -> Object {
    if whole.get("inventory").is_some() {
        whole.set("inventory", format!("{DATA}/inventory"));
    }
    change(&mut whole, "alarms", |alarms| each(alarms, "sinks", sink));
    change(&mut whole, "verify", |verify| {
        let moved = texts(verify, "advisories").map(|from| Json::from(below(ADVISORIES, from)));
        let moved: Vec<Json> = moved.collect();
        if !moved.is_empty() {
            verify.set("advisories", moved);
        }
    });
    change(&mut whole, "witnesses", |witnesses| {
        to(witnesses, "ca", WITNESSES);
        each(witnesses, "of", |one| to(one, "key", WITNESSES));
    });
    change(&mut whole, "webhook", |webhook| to(webhook, "secret-key", SECRETS));
    whole
}

fn sink(sink: &mut Object) {
    to(sink, "file", DATA);
    OF_SINK.iter().for_each(|key| to(sink, key, SECRETS));
}

/// Files that go to the ConfigMap, as the configuration names them.
pub(super) fn public(whole: &Object) -> Vec<String> {
    let Some(witnesses) = object(whole, "witnesses") else { return Vec::new() };
    let keys = objects(witnesses, "of").filter_map(|one| text(one, "key"));
    keys.chain(text(witnesses, "ca")).map(str::to_owned).collect()
}

/// The keys that the operator's Secret must have.
///
/// # Errors
/// [`ManifestError`] for two files of one name, and for a name that no Secret takes.
pub(super) fn secrets(whole: &Object) -> Result<BTreeSet<String>, ManifestError> {
    let sinks = object(whole, "alarms").into_iter().flat_map(|alarms| objects(alarms, "sinks"));
    let of_sinks = sinks.flat_map(|sink| OF_SINK.into_iter().filter_map(move |key| text(sink, key)));
    let own = object(whole, "webhook").and_then(|webhook| text(webhook, "secret-key"));
    distinct(of_sinks.chain(own))
}

/// The names of files, where each is another's.
pub(super) fn distinct<'t>(files: impl Iterator<Item = &'t str>) -> Result<BTreeSet<String>, ManifestError> {
    let mut from: BTreeMap<&str, &str> = BTreeMap::new();
    for file in files {
        let name = base(file);
        let is_key = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if !is_key || matches!(name, "" | "." | "..") {
            let wanted = "a name of letters, digits, `.`, `_` and `-`";
            return Err(ManifestError::new(
                "no Pod has a file of this name",
                wanted,
                file,
                "rename the file",
            ));
        }
        if let Some(other) = from.insert(name, file).filter(|other| *other != file) {
            let (wanted, found) = ("names that differ", format!("{other} and {file}"));
            let fix = "rename one of them";
            return Err(ManifestError::new("two files have one name in a Pod", wanted, &found, fix));
        }
    }
    Ok(from.into_keys().map(str::to_owned).collect())
}

/// # Errors
/// [`ManifestError`] where two folders have one name.
pub(super) fn distinct_folders(names: &[Option<&str>]) -> Result<(), ManifestError> {
    let mut seen = BTreeSet::new();
    let Some(twice) = names.iter().flatten().find(|name| !seen.insert(**name)) else { return Ok(()) };
    let wanted =
        "folders of different names for the book, for the policies of `governance`, and for `witnesses`";
    Err(ManifestError::new("two folders have one name in a Pod", wanted, twice, "rename one of them"))
}

/// Whether advisories are asked.
pub(super) fn has_advisories(whole: &Object) -> bool {
    object(whole, "verify").is_some_and(|verify| texts(verify, "advisories").next().is_some())
}

/// The ports of whom it calls by itself: the collector of traces, those who are told alarms, and witnesses.
pub(super) fn ports(whole: &Object) -> BTreeSet<i64> {
    let traces = object(whole, "traces").and_then(|traces| text(traces, "endpoint"));
    let sinks = || object(whole, "alarms").into_iter().flat_map(|alarms| objects(alarms, "sinks"));
    let witnesses = object(whole, "witnesses").into_iter().flat_map(|witnesses| objects(witnesses, "of"));
    let told = sinks().filter_map(|sink| text(sink, "webhook"));
    let urls = traces.into_iter().chain(told).chain(witnesses.filter_map(|one| text(one, "url")));
    let mail = sinks().filter_map(|sink| text(sink, "smtp")?.rsplit_once(':')?.1.parse().ok());
    urls.filter_map(port).chain(mail).collect()
}

fn port(url: &str) -> Option<i64> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?;
    let default = if scheme == "https" { 443 } else { 80 };
    // the brackets of an address of version 6 hold colons, too
    let after = host.rsplit(']').next().unwrap_or(host);
    Some(after.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(default))
}

pub(super) fn base(file: &str) -> &str {
    file.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

pub(super) fn below(folder: &str, file: &str) -> String {
    format!("{folder}/{}", base(file))
}

fn object<'o>(of: &'o Object, key: &str) -> Option<&'o Object> {
    of.get(key)?.as_object().ok()
}

fn objects<'o>(of: &'o Object, key: &str) -> impl Iterator<Item = &'o Object> {
    let list = of.get(key).and_then(|list| list.as_array().ok()).unwrap_or_default();
    list.iter().filter_map(|one| one.as_object().ok())
}

fn text<'o>(of: &'o Object, key: &str) -> Option<&'o str> {
    of.get(key)?.as_str().ok()
}

fn texts<'o>(of: &'o Object, key: &str) -> impl Iterator<Item = &'o str> {
    let list = of.get(key).and_then(|list| list.as_array().ok()).unwrap_or_default();
    list.iter().filter_map(|one| one.as_str().ok())
}

fn change(whole: &mut Object, key: &str, to: impl FnOnce(&mut Object)) {
    if let Some(mut part) = object(whole, key).cloned() {
        to(&mut part);
        whole.set(key, part);
    }
}

fn each(of: &mut Object, key: &str, to: impl Fn(&mut Object)) {
    let changed = |one: &Object| {
        let mut one = one.clone();
        to(&mut one);
        Json::from(one)
    };
    let all: Vec<Json> = objects(of, key).map(changed).collect();
    if of.get(key).is_some() {
        of.set(key, all);
    }
}

fn to(of: &mut Object, key: &str, folder: &str) {
    if let Some(place) = text(of, key).map(|file| below(folder, file)) {
        of.set(key, place);
    }
}
