//! `portcullis log prove` and `verify-proof`: what proves offline that a record is in a log.

use std::path::PathBuf;

use attest::{Json, Object};
use tlog::{Files, Proof, Reader, Receipt};

use crate::command::log::Key;
use crate::command::log::witnesses::{self, Witnesses};
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub(crate) struct Prove {
    /// The log's folder
    dir: PathBuf,
    /// The record's place, from 0
    index: u64,
    /// Under the newest checkpoint that enough witnesses cosigned, and not the newest of all
    #[arg(long)]
    witnessed: bool,
    /// Put the record itself into the proof, for those who have nothing but the proof
    #[arg(long)]
    with_record: bool,
    #[command(flatten)]
    key: Key,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyProof {
    /// The proof
    proof: PathBuf,
    /// The log's verifier key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The record, where it is not in the proof
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    witnesses: Witnesses,
}

pub(crate) fn prove(args: &Prove, output: &Output) -> Result<Exit, Failure> {
    let failed = |e: tlog::ReadError| {
        let failure = Failure::new("the record cannot be proven").line("found", &e.to_string());
        if args.witnessed {
            failure.line("fix", "without --witnessed, prove it under the newest checkpoint")
        } else {
            failure
        }
    };
    let (files, key) = (Files::new(&args.dir), args.key.read(&args.dir)?);
    let receipt = if args.witnessed {
        Receipt::prove_witnessed(&files, &key, args.index)
    } else {
        Receipt::prove(&files, &key, args.index)
    };
    let receipt = receipt.map_err(failed)?;
    let record = if args.with_record {
        let newest = Receipt::prove(&files, &key, args.index).map_err(failed)?;
        Some(Reader::new(&files, newest.size()).entry(args.index).map_err(failed)?)
    } else {
        None
    };
    let text = receipt.to_proof(record).to_text();
    output.result(&text, || Json::from(Object::new().with("proof", text.as_str())));
    Ok(Exit::Clean)
}

pub(crate) fn verify(args: &VerifyProof, output: &Output) -> Result<Exit, Failure> {
    let key = Key::of(Some(&args.key)).read(&args.key)?;
    let (keys, quorum) = args.witnesses.read()?;
    let not_proven = |found: &str| {
        Failure::new(&format!("{} does not prove that the record is in the log", args.proof.display()))
            .line("found", found)
            .found()
    };
    let proof = Proof::parse(&input::text("proof", &args.proof)?).map_err(|e| not_proven(&e.to_string()))?;
    let record = match (&args.record, &proof.extra) {
        (Some(path), _) => input::read("record", path, 1 << 20)?,
        (None, Some(extra)) => extra.clone(),
        (None, None) => {
            return Err(Failure::new("nothing says which record is meant")
                .line("wanted", "the record, in the proof or beside it")
                .line(
                    "fix",
                    "give --record FILE, or make the proof with: portcullis log prove --with-record",
                ));
        }
    };
    let proven = proof.verify(&record, &key, &keys, quorum).map_err(|e| not_proven(&e.to_string()))?;
    let seen = match proven.witnesses.as_slice() {
        [] => String::new(),
        witnesses => format!(", which were seen by {}", witnesses::list(witnesses)),
    };
    let (size, origin) = (proven.checkpoint.size, proven.checkpoint.origin.as_str());
    let human = format!("record {} is in {origin}, among {size} records{seen}\n", proof.index);
    output.result(&human, || {
        Object::new()
            .with("index", i64::try_from(proof.index).unwrap_or(i64::MAX))
            .with("origin", origin)
            .with("size", i64::try_from(size).unwrap_or(i64::MAX))
            .with("root", attest::digest::to_hex(&proven.checkpoint.root))
            .with("witnesses", witnesses::to_json(&proven.witnesses))
            .with("record", attest::json::parse(&record).unwrap_or(Json::Null))
            .into()
    });
    Ok(Exit::Clean)
}
