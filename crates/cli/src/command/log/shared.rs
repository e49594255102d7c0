//! `portcullis log create` and `adopt`: the log that several replicas share, in PostgreSQL.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use attest::note::NoteKey;
use attest::{Json, Object};
use replicas::{AdoptError, Login};
use server::webhook::{Config, LogConfig};
use tlog::{Files, LogSigner};

use crate::failure::{Exit, Failure};
use crate::input;
use crate::keys;
use crate::output::Output;

/// Who makes the tables, and where.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It makes the schema `portcullis`, the roles `portcullis_writer` and `portcullis_sequencer`, the log's row, and the empty
tree in the folder `tiles`. What is there stays: run it again with every new version of the program.

Example:
  portcullis log create --config serve.yaml --owner postgres
  psql -c \"CREATE ROLE eu1 LOGIN PASSWORD '…' IN ROLE portcullis_writer\"
  psql -c \"CREATE ROLE eu1seq LOGIN PASSWORD '…' IN ROLE portcullis_sequencer\"
  portcullis serve --config serve.yaml")]
pub(crate) struct Create {
    /// The choke point's configuration, with `log: postgresql`
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The database's owner, who may make a schema and roles; no replica logs in so
    #[arg(long, value_name = "USER")]
    owner: String,
    /// The file with the owner's password
    #[arg(long, value_name = "FILE")]
    owner_password: Option<PathBuf>,
}

/// Which log is adopted.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
After a restore of the database, or a failover that lost commits, the sequencer refuses. This verifies the whole folder,
and raises a database that is older to it. Nothing in the folder is changed. Stop the replicas that may sequence first.

Example:
  portcullis log verify tree
  portcullis log adopt --config serve.yaml")]
pub(crate) struct Adopt {
    /// The choke point's configuration, with `log: postgresql`
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(crate) fn create(args: &Create, output: &Output) -> Result<Exit, Failure> {
    let (log, mut shared) = read(&args.config)?;
    shared.writer = Login { user: args.owner.clone(), password_file: args.owner_password.clone() };
    let signer = keys::log_signer(&log.key)?;
    let vkey = NoteKey { name: log.origin.clone(), key: signer.public().clone() }.to_vkey();
    replicas::create(&shared, &log.origin, signer).map_err(|e| {
        Failure::new("the shared log could not be made").line("found", &e.to_string()).line(
            "fix",
            "name the owner of the database (`--owner`), and `tiles` and `sequence` in `log: postgresql`",
        )
    })?;
    let tree = log.tree();
    keys::write(&tree.join("log.vkey"), &format!("{vkey}\n"))?;
    let human = format!(
        "the log {} is in the database {} at {}, and its tree in {}\nnext: make each replica's users, and start them\n",
        log.origin,
        shared.server.database,
        shared.server.host,
        tree.display()
    );
    output.result(&human, || {
        let folder = tree.display().to_string();
        Json::from(Object::new().with("origin", log.origin.as_str()).with("tree", folder).with("vkey", vkey))
    });
    Ok(Exit::Clean)
}

pub(crate) fn adopt(args: &Adopt, output: &Output) -> Result<Exit, Failure> {
    let (log, shared) = read(&args.config)?;
    let adopted = replicas::adopt(&shared, &log.origin, keys::log_signer(&log.key)?).map_err(|e| {
        let fix = match &e {
            AdoptError::Busy => "stop the replicas that may sequence, then adopt",
            AdoptError::NoFolder => "add `tiles` and `sequence` to `log: postgresql`",
            AdoptError::NoLog => "portcullis log create --config FILE --owner USER",
            AdoptError::Flaw(_) | AdoptError::NoPrefix { .. } => {
                "keep both for the investigation; bring the folder from a mirror"
            }
            AdoptError::Signed(_) => {
                "bring the newest copy of the folder: this one is older than what was signed"
            }
            AdoptError::Database(_) => "see the database's message above",
        };
        Failure::new("the database was not raised to the folder")
            .line("found", &e.to_string())
            .line("fix", fix)
    })?;
    let human =
        format!("the database had {} records of {}, and has {} now\n", adopted.from, log.origin, adopted.to);
    output.result(&human, || {
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        Json::from(Object::new().with("from", number(adopted.from)).with("to", number(adopted.to)))
    });
    Ok(Exit::Clean)
}

fn read(file: &Path) -> Result<(LogConfig, replicas::Config), Failure> {
    let text = input::text("configuration", file)?;
    let config =
        Config::parse(file, &text).map_err(|errors| Failure::load("serve-configuration-invalid", errors))?;
    let shared = config.log.postgresql.clone().ok_or_else(|| {
        Failure::new(&format!("{} names no log that is shared", file.display()))
            .line("wanted", "`log: { postgresql: { host: …, database: …, user: …, tiles: … } }`")
            .line("fix", "portcullis serve --example shows it; a log in files needs none of this")
    })?;
    Ok((config.log, shared))
}

/// Opens it for one replica. The spool's folder is made where it is not there.
pub(crate) fn open(log: &LogConfig, shared: &replicas::Config) -> Result<server::webhook::Shared, Failure> {
    let signer: Arc<LogSigner> = keys::log_signer(&log.key)?;
    let tree = log.tree();
    if !tree.join("checkpoint").exists() {
        return Err(Failure::new(&format!("there is no log in {}", tree.display()))
            .line("wanted", "the folder with the tree that all replicas mount")
            .line(
                "fix",
                "mount it; or where there is no log yet: portcullis log create --config FILE --owner USER",
            ));
    }
    if log.path.join("checkpoint").exists() {
        return Err(Failure::new(&format!("{} is a log in files, and no spool", log.path.display()))
            .line("wanted", "a folder of its own for this replica's spool")
            .line("fix", "give `log: path` a new folder; what is in this one stays a log of its own, or is `tiles` and adopted"));
    }
    let target = replicas::open(shared, &log.origin, &signer, &log.writer).map_err(|e| {
        Failure::new("the shared log cannot be used").line("found", &e.to_string()).line(
            "fix",
            "see docs/log-postgresql.md: a database that is away, an older schema, or two of one name",
        )
    })?;
    let key = NoteKey { name: log.origin.clone(), key: signer.public().clone() };
    Ok(server::webhook::Shared { spool: Files::new(&log.path), tree: Files::new(tree), key, signer, target })
}
