//! `portcullis replay`: decide recorded cases again, and compare byte for byte.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};

use attest::{Json, Object};
use chokepoint::{Record, RecordError, Replay, Replayer};
use tlog::{Blobs, Files};

use super::log::{Key, walk};
use crate::command::audit::counted;
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

/// What came of all of them.
#[derive(Default)]
struct Tally {
    same: u64,
    differing: Vec<(u64, String, Record, Json, String)>,
    failed: Option<(u64, RecordError)>,
}

/// So many records wait between the reading of the log and the judging.
const WAITING: usize = 256;
/// So often a word about the progress.
const TOLD: u64 = 50_000;

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let key = args.key.read(&args.dir)?;
    let tally = Mutex::new(Tally::default());
    let replayer = Replayer::default();
    let (send, receive) = sync_channel::<(u64, Record)>(WAITING);
    let receive = Mutex::new(receive);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let checkpoint = std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| judge(&args.dir, &replayer, &receive, &tally));
        }
        let send = send;
        walk(&args.dir, &key, None, |index, leaf| {
            if index > 0 && index.is_multiple_of(TOLD) {
                output.progress(&format!("{index} records replayed"));
            }
            let Ok(record) = Record::parse(leaf) else { return };
            if args.index.is_none_or(|wanted| wanted == index) {
                // who judges goes on until this end is gone
                send.send((index, record)).ok();
            }
        })
    })?;
    if let Some(wanted) = args.index.filter(|wanted| *wanted >= checkpoint.size) {
        return Err(Failure::new(&format!("there is no record {wanted}"))
            .line("found", &format!("{} records, from 0", checkpoint.size)));
    }
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    tell(tally, args.index, checkpoint.size, output)
}

fn judge(
    dir: &std::path::Path,
    replayer: &Replayer,
    receive: &Mutex<Receiver<(u64, Record)>>,
    tally: &Mutex<Tally>,
) {
    let blobs = Blobs::new(Files::new(dir));
    loop {
        let next = receive.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((index, record)) = next else { return };
        let replayed = replayer.replay(&record, &blobs);
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        match replayed {
            Ok(Replay::Same) => tally.same += 1,
            Ok(Replay::Differs { engine, now, .. }) => {
                let (json, word) = (now.to_json(), now.word().to_owned());
                tally.differing.push((index, engine, record, json, word));
            }
            Err(e) if tally.failed.as_ref().is_none_or(|(first, _)| index < *first) => {
                tally.failed = Some((index, e));
            }
            Err(_) => {}
        }
    }
}

fn tell(mut tally: Tally, wanted: Option<u64>, size: u64, output: &Output) -> Result<Exit, Failure> {
    if let Some((index, e)) = tally.failed {
        return Err(Failure::new(&format!("record {index} cannot be replayed"))
            .line("found", &e.to_string())
            .found());
    }
    let count = tally.differing.len();
    if let (Some(wanted), 0, 0) = (wanted, tally.same, count) {
        return Err(Failure::new(&format!(
            "record {wanted} is no decision, and only decisions are replayed"
        ))
        .line("fix", "list those: portcullis log show DIR --kind decision"));
    }
    if tally.same == 0 && count == 0 {
        return Err(Failure::new("there is no decision to replay")
            .line("found", &format!("{size} records, none of them a decision"))
            .line("fix", "name the folder of a decision log"));
    }
    tally.differing.sort_by_key(|(index, ..)| *index);
    let mut text = String::new();
    let mut list = Vec::new();
    for (index, engine, record, now, word) in tally.differing {
        let this = chokepoint::ENGINE;
        text.push_str(&format!("record {index}: {} by {engine}, {word} by {this}\n", record.decision));
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        list.push(Json::from(Object::new().with("index", index).with("engine", engine).with("now", now)));
    }
    let are_same = counted(tally.same, "decision is the same", "decisions are the same");
    text.push_str(&format!("{are_same}, byte for byte; {count} differ\n"));
    let same = i64::try_from(tally.same).unwrap_or(i64::MAX);
    output.result(&text, || Json::from(Object::new().with("same", same).with("differ", Json::Array(list))));
    Ok(if count == 0 { Exit::Clean } else { Exit::Found })
}
