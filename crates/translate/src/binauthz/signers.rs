//! Who may sign, for the fragment of a trust root: each key is one name's.

use std::collections::BTreeMap;

use attest::PublicKey;

use crate::draft::{Draft, Effect, key_entry, one_line, quoted};

/// Names with their keys, and whose each key is.
#[derive(Debug, Default)]
pub(super) struct Signers {
    names: BTreeMap<String, Vec<PublicKey>>,
    owners: BTreeMap<String, String>,
}

impl Signers {
    /// Adds a key to a name. One key under two names would let one secret speak as two, so the first keeps it.
    pub(super) fn add(&mut self, name: &str, key: &PublicKey, draft: &mut Draft) {
        let owner = self.owners.entry(key.id()).or_insert_with(|| name.to_owned());
        if owner != name {
            let why = "one key is one name's: what it signs counts for that name alone";
            draft.note(Effect::Stricter, name, &format!("a key that {owner} has too"), why);
            return;
        }
        let keys = self.names.entry(name.to_owned()).or_default();
        if !keys.contains(key) {
            keys.push(key.clone());
        }
    }

    /// Adds a key under a name of its own.
    pub(super) fn add_alone(&mut self, key: &PublicKey, draft: &mut Draft) -> String {
        let own = format!("key-{}", key.id().chars().take(16).collect::<String>());
        let name = self.owners.get(&key.id()).cloned().unwrap_or(own);
        self.add(&name, key, draft);
        name
    }

    /// The section of the trust root.
    pub(super) fn to_yaml(&self) -> String {
        if self.names.is_empty() {
            return String::new();
        }
        let mut out = String::from("signers:\n");
        for (name, keys) in &self.names {
            let keys: String = keys.iter().map(|key| key_entry(key, None)).collect();
            out.push_str(&format!("  {}:\n    keys:\n{keys}", quoted(&one_line(name))));
        }
        out
    }
}
