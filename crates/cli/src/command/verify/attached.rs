//! Evidence that is attached to an image, fetched before anything is decided.

use std::path::PathBuf;

use attest::{Artifact, Digest, Directly, Json, Object, TrustRoot};
use jiff::Timestamp;
use policy::LeftOut;
use registry::{Answer, Evidence, Layout, Limits, Reference, Wanted};

use crate::command::registry::{Access, image, not_known};
use crate::failure::Failure;

/// Where evidence is attached
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Attached {
    /// Fetch the evidence that is attached to the image in its registry
    #[arg(long, conflicts_with = "layout")]
    registry: bool,
    /// Take the evidence that is attached to the image in this OCI image layout
    #[arg(long, value_name = "DIR")]
    layout: Option<PathBuf>,
    /// Of what is attached, take only the piece or the manifest with this digest
    #[arg(long, value_name = "DIGEST")]
    only: Option<String>,
    #[command(flatten)]
    access: Access,
}

/// What is attached.
pub(crate) struct Fetched {
    pub(crate) attached: server::attached::Attached,
    /// Whether somebody chose it, who is not second-guessed.
    is_named: bool,
}

impl Attached {
    pub(crate) fn is_asked(&self) -> bool {
        self.registry || self.layout.is_some()
    }

    /// What is attached to an image; nothing where nobody asked for it.
    pub(crate) fn fetch(&self, artifact: &str) -> Result<Option<Fetched>, Failure> {
        if !self.is_asked() {
            return match &self.only {
                None => Ok(None),
                Some(_) => Err(Failure::new("--only says which of the attached evidence to take")
                    .line("fix", "say where it is attached: --registry, or --layout DIR")),
            };
        }
        let (reference, digest) = image(artifact)?;
        let evidence = match self.ask(&reference, &digest)? {
            Answer::Found(evidence) => Some(evidence),
            Answer::None => None,
            Answer::Unknown(unknown) => return Err(not_known(artifact, &unknown)),
        };
        if let (Some(only), None) = (&self.only, &evidence) {
            return Err(Failure::new(&format!("{only} is not attached to {artifact}"))
                .code("not-attached")
                .found()
                .line("fix", "leave --only out, to take all that is attached"));
        }
        Ok(Some(Fetched::of(evidence, self.only.is_some())))
    }

    fn ask(&self, reference: &Reference, image: &Digest) -> Result<Answer<Evidence>, Failure> {
        let wanted =
            match &self.only {
                None => Wanted::All,
                Some(text) => Wanted::Only(Digest::parse(text).map_err(|e| {
                    Failure::new(&format!("{text} is no digest")).line("found", &e.to_string())
                })?),
            };
        let Some(dir) = &self.layout else {
            return Ok(self.access.client(reference)?.evidence_for(reference, image, &wanted));
        };
        let layout = Layout::open(dir, Limits::default()).map_err(|e| {
            Failure::new(&format!("{} is no OCI image layout", dir.display()))
                .line("found", &e.to_string())
                .line("fix", "write one with: oras copy --recursive IMAGE --to-oci-layout DIR")
        })?;
        Ok(layout.evidence_for(image, &wanted))
    }
}

impl Fetched {
    fn of(evidence: Option<Evidence>, is_named: bool) -> Self {
        let attached = evidence.map(server::attached::Attached::of).unwrap_or_default();
        Self { attached, is_named }
    }

    pub(crate) fn select(mut self, artifact: &Artifact, root: &TrustRoot, at: Timestamp) -> Self {
        if !self.is_named {
            self.attached = self.attached.select(artifact, root, &Directly, at);
        }
        self
    }

    pub(crate) fn text(&self, image: &str) -> String {
        let Self { attached, .. } = self;
        let found = attached.envelopes.len() + attached.left_out.len();
        let count = |n: usize| if n == 1 { "1 piece".to_owned() } else { format!("{n} pieces") };
        let mut text = match found {
            0 => format!("no evidence is attached to {image}"),
            n => format!("{} of evidence attached to {image}", count(n)),
        };
        if found + attached.unread.len() < attached.records {
            text.push_str(&format!(", of {} records; name another one: --only DIGEST", attached.records));
        }
        if !attached.unread.is_empty() {
            text.push_str(&format!(
                "; {} not read: signatures without a statement",
                count(attached.unread.len())
            ));
        }
        for LeftOut { name, why } in &attached.left_out {
            text.push_str(&format!("\n  left out  {name}: {why}"));
        }
        text
    }

    pub(crate) fn to_json(&self) -> Json {
        let Self { attached, .. } = self;
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let unread: Vec<String> = attached.unread.iter().map(Digest::to_string).collect();
        let left_out = |l: &LeftOut| Object::new().with("name", l.name.as_str()).with("why", l.why.as_str());
        let left_out: Vec<Object> = attached.left_out.iter().map(left_out).collect();
        let object = Object::new().with("taken", number(attached.envelopes.len()));
        object
            .with("records", number(attached.records))
            .with("unread", unread)
            .with("left_out", left_out)
            .into()
    }
}
