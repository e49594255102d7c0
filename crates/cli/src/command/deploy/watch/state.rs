//! What the agent knows across its own death.

use std::path::Path;

use attest::{Digest, Json, Object};

use crate::failure::Failure;
use crate::input;

const FILE: &str = "state.json";

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// The last release that was well.
    pub(super) good: Option<Digest>,
    /// The one that was not: it is not tried again.
    pub(super) bad: Option<Digest>,
    /// The one that was switched to and started; nothing in between.
    pub(super) settled: Option<Digest>,
}

impl State {
    pub(super) fn read(dir: &Path) -> Result<Self, Failure> {
        let file = dir.join(FILE);
        if !file.exists() {
            return Ok(Self::default());
        }
        let bad = |found: &str| {
            Failure::new(&format!("the agent's state {} cannot be read", file.display()))
                .line("found", found)
                .line("fix", "remove it: what the pointer names is then decided about anew")
        };
        let json =
            attest::json::parse(input::text("state", &file)?.as_bytes()).map_err(|e| bad(&e.to_string()))?;
        let read = |key: &str| {
            let text = json.as_object().and_then(|object| object.optional_string(key));
            let text = text.map_err(|e| bad(&e.to_string()))?;
            text.map(|text| Digest::parse(text).map_err(|e| bad(&e.to_string()))).transpose()
        };
        Ok(Self { good: read("good")?, bad: read("bad")?, settled: read("settled")? })
    }

    pub(super) fn write(&self, dir: &Path) -> Result<(), Failure> {
        let mut object = Object::new();
        for (key, digest) in [("good", &self.good), ("bad", &self.bad), ("settled", &self.settled)] {
            object.set_some(key, digest.as_ref().map(ToString::to_string));
        }
        crate::keys::write(&dir.join(FILE), &format!("{}\n", Json::from(object)))
    }
}
