//! Where to look: a log, an inventory, or both. A log alone is enough: its index is made beside it.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use attest::note::{Checkpoint, Note, NoteKey};
use inventory::{Followed, Inventory, InventoryError, Progress};
use tlog::Files;
use tokio::runtime::Runtime;

use crate::command::log::Key;
use crate::failure::Failure;
use crate::output::Output;

/// Work that takes longer says how far it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where to look.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("place").args(["log", "inventory"]).required(true).multiple(true))]
pub(crate) struct Where {
    /// The decision log's folder; what it holds since the last time is read first
    #[arg(long, value_name = "DIR")]
    log: Option<PathBuf>,
    /// The inventory's folder; without, DIR.inventory beside the log
    #[arg(long, value_name = "DIR")]
    inventory: Option<PathBuf>,
    /// The log's verifier key; without, the one that lies beside the log
    #[arg(long, value_name = "FILE", requires = "log")]
    log_key: Option<PathBuf>,
}

/// An inventory that is up to date, and the log where one was named.
#[derive(Debug)]
pub(crate) struct Asked {
    runtime: Runtime,
    pub(crate) inventory: Inventory,
    pub(crate) log: Option<Log>,
}

/// A log under a checkpoint that its key signed.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) files: Files,
    pub(crate) checkpoint: Checkpoint,
}

impl Where {
    /// Opens the inventory, and reads what is new in the log.
    pub(crate) fn open(&self, output: &Output) -> Result<Asked, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime
            .map_err(|e| Failure::new("the inventory cannot be opened").line("found", &e.to_string()))?;
        let Some(dir) = &self.log else {
            let folder = self.inventory.as_deref().unwrap_or(Path::new("."));
            let inventory =
                runtime.block_on(Inventory::open_to_read(folder)).map_err(|e| failed(folder, &e))?;
            return Ok(Asked { runtime, inventory, log: None });
        };
        let key = Key::of(self.log_key.as_deref()).read(dir)?;
        let folder = self.inventory.clone().unwrap_or_else(|| beside(dir));
        let opened = runtime.block_on(open(&folder, dir, &key, output));
        let (inventory, checkpoint) = match opened {
            // SQLite found damage while it was reading: nothing is lost that the log does not have
            Err(Opening::Damaged(inventory, why)) => runtime.block_on(async {
                output.progress(&format!("{why}; it is made again now"));
                inventory.discard_index().await.map_err(|e| Opening::Failed(failed(&folder, &e)))?;
                open(&folder, dir, &key, output).await
            }),
            opened => opened,
        }
        .map_err(|e| match e {
            Opening::Failed(failure) => failure,
            Opening::Damaged(_, why) => failed(&folder, &why),
        })?;
        Ok(Asked { runtime, inventory, log: Some(Log { files: Files::new(dir), checkpoint }) })
    }
}

impl Asked {
    /// Waits for an answer of the inventory.
    pub(crate) fn wait<T>(
        &self,
        answer: impl Future<Output = Result<T, InventoryError>>,
    ) -> Result<T, Failure> {
        self.runtime.block_on(answer).map_err(|e| failed(self.inventory.dir(), &e))
    }
}

/// `log.inventory` beside `log`.
fn beside(log: &Path) -> PathBuf {
    let mut name = log.components().as_path().as_os_str().to_owned();
    name.push(".inventory");
    name.into()
}

/// Why the inventory is not up to date.
enum Opening {
    Failed(Failure),
    Damaged(Inventory, InventoryError),
}

async fn open(
    folder: &Path,
    dir: &Path,
    key: &NoteKey,
    output: &Output,
) -> Result<(Inventory, Checkpoint), Opening> {
    let fail = |e: InventoryError| Opening::Failed(failed(folder, &e));
    let mut checkpoint = checkpoint(dir, key).map_err(Opening::Failed)?;
    let (inventory, notices) = match Inventory::open(folder).await {
        Ok(opened) => opened,
        // a service keeps it up to date, or another command is reading the log for it
        Err(InventoryError::InUse(_)) => {
            output.progress(&format!("{} is kept by another process, and taken as it is", folder.display()));
            let inventory = Inventory::open_to_read(folder).await.map_err(fail)?;
            return Ok((inventory, checkpoint));
        }
        Err(e) => return Err(fail(e)),
    };
    notices.iter().for_each(|notice| output.progress(&format!("note: {notice}")));
    let mut followed = follow(&inventory, dir, &checkpoint, output).await;
    if matches!(followed, Err(InventoryError::Log(_))) {
        // a service that runs replaces the last, incomplete tiles as the log grows: once more under its newer checkpoint
        checkpoint = self::checkpoint(dir, key).map_err(Opening::Failed)?;
        followed = follow(&inventory, dir, &checkpoint, output).await;
    }
    match followed {
        Ok(followed) => tell(&followed, output),
        Err(e @ InventoryError::Damaged(_)) => return Err(Opening::Damaged(inventory, e)),
        Err(e) => return Err(fail(e)),
    }
    Ok((inventory, checkpoint))
}

async fn follow(
    inventory: &Inventory,
    dir: &Path,
    checkpoint: &Checkpoint,
    output: &Output,
) -> Result<Followed, InventoryError> {
    let (mut last, is_json) = (Instant::now(), output.is_json());
    let mut told = |progress: Progress| {
        if last.elapsed() > PATIENCE && !is_json {
            last = Instant::now();
            eprintln!("reading the log: {} of {} records", progress.read, progress.of);
        }
    };
    inventory.follow(&Files::new(dir), checkpoint, &mut told).await
}

fn tell(followed: &Followed, output: &Output) {
    followed.notices.iter().for_each(|notice| output.progress(&format!("note: {notice}")));
    if followed.unread > 0 {
        output.progress(&format!(
            "note: the case or the evidence of {} records cannot be read, and nothing is known of where their artifacts \
             came from: portcullis log verify says what is missing",
            followed.unread
        ));
    }
}

/// The log's newest checkpoint, under its key.
fn checkpoint(dir: &Path, key: &NoteKey) -> Result<Checkpoint, Failure> {
    let path = dir.join("checkpoint");
    let text = std::fs::read_to_string(&path).map_err(|e| Failure::io("read the checkpoint", &path, &e))?;
    let note = Note::parse(&text).filter(|note| note.is_signed_by(key));
    let checkpoint = note.and_then(|note| Checkpoint::parse(note.text()));
    checkpoint.filter(|checkpoint| checkpoint.origin == key.name).ok_or_else(|| {
        Failure::new(&format!("{} is not signed by this log's key", path.display()))
            .line("wanted", &format!("a checkpoint of {}", key.name))
            .line("fix", "name the folder of a decision log, and with --log-key its key")
    })
}

fn failed(folder: &Path, error: &InventoryError) -> Failure {
    let failure = Failure::new(&format!("the inventory in {} cannot answer", folder.display()))
        .line("found", &error.to_string());
    match error {
        InventoryError::Io(..) => failure.line(
            "fix",
            "name a folder that can be written with --inventory DIR, or --log DIR to have one made",
        ),
        InventoryError::NotTheLog { .. } => failure
            .line("fix", "portcullis log verify says what was changed; keep this copy for the investigation"),
        InventoryError::Damaged(_) => {
            failure.line("fix", "name the log with --log DIR, and the index is made again; observations stay")
        }
        _ => failure,
    }
}
