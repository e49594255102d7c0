//! T14, the log is edited or truncated: a Merkle tree under a signed root shows each change and its place; and where the
//! administrator has the log's key as well, a witness remembers what it saw.

mod shared;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use attest::Signer as _;
use attest::digest::to_hex;
use attest::merkle::leaf_hash;
use attest::note::NoteKey;
use server::witness::{Https, Settings, start};
use tlog::Files;
use tlog::witnessing::{Asking, WITNESSED, Witnesses};

use super::outcome::{Control, Trial, Wanted};
use super::stage::{DECISIONS, Ran, Stage, word};
use crate::command::log;
use crate::failure::Failure;
use crate::{clock, keys};

/// What a refusal says of itself, and what the administrator would rather read there.
const REFUSED: (&str, &str) = (r#""decision":"reject""#, r#""decision":"admit""#);
const WITNESS: &str = "witness.drill.example";

/// Two records and more, so that they can change places.
const DECISIONS_MADE: usize = 3;
/// How long a witness may take.
const WITHIN: Duration = Duration::from_secs(20);

/// Where the first two are, each behind the opening of its epoch, and the first behind what is in force as well.
const FIRST: usize = 2;
const SECOND: usize = 4;

type Leaves = Vec<Vec<u8>>;

pub(super) fn stage(stage: &Stage<'_>) -> Result<Vec<Trial>, Failure> {
    let book = Logbook::write(stage)?;
    let changed = book.changed()?;
    let mut reordered = book.leaves.clone();
    reordered.swap(FIRST, SECOND);
    let mut shorter = book.leaves.clone();
    shorter.remove(FIRST);
    let mut trials = vec![
        book.edited("one record says another decision", &["is not the one that was logged"], &changed)?,
        book.edited("two records change places", &["is not the one that was logged"], &reordered)?,
        book.edited("one record is taken out", &["is malformed"], &shorter)?,
    ];
    let kept = ["--key".to_owned(), word(&book.dir.join("log.vkey"))];
    let another = book.rewritten(&changed, "workstation")?;
    let off = "the log verified under the key that lies beside it";
    trials.push(book.held_against(
        "all of it is written anew under another key",
        &["is not signed"],
        &another,
        (&kept, off),
    )?);
    trials.extend(witnessed(&book, &changed)?);
    trials.extend(shared::stage(stage)?);
    Ok(trials)
}

/// The log's own key is in the hands of whoever writes it anew.
fn witnessed(book: &Logbook<'_>, changed: &[Vec<u8>]) -> Result<Vec<Trial>, Failure> {
    let seen = saw(book)?;
    let rewritten = book.rewritten(changed, "decisions-log")?;
    let shorter = book.leaves.get(..book.leaves.len() - 1).unwrap_or_default();
    let truncated = book.rewritten(shorter, "decisions-log")?;
    let off = "no witness";
    Ok(vec![
        book.held_against(
            "all of it is written anew under its own key",
            &["does not continue"],
            &rewritten,
            (&seen, off),
        )?,
        book.held_against(
            "the newest record is gone, and the rest signed anew",
            &["does not continue"],
            &truncated,
            (&seen, off),
        )?,
        Trial::Honest {
            what: "the log as it was written verifies, and a witness saw it",
            seen: book.verify(&book.dir, &seen)?.seen(""),
        },
    ])
}

/// A log of decisions, and copies of it that somebody edited.
struct Logbook<'s> {
    stage: &'s Stage<'s>,
    dir: PathBuf,
    leaves: Leaves,
}

impl<'s> Logbook<'s> {
    fn write(stage: &'s Stage<'s>) -> Result<Self, Failure> {
        let (rules, good) = (stage.rules()?, stage.honest()?);
        let untested = good.without("test")?;
        let dir = stage.fresh("logbook")?;
        for _ in 0..DECISIONS_MADE {
            stage.decide_in(&dir, &rules, &untested)?;
        }
        let dir = dir.join("log");
        let (leaves, _) = log::records(&dir, &log::Key::beside().read(&dir)?, None)?;
        Ok(Self { stage, dir, leaves: leaves.into_iter().map(|(_, leaf)| leaf).collect() })
    }

    /// The last refusal is an admission.
    fn changed(&self) -> Result<Leaves, Failure> {
        let (from, to) = REFUSED;
        let mut leaves = self.leaves.clone();
        let last = leaves.last_mut().ok_or_else(|| Failure::new("the drill's log is empty"))?;
        let text = String::from_utf8_lossy(last).replacen(from, to, 1);
        if text.as_bytes() == last.as_slice() {
            return Err(Failure::new("the drill's log has no refusal at its end"));
        }
        *last = text.into_bytes();
        Ok(leaves)
    }

