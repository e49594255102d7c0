//! `portcullis replay`: decide recorded cases again, and compare byte for byte.

use std::path::PathBuf;

use attest::{Json, Object};
use chokepoint::{Record, Replay, replay};
use tlog::{Blobs, Files};

use super::log::{Key, records};
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Decide recorded cases again
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  portcullis replay log")]
pub(crate) struct Args {
    /// The log's folder
    dir: PathBuf,
    /// The record's place, from 0; all without
    index: Option<u64>,
    #[command(flatten)]
    key: Key,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let (leaves, _) = records(&args.dir, &args.key.read(&args.dir)?, None)?;
    if let Some(wanted) = args.index.filter(|i| leaves.iter().all(|(index, _)| index != i)) {
        return Err(Failure::new(&format!("there is no record {wanted}"))
            .line("found", &format!("{} records, from 0", leaves.len())));
    }
    let blobs = Blobs::new(Files::new(&args.dir));
    let (mut same, mut differing, mut text) = (0_i64, Vec::new(), String::new());
    for (index, leaf) in leaves.iter().filter(|(i, _)| args.index.is_none_or(|wanted| wanted == *i)) {
        let Ok(record) = Record::parse(leaf) else { continue };
        let replayed = replay(&record, &blobs).map_err(|e| {
            Failure::new(&format!("record {index} cannot be replayed")).line("found", &e.to_string()).found()
        })?;
        match replayed {
            Replay::Same => same += 1,
            Replay::Differs { engine, now, .. } => {
                text.push_str(&format!(
                    "record {index}: {} by {engine}, {} by {}\n",
                    record.decision,
                    now.word(),
                    chokepoint::ENGINE
                ));
                let index = i64::try_from(*index).unwrap_or(i64::MAX);
                differing.push(Json::from(
                    Object::new().with("index", index).with("engine", engine).with("now", now.to_json()),
                ));
            }
        }
    }
    let count = differing.len();
    if same == 0 && count == 0 {
        return Err(Failure::new("there is no decision to replay")
            .line("found", &format!("{} records, none of them a decision", leaves.len()))
            .line("fix", "name the folder of a decision log"));
    }
    text.push_str(&format!("{same} decisions are the same, byte for byte; {count} differ\n"));
    output.result(&text, || {
        Json::from(Object::new().with("same", same).with("differ", Json::Array(differing)))
    });
    Ok(if count == 0 { Exit::Clean } else { Exit::Found })
}
