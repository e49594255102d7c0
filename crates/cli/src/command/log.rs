//! `portcullis log …`: verify, show and prove, and be a witness of logs.

mod audit;
mod prove;
pub(crate) mod shared;
mod show;
mod signatures;
mod witness;
mod witnesses;

mod writer;

use std::path::{Path, PathBuf};

use attest::note::{Checkpoint, Note, NoteKey};
use attest::{Json, Object};
use chokepoint::{Entry, RecordError, chain};
use tlog::{Blobs, Files};

use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;
use witnesses::{Seen, Witnesses};

pub(crate) use writer::Writer;

#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  portcullis log verify log --key log.vkey
  portcullis log show log
  portcullis log show log --kind decision --since 2026-11-22T00:00:00Z
  portcullis log show log 17 --key log.vkey
  portcullis log signatures log InRelease shop.tar.gz.minisig --key log.vkey
  portcullis log verify log --key log.vkey --witness w1.example=w1.vkey
  portcullis log prove log 17 --witnessed --with-record > 17.tlog-proof
  portcullis log verify-proof 17.tlog-proof --key log.vkey --witness w1.example=w1.vkey
  portcullis log witness --state w1 --key w1.key --name w1.example --listen 127.0.0.1:7380 \\
      --log shop.example/decisions=log.vkey
  portcullis log audit --audit-log audit.log --log log
  portcullis log create --config serve.yaml --owner postgres")]
pub(crate) enum Command {
    /// Verify the whole log: every record, every part it names, every tile, the signed root
    Verify {
        /// The log's folder
        dir: PathBuf,
        #[command(flatten)]
        key: Key,
        /// A checkpoint that was seen before: the log must continue it
        #[arg(long, value_name = "FILE")]
        seen: Option<PathBuf>,
        #[command(flatten)]
        witnesses: Witnesses,
        /// The checkpoint that the witnesses cosigned, which the log must continue; without, `witnessed` beside the log
        #[arg(long, value_name = "FILE", requires = "witnesses", conflicts_with = "seen")]
        cosigned: Option<PathBuf>,
    },
    /// List the records, or show one whole
    Show(show::Args),
    /// Find of every release signature on record, and of files with signatures, the decision that it rests on
    Signatures(signatures::Args),
    /// Prove that a record is in the log (C2SP tlog-proof)
    Prove(prove::Prove),
    /// Verify offline that a record is in a log, and which witnesses saw that
    VerifyProof(prove::VerifyProof),
    /// Cosign the checkpoints of logs that continue what was seen of them, and no others (C2SP tlog-witness)
    Witness(witness::Args),
    /// Compare an API server's audit log with the decisions on record, and list what nobody decided
    Audit(audit::Arguments),
    /// Make the log that several replicas share, in PostgreSQL
    Create(shared::Create),
    /// Raise the database of a shared log to its folder, after a restore
    Adopt(shared::Adopt),
}

/// Under which key a log is believed.
#[derive(Debug, clap::Args)]
pub(crate) struct Key {
    /// The log's verifier key; without, the one that lies beside the log, which an intruder could have replaced too
    #[arg(long = "key", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Key {
    /// The key that lies beside the log.
    pub(crate) fn beside() -> Self {
        Self { file: None }
    }

    /// The key in a file, or without one the key beside the log.
    pub(crate) fn of(file: Option<&Path>) -> Self {
        Self { file: file.map(Path::to_owned) }
    }

    pub(crate) fn read(&self, dir: &Path) -> Result<NoteKey, Failure> {
        let path = self.file.clone().unwrap_or_else(|| dir.join("log.vkey"));
        let text = input::text("log's key", &path)?;
        NoteKey::parse(&text).map(|(key, _)| key).ok_or_else(|| {
            Failure::new(&format!("{} is no verifier key", path.display()))
                .line("wanted", "name+1a2b3c4d+base64, as beside the log in log.vkey")
        })
    }
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Verify { dir, key, seen, witnesses, cosigned } => {
            let key = key.read(dir)?;
            let seen = match seen {
                Some(path) => Seen { checkpoint: Some(read_seen(path, &key)?), witnesses: Vec::new() },
                None => witnesses.read_seen(dir, cosigned.as_deref(), &key)?,
            };
            verify(dir, &key, &seen, output)
        }
        Command::Show(args) => show::run(args, output),
        Command::Signatures(args) => signatures::run(args, output),
        Command::Prove(args) => prove::prove(args, output),
        Command::VerifyProof(args) => prove::verify(args, output),
        Command::Witness(args) => witness::run(args, output),
        Command::Audit(arguments) => audit::run(arguments, output),
        Command::Create(args) => shared::create(args, output),
        Command::Adopt(args) => shared::adopt(args, output),
    }
}

/// A checkpoint that somebody kept, signed by the log.
fn read_seen(path: &Path, key: &NoteKey) -> Result<Checkpoint, Failure> {
    let note = Note::parse(&input::text("checkpoint", path)?).filter(|n| n.is_signed_by(key));
    let checkpoint = note.and_then(|n| Checkpoint::parse(n.text()));
    checkpoint.ok_or_else(|| {
        Failure::new(&format!("{} is no checkpoint of this log", path.display()))
            .line("wanted", &format!("a signed note of {}, as in the log's file `checkpoint`", key.name))
            .line("fix", "name a copy of that file that was kept, or another log's key with --key")
    })
}

/// The places and bytes of a log's records.
type Leaves = Vec<(u64, Vec<u8>)>;

/// The records of a log, each proven; what is wrong is a finding.
pub(crate) fn records(
    dir: &Path,
    key: &NoteKey,
    seen: Option<&Checkpoint>,
) -> Result<(Leaves, Checkpoint), Failure> {
    let mut leaves = Vec::new();
    let checkpoint = walk(dir, key, seen, |index, leaf| leaves.push((index, leaf.to_vec())))?;
    Ok((leaves, checkpoint))
}

