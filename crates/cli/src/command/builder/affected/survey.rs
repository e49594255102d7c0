//! What is known of every build, as far as it is needed to say which are affected.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use attest::open::Disowned;
use attest::statement::Subject;
use attest::{Digest, Envelope, Json, OpenError, Predicate};
use jiff::Timestamp;

use super::Found;
use crate::failure::Failure;
use crate::trust::{Opened, Trusted, short};

/// What is kept of each build is some hundred bytes; more builds are asked for in parts.
const MAX_BUILDS: usize = 200_000;

/// Every bundle that was read.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// The builds.
    pub(super) builds: Vec<Build>,
    /// What could not be judged, and why.
    pub(super) unjudged: Vec<(String, String)>,
    /// How many bundles say something else.
    pub(super) others: usize,
    /// Which builds used what: the same inputs come again and again, and are kept once.
    users: BTreeMap<Digest, Vec<usize>>,
    envelopes: BTreeSet<Digest>,
    payloads: BTreeSet<Digest>,
}

/// One build.
#[derive(Debug)]
pub(super) struct Build {
    pub(super) file: String,
    pub(super) subjects: Vec<Subject>,
    pub(super) signer: String,
    pub(super) version: Option<String>,
    pub(super) finished: Option<Timestamp>,
    why: Option<Why>,
}

/// Why a build is affected.
#[derive(Debug)]
pub(super) enum Why {
    /// Recalled, for this reason.
    Recalled(String),
    /// Its key counts no more.
    Key(String),
    /// An affected build, by its place, made one of its inputs.
    BuiltFrom(usize),
}

impl Survey {
    /// Takes a bundle in. The same bytes twice count once.
    pub(super) fn add(&mut self, (path, found): Found<'_>, trusted: &Trusted) -> Result<(), Failure> {
        let file = path.display().to_string();
        let submitted = match found {
            Ok(submitted) => submitted,
            Err(why) => {
                self.unjudged.push((file, why));
                return Ok(());
            }
        };
        if !self.envelopes.insert(Digest::sha256(&submitted.bytes)) {
            return Ok(());
        }
        if let Ok(envelope) = Envelope::parse(&submitted.bytes) {
            self.payloads.insert(envelope.payload_digest());
        }
        self.judge(file, trusted.open(&submitted), trusted);
        if self.builds.len() > MAX_BUILDS {
            return Err(Failure::new("too many builds at once")
                .line("wanted", &format!("at most {MAX_BUILDS}"))
                .line("fix", "name folders one by one; what was built from another folder's builds shows only together"));
        }
        Ok(())
    }

    fn judge(&mut self, file: String, opened: Opened, trusted: &Trusted) {
        match opened {
            Opened::Provenance(proven) => {
                let why = proven.recalled.map(Why::Recalled);
                self.keep(file, proven.subjects, proven.signer, &proven.provenance, why);
            }
            Opened::Disowned(disowned) => self.judge_disowned(file, *disowned, trusted),
            Opened::Other(_) => self.others += 1,
            Opened::Not(why) => self.unjudged.push((file, why)),
        }
    }

    /// What a revoked key signed is invalid with it. A key that merely ended says nothing of its builds: they are
    /// affected where a recall covers them, and else not judged.
    fn judge_disowned(&mut self, file: String, disowned: Disowned, trusted: &Trusted) {
        let Disowned { signer, statement, reason } = disowned;
        let Predicate::Provenance(provenance) = &statement.predicate else {
            self.others += 1;
            return;
        };
        let is_revoked = matches!(reason, OpenError::Revoked { .. });
        let why = match trusted.recall(&signer, provenance) {
            Some(recall) => Some(Why::Recalled(recall)),
            None => is_revoked.then(|| Why::Key(reason.to_string())),
        };
        if why.is_some() && trusted.is_builder(&signer, provenance) {
            self.keep(file, statement.subjects, signer, provenance, why);
        } else {
            self.unjudged.push((file, reason.to_string()));
        }
    }

    fn keep(
        &mut self,
        file: String,
        subjects: Vec<Subject>,
        signer: String,
        provenance: &attest::Provenance,
        why: Option<Why>,
    ) {
        for digest in provenance.dependencies.iter().flat_map(|d| d.digests.iter()) {
            self.users.entry(digest).or_default().push(self.builds.len());
        }
        self.builds.push(Build {
            file,
            subjects,
            signer,
            version: provenance.builder_version.clone(),
            finished: provenance.finished,
            why,
        });
    }

    /// Names every signature of a log of which no bundle was read: a build may be affected that nobody showed.
    pub(super) fn compare(&mut self, log: &str, leaves: &[(u64, Vec<u8>)]) {
        for (index, leaf) in leaves {
            let payload = logged_payload(leaf);
            if !payload.is_some_and(|payload| self.payloads.contains(&payload)) {
                let why = "signed and logged, and its bundle is not among those that were read";
                self.unjudged.push((format!("{log}, signature {index}"), why.to_owned()));
            }
        }
    }

    /// Marks what was built from something affected, and what was built from that.
    pub(super) fn spread(&mut self) {
        let is_affected = |(_, build): &(usize, &Build)| build.why.is_some();
        let mut queue: VecDeque<usize> =
            self.builds.iter().enumerate().filter(is_affected).map(|(place, _)| place).collect();
        while let Some(maker) = queue.pop_front() {
            let made = self.builds.get(maker).map(|b| b.subjects.iter().flat_map(|s| s.digests.iter()));
            let made: Vec<Digest> = made.into_iter().flatten().collect();
            for user in made.iter().filter_map(|digest| self.users.get(digest)).flatten() {
                if let Some(build) = self.builds.get_mut(*user).filter(|build| build.why.is_none()) {
                    build.why = Some(Why::BuiltFrom(maker));
                    queue.push_back(*user);
                }
            }
        }
    }

    /// The affected builds, in the order in which they were read.
    pub(super) fn affected(&self) -> impl Iterator<Item = (&Build, &Why)> {
        self.builds.iter().filter_map(|build| Some((build, build.why.as_ref()?)))
    }

    /// A reason as a label and a text.
    pub(super) fn because(&self, why: &Why) -> (&'static str, String) {
        match why {
            Why::Recalled(reason) => ("recalled", reason.clone()),
            Why::Key(reason) => ("key", reason.clone()),
            Why::BuiltFrom(place) => {
                let made = self.builds.get(*place).and_then(|b| b.subjects.first()).map(short);
                ("built from", format!("{}, which is affected", made.unwrap_or_default()))
            }
        }
    }
}

/// The payload's digest in a leaf of a log of signatures.
fn logged_payload(leaf: &[u8]) -> Option<Digest> {
    let leaf: Json = attest::json::parse(leaf).ok()?;
    let hash = leaf.as_object().ok()?.object("spec").ok()?.object("payloadHash").ok()?;
    Digest::parse(&format!("{}:{}", hash.string("algorithm").ok()?, hash.string("value").ok()?)).ok()
}
