//! `portcullis log signatures`: no release signature without its decision, on record, and none that is out there and not on
//! record.

use std::path::PathBuf;

use attest::{Digest, Json, Object};
use chokepoint::{Rests, Signed};
use jiff::Timestamp;

use super::{Key, walk};
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;

/// A signature's file is a text, or a text with its signature.
const MAX_FILE: u64 = 16 << 20;

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  portcullis log signatures log dists/stable/InRelease --key log.vkey")]
pub(crate) struct Args {
    /// The log's folder
    dir: PathBuf,
    /// Signatures as they were published: each must be on record
    files: Vec<PathBuf>,
    #[command(flatten)]
    key: Key,
}

/// A signature on record.
struct Found {
    index: u64,
    at: Timestamp,
    signed: Result<Signed, String>,
    wrong: Option<&'static str>,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let key = args.key.read(&args.dir)?;
    let (mut rests, mut all) = (Rests::default(), Vec::new());
    walk(&args.dir, &key, None, |index, leaf| {
        let found = rests.add(leaf);
        all.extend(found.map(|(at, signed, wrong)| Found { index, at, signed, wrong }));
    })?;
    let mut lost = Vec::new();
    for file in &args.files {
        let digest = Digest::sha256(&input::read("signature", file, MAX_FILE)?);
        let is_it = |one: &&Found| one.signed.as_ref().is_ok_and(|signed| signed.signature == digest);
        if !all.iter().any(|one| is_it(&one)) {
            lost.push((file, digest));
        }
    }
    let mut human: String = all.iter().map(Found::line).collect();
    for (file, digest) in &lost {
        human.push_str(&format!("not on record: {}, {digest}\n", file.display()));
    }
    let is_clean = lost.is_empty() && all.iter().all(|one| one.wrong.is_none());
    human.push_str(match (all.len(), is_clean) {
        (0, true) => "no signature is on record\n",
        (_, true) => "every signature rests on a decision\n",
        (_, false) => "a signature rests on no decision: find out who else has the key, and revoke it\n",
    });
    output.result(&human, || {
        let lost = lost.iter().map(|(file, digest)| {
            Object::new().with("file", file.display().to_string()).with("digest", digest.to_string()).into()
        });
        Object::new()
            .with("signatures", Json::Array(all.iter().map(|one| one.to_json().into()).collect()))
            .with("not_on_record", Json::Array(lost.collect()))
            .into()
    });
    Ok(if is_clean { Exit::Clean } else { Exit::Found })
}

impl Found {
    fn line(&self) -> String {
        let says = match &self.signed {
            Ok(signed) => format!(
                "{:<13}  {}  file {}  signature {}  record {}",
                signed.form,
                policy::one_line(&signed.environment),
                signed.file.short(),
                signed.signature.short(),
                policy::one_line(signed.record.split(':').next().unwrap_or_default())
            ),
            Err(why) => policy::one_line(why),
        };
        let wrong = self.wrong.map(|why| format!("\n        WRONG: {why}")).unwrap_or_default();
        format!("{:>6}  {}  {says}{wrong}\n", self.index, super::show::second(self.at))
    }

    fn to_json(&self) -> Object {
        let mut object = Object::new()
            .with("index", i64::try_from(self.index).unwrap_or(i64::MAX))
            .with("at", self.at.to_string());
        if let Ok(signed) = &self.signed {
            object.set("signed", signed.event(self.at).body);
        }
        object.set_some("wrong", self.wrong);
        object
    }
}