/// Walks through a log and proves it; `entry` is told each record. What is wrong is a finding.
pub(crate) fn walk(
    dir: &Path,
    key: &NoteKey,
    seen: Option<&Checkpoint>,
    entry: impl FnMut(u64, &[u8]),
) -> Result<Checkpoint, Failure> {
    let checkpoint = dir.join("checkpoint");
    if !checkpoint.exists() {
        return Err(Failure::new(&format!("the log in {} has no checkpoint", dir.display()))
            .line("wanted", "the signed root of the tree, in the file `checkpoint`")
            .line("fix", "restore it from a backup or a mirror; without it nothing here can be proven")
            .found());
    }
    let verified = tlog::verify(&Files::new(dir), key, seen, entry).map_err(|flaw| {
        Failure::new(&format!("the log in {} is not what was written", dir.display()))
            .line("found", &flaw.to_string())
            .line(
                "fix",
                "keep this copy for the investigation, and restore the log from a backup or a mirror",
            )
            .found()
    })?;
    Ok(verified.checkpoint)
}

/// How many records were acknowledged and are not in the tree yet: a service that runs applies them at once, and one
/// that was killed when it starts again.
fn waiting(dir: &Path, key: &NoteKey, size: u64) -> Result<u64, Failure> {
    let files = Files::new(dir);
    let mut now = size;
    loop {
        let pending = match tlog::pending(&files, key, now) {
            Ok(batches) => batches,
            Err(e) => {
                // a service that runs may have applied some of it since, and written over it
                let newer = std::fs::read_to_string(dir.join("checkpoint")).ok();
                let newer = newer.and_then(|text| Checkpoint::parse(Note::parse(&text)?.text()));
                match newer.filter(|checkpoint| checkpoint.size > now) {
                    Some(checkpoint) => {
                        now = checkpoint.size;
                        continue;
                    }
                    None => {
                        return Err(Failure::new("the journal beside the log is not what was written")
                            .line("found", &e.to_string())
                            .found());
                    }
                }
            }
        };
        let leaves = pending.iter().map(|batch| u64::try_from(batch.leaves.len()).unwrap_or(u64::MAX));
        return Ok(leaves.sum::<u64>() + (now - size));
    }
}

/// The line that says so.
fn waiting_line(waiting: u64) -> String {
    match waiting {
        0 => String::new(),
        n => format!("{n} more are in the journal, and enter the log when it is opened for writing\n"),
    }
}

/// What a walk through a log came to, entry by entry.
struct Verified<'b> {
    blobs: &'b Blobs<Files>,
    chain: chain::Check,
    decisions: i64,
    events: i64,
    /// The first entry that names something which is not there as it was written.
    broken: Option<(u64, RecordError)>,
}

impl Verified<'_> {
    fn add(&mut self, index: u64, leaf: &[u8]) {
        self.chain.add(index, leaf);
        // a log of signatures has other leaves; only ours name parts
        let Ok(entry) = Entry::parse(leaf) else { return };
        match entry {
            Entry::Decision(_) => self.decisions += 1,
            Entry::Event(_) => self.events += 1,
        }
        if self.broken.is_none() {
            self.broken = entry.check_parts(self.blobs).err().map(|e| (index, e));
        }
    }

    /// The failure, where something is wrong beside the tree.
    fn settle(self) -> Result<(i64, i64), Failure> {
        if let Some((index, e)) = self.broken {
            return Err(Failure::new(&format!(
                "record {index} is there, and a part of it is not what was written"
            ))
            .line("found", &e.to_string())
            .line("fix", "restore the part from a backup or a mirror: it is named by its digest")
            .found());
        }
        let flaws = self.chain.finish();
        let Some(first) = flaws.first() else { return Ok((self.decisions, self.events)) };
        let more = flaws.len().saturating_sub(1);
        let more = if more == 0 { String::new() } else { format!(", and {more} more like it") };
        Err(Failure::new("the log's tree is whole, and entries of a writer are missing or out of place")
            .line("found", &format!("{first}{more}"))
            .line("fix", "look for that writer's spool, and for a copy of the log that has them")
            .found())
    }
}

fn verify(dir: &Path, key: &NoteKey, seen: &Seen, output: &Output) -> Result<Exit, Failure> {
    let blobs = Blobs::new(Files::new(dir));
    let mut all =
        Verified { blobs: &blobs, chain: chain::Check::default(), decisions: 0, events: 0, broken: None };
    let checkpoint = walk(dir, key, seen.checkpoint.as_ref(), |index, leaf| all.add(index, leaf))?;
    let (decisions, events) = all.settle()?;
    let waiting = waiting(dir, key, checkpoint.size)?;
    let events_too = if events == 0 { String::new() } else { format!(", {events} events") };
    let human = format!(
        "{} records ({decisions} decisions{events_too}), every one as it was logged, under {}\n{}{}",
        checkpoint.size,
        checkpoint.origin,
        seen.line(),
        waiting_line(waiting)
    );
    output.result(&human, || {
        let object = Object::new()
            .with("origin", checkpoint.origin.as_str())
            .with("size", i64::try_from(checkpoint.size).unwrap_or(i64::MAX))
            .with("root", attest::digest::to_hex(&checkpoint.root))
            .with("decisions", decisions)
            .with("events", events)
            .with("waiting", i64::try_from(waiting).unwrap_or(i64::MAX))
            .with("witnesses", witnesses::to_json(&seen.witnesses));
        Json::from(object)
    });
    Ok(Exit::Clean)
}