    /// The entries are other ones, and the tree and its root are as they were. Where they are signed anew, nobody sees it.
    fn edited(
        &self,
        what: &'static str,
        said: &'static [&'static str],
        leaves: &[Vec<u8>],
    ) -> Result<Trial, Failure> {
        let stated = said.first().copied().unwrap_or_default();
        let copy = self.copy()?;
        let file = copy.join(format!("tile/entries/000.p/{}", self.leaves.len()));
        let mut bytes = Vec::new();
        for leaf in leaves {
            bytes.extend(u16::try_from(leaf.len()).unwrap_or(u16::MAX).to_be_bytes());
            bytes.extend(leaf);
        }
        tlog::write_durably(&file, &bytes).map_err(|e| Failure::io("edit", &file, &e))?;
        let seen = self.verify(&copy, &[])?.seen(stated);
        let anew = self.verify(&self.rewritten(leaves, "decisions-log")?, &[])?.seen(stated);
        let control = Control { off: "the log's own key in the same hands, and no witness", seen: anew };
        Ok(Trial::Attack { what, wanted: Wanted::found(said), seen, control })
    }

    /// What is known from elsewhere shows it, and without that nothing does.
    fn held_against(
        &self,
        what: &'static str,
        said: &'static [&'static str],
        log: &Path,
        (words, off): (&[String], &'static str),
    ) -> Result<Trial, Failure> {
        let stated = said.first().copied().unwrap_or_default();
        let seen = self.verify(log, words)?.seen(stated);
        let control = Control { off, seen: self.verify(log, &[])?.seen(stated) };
        Ok(Trial::Attack { what, wanted: Wanted::found(said), seen, control })
    }

    fn copy(&self) -> Result<PathBuf, Failure> {
        let copy = self.stage.fresh("edited")?.join("log");
        copy_below(&self.dir, &copy)?;
        Ok(copy)
    }

    /// A log of these entries from its beginning, with the parts that they name, under a key. Whoever writes it is careful:
    /// each entry names the one before it, as the writer would have.
    fn rewritten(&self, leaves: &[Vec<u8>], key: &str) -> Result<PathBuf, Failure> {
        let dir = self.stage.fresh("rewritten")?.join("log");
        let mut log = keys::log(&dir, DECISIONS, &self.stage.key_file(key))?;
        for leaf in rechained(leaves)? {
            log.append(&leaf)
                .map_err(|e| Failure::new("the log cannot be written").line("found", &e.to_string()))?;
        }
        copy_below(&self.dir.join("blobs"), &dir.join("blobs"))?;
        Ok(dir)
    }

    fn verify(&self, log: &Path, more: &[String]) -> Result<Ran, Failure> {
        let log = word(log);
        let mut words = vec!["log", "verify", &log];
        words.extend(more.iter().map(String::as_str));
        self.stage.portcullis(&words)
    }
}

/// Entries that name each other, as if nobody had been there.
fn rechained(leaves: &[Vec<u8>]) -> Result<Leaves, Failure> {
    let mut epoch = 0;
    let mut chained: Leaves = Vec::new();
    for (number, leaf) in (0_i64..).zip(leaves) {
        let json = attest::json::parse(leaf).ok().and_then(|json| json.as_object().ok().cloned());
        let mut entry = json.ok_or_else(|| Failure::new("the drill's log cannot be read"))?;
        entry.set("sequence", number);
        let before = chained.last().map(|leaf| format!("sha256:{}", to_hex(&leaf_hash(leaf))));
        let is_opening = entry.string("kind").is_ok_and(|kind| kind == "epoch-open");
        if is_opening {
            epoch = entry.int("epoch").unwrap_or_default();
        }
        entry.set("epoch", epoch);
        if let Some(before) = before {
            if is_opening {
                let mut body = entry.object("body").cloned().unwrap_or_default();
                body.set("last_sequence", number - 1);
                body.set("last_leaf", before.as_str());
                entry.set("body", body);
            }
            entry.set("previous", before);
        }
        chained.push(entry.to_string().into_bytes());
    }
    Ok(chained)
}

fn copy_below(from: &Path, to: &Path) -> Result<(), Failure> {
    keys::folder(to)?;
    let failed = |e| Failure::io("copy", from, &e);
    for entry in std::fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_below(&source, &target)?;
        } else {
            std::fs::copy(&source, &target).map_err(failed)?;
        }
    }
    Ok(())
}

/// A witness of its own process and key, asked by the log: what verifies the log with what it saw.
fn saw(book: &Logbook<'_>) -> Result<Vec<String>, Failure> {
    let (stage, origin_key) = (book.stage, log::Key::beside().read(&book.dir)?);
    let state = word(&stage.fresh("witness")?.join("state"));
    let (key, file) =
        (word(&stage.key_file("witness")), word(&stage.key_file("witness").with_extension("pub")));
    let follows = format!("{DECISIONS}={}", word(&book.dir.join("log.vkey")));
    let begin = ["log", "witness", "--begin", "--state", &state, "--key", &key, "--name", WITNESS];
    let mut process = stage.start(&[&begin[..], &["--listen", "127.0.0.1:0", "--log", &follows]].concat())?;
    let address = process.event("listening")?.string("address").unwrap_or_default().to_owned();
    let failed =
        |e: &dyn std::fmt::Display| Failure::new("the witness cannot be asked").line("found", &e.to_string());
    let name = || WITNESS.to_owned();
    let public = NoteKey { name: name(), key: stage.key("witness")?.public().clone() };
    let asking = Asking { name: name(), url: format!("http://{address}"), key: public };
    let witnesses = Witnesses::new(1, vec![asking]).map_err(|e| failed(&e))?;
    let publisher = start(
        Settings {
            storage: Files::new(&book.dir),
            key: origin_key,
            witnesses: witnesses.clone(),
            rhythm: Duration::from_millis(20),
            clock: Arc::new(|| clock::now(None).unwrap_or(jiff::Timestamp::UNIX_EPOCH)),
            tell: Box::new(|_, _| {}),
        },
        Https::new(None, &witnesses).map_err(|e| failed(&e))?,
    );
    let publisher = publisher.map_err(|e| failed(&e))?;
    let began = Instant::now();
    while publisher.standing().size.is_none() {
        if began.elapsed() > WITHIN {
            return Err(failed(&format!("{:?}", publisher.standing().failures)));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    // what it cosigned is kept where the log's administrator does not reach
    let kept = stage.fresh("cosigned")?.join(WITNESSED);
    std::fs::copy(book.dir.join(WITNESSED), &kept).map_err(|e| Failure::io("keep", &kept, &e))?;
    let words = ["--witness".to_owned(), format!("{WITNESS}={file}"), "--cosigned".to_owned(), word(&kept)];
    Ok(words.into())
}
