//! One key counts once.
//!
//! TUF's key ids are names that the producer chooses, and thresholds count those names: a key under two names could
//! meet a threshold of two alone (GHSA-3633-5h82-39pq, and again go-tuf#733; `sigstore-tuf` counts names as well). So a
//! role that lists one key under two names is refused wherever it is defined: in a root, or in a delegation.

use std::collections::{BTreeMap, BTreeSet};

use attest::digest::parse_hex;
use attest::{PublicKey, Scheme, pem};
use sigstore_tuf::{Key, Metadata, Root, Targets};

/// Refuses a root or targets file in which some role lists one key under two names. Anything that is neither is left
/// to the verification that follows.
pub(crate) fn check(name: &str, bytes: &[u8]) -> Result<(), String> {
    if let Ok(root) = Metadata::<Root>::from_slice(bytes) {
        let root = root.signed();
        return root.roles.iter().try_for_each(|(role, keys)| distinct(name, role, &keys.keyids, &root.keys));
    }
    let Ok(targets) = Metadata::<Targets>::from_slice(bytes) else { return Ok(()) };
    let Some(delegations) = &targets.signed().delegations else { return Ok(()) };
    delegations.roles.iter().try_for_each(|role| distinct(name, &role.name, &role.keyids, &delegations.keys))
}

fn distinct(file: &str, role: &str, ids: &[String], keys: &BTreeMap<String, Key>) -> Result<(), String> {
    let ids: BTreeSet<&String> = ids.iter().collect();
    let mut seen: BTreeMap<Vec<u8>, &String> = BTreeMap::new();
    for id in ids {
        let Some(key) = keys.get(id) else { continue };
        if let Some(other) = seen.insert(identity(key), id) {
            return Err(format!("{file} lists one key of the role {role} under two names, {other} and {id}"));
        }
    }
    Ok(())
}

/// The same bytes for the same key, however it is written.
fn identity(key: &Key) -> Vec<u8> {
    let text = key.keyval.public.trim();
    if let Some(raw) = parse_hex(&text.to_ascii_lowercase()) {
        return PublicKey::from_raw(Scheme::Ed25519, &raw).map(|key| key.spki().to_vec()).unwrap_or(raw);
    }
    match (PublicKey::from_pem(text), pem::decode(text)) {
        (Ok(key), _) => key.spki().to_vec(),
        (Err(_), Some((_, der))) => der,
        (Err(_), None) => text.as_bytes().to_vec(),
    }
}
