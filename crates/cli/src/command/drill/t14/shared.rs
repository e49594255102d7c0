//! The log that several replicas share in a PostgreSQL, which is set back to an older backup: what was not set back with it
//! remembers, and nobody continues it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use attest::Digest;
use replicas::Duty;

use super::super::outcome::{Control, Seen, Trial, Wanted};
use super::super::stage::{DECISIONS, PostgreSql, Stage, Webhook, word};
use super::super::t04::DEPLOYMENT;
use super::copy_below;
use crate::command::log;
use crate::failure::Failure;

const POLICY: &str = "environment: drill/shop
artifact: registry.example/shop
mode: enforce
require:
  signed-by: [bob]
on-outage: reject
";
const IN_FILES: &str =
    "log: { path: log, origin: portcullis.local/drill/decisions, key: log.key, spool: 16MiB }";
const SHARED: &str = "log: { path: spool, origin: ORIGIN, key: log.key, spool: 16MiB, writer: drill, postgresql: { host: \"HOST\", \
     database: decisions, user: writer, tiles: tree, sequence: { user: sequencer, state: signed, interval: 1s } } }";
const USERS: &str = "CREATE ROLE writer LOGIN IN ROLE portcullis_writer;
CREATE ROLE sequencer LOGIN IN ROLE portcullis_sequencer;
";
const BACKED_UP: &str = "CREATE DATABASE backup TEMPLATE decisions;\n";
const SET_BACK: &str = "DROP DATABASE decisions WITH (FORCE);\nCREATE DATABASE decisions TEMPLATE backup;\n";
/// What there is beside the database: the tree, this replica's own, and what the signer remembers.
const PARTS: [&str; 4] = ["tree", "spool", "state", "signed"];
/// Whose refusal somebody would rather have forgotten.
const UNWANTED: &str = "unwanted";
/// How long a sequencer may take to know what it makes of it.
const WITHIN: Duration = Duration::from_secs(30);

pub(super) fn stage(stage: &Stage<'_>) -> Result<Vec<Trial>, Failure> {
    let (alone, both) = (
        "the database of a shared log is restored from an old backup",
        "the same, and the folder with the tree is as old",
    );
    stage.with_postgresql(&[alone, both], |server| {
        let replica = Replica::new(stage, server)?;
        let forgotten = Control {
            off: "what the signer remembers set back as well, and no witness",
            seen: replica.set_back(&PARTS, "nothing")?,
        };
        let attack = |what, parts: &[&str], said: &'static [&'static str]| {
            let stated = said.first().copied().unwrap_or_default();
            let wanted = Wanted { reasons: said, basis: "not sequenced" };
            let seen = replica.set_back(parts, stated)?;
            Ok::<_, Failure>(Trial::Attack { what, wanted, seen, control: forgotten.clone() })
        };
        let [tree, spool, state, _] = PARTS;
        Ok(vec![
            attack(alone, &[], &["the database is older"])?,
            attack(both, &[tree, spool, state], &["the key signed a tree of"])?,
        ])
    })
}

/// A choke point whose log is in a database, with a copy of everything before the last decision and after it.
struct Replica<'s> {
    stage: &'s Stage<'s>,
    server: &'s PostgreSql,
    dir: PathBuf,
}

impl<'s> Replica<'s> {
    fn new(stage: &'s Stage<'s>, server: &'s PostgreSql) -> Result<Self, Failure> {
        server.sql("postgres", "CREATE DATABASE decisions")?;
        let shared = SHARED.replace("ORIGIN", DECISIONS).replace("HOST", &word(server.host()));
        let dir = stage.webhook_files(POLICY, &stage.rules()?.trust_root, (IN_FILES, &shared))?;
        let file = word(&dir.join("serve.yaml"));
        stage.portcullis(&["log", "create", "--config", &file, "--owner", "postgres"])?.worked()?;
        server.sql("postgres", USERS)?;
        let replica = Self { stage, server, dir };
        replica.decide("first", &Webhook::at(&replica.dir)?)?;
        server.sql("postgres", BACKED_UP)?;
        replica.copy_parts("old")?;
        replica.decide(UNWANTED, &Webhook::at(&replica.dir)?)?;
        replica.copy_parts("new")?;
        Ok(replica)
    }

    /// A refusal is on record, in the tree.
    fn decide(&self, image: &str, webhook: &Webhook) -> Result<(), Failure> {
        let image = Digest::sha256(image.as_bytes());
        let seen =
            webhook.write(&DEPLOYMENT.replace("DIGEST", &image.to_string()).replace("ARGS", ""), None)?;
        webhook.close();
        if seen.is_let_through || !self.holds(&image)? {
            return Err(Failure::new("the drill's own refusal is not on record").line("found", &seen.message));
        }
        Ok(())
    }

    /// Whether the tree has a record about this image.
    fn holds(&self, image: &Digest) -> Result<bool, Failure> {
        let tree = self.dir.join("tree");
        let (leaves, _) = log::records(&tree, &log::Key::beside().read(&tree)?, None)?;
        Ok(leaves.iter().any(|(_, leaf)| String::from_utf8_lossy(leaf).contains(&image.hex())))
    }

    fn copy_parts(&self, name: &str) -> Result<(), Failure> {
        PARTS.iter().try_for_each(|part| copy_below(&self.dir.join(part), &self.dir.join(name).join(part)))
    }

    /// The old database, with old parts beside it, and a replica that starts with them: whether it goes on from there as if
    /// the unwanted record had never been.
    fn set_back(&self, parts: &[&str], stated: &str) -> Result<Seen, Failure> {
        self.server.sql("postgres", SET_BACK)?;
        for part in PARTS {
            let (from, to) = (if parts.contains(&part) { "old" } else { "new" }, self.dir.join(part));
            std::fs::remove_dir_all(&to).map_err(|e| Failure::io("empty", &to, &e))?;
            copy_below(&self.dir.join(from).join(part), &to)?;
        }
        let before = self.checkpoint()?;
        let webhook = Webhook::at(&self.dir)?;
        let mut seen = match duty(&webhook) {
            Duty::Sequencing(_) => {
                self.decide("another", &webhook)?;
                self.continued()?
            }
            Duty::Refused(why) => refused(&why, stated),
            other => refused(&format!("{other:?}"), stated),
        };
        if !seen.is_let_through && self.checkpoint()? != before {
            seen.left.push("the tree was continued".to_owned());
        }
        Ok(seen)
    }

    /// It counts as a log, and the unwanted record is not in it.
    fn continued(&self) -> Result<Seen, Failure> {
        let mut seen =
            self.stage.portcullis(&["log", "verify", &word(&self.dir.join("tree"))])?.seen("nothing");
        if self.holds(&Digest::sha256(UNWANTED.as_bytes()))? {
            seen.is_let_through = false;
            seen.reasons = vec!["it is still on record".to_owned()];
        }
        Ok(seen)
    }

    fn checkpoint(&self) -> Result<String, Failure> {
        crate::input::text("checkpoint", &self.dir.join("tree/checkpoint"))
    }
}

/// What its sequencer makes of what it finds.
fn duty(webhook: &Webhook) -> Duty {
    let began = Instant::now();
    loop {
        let duty = webhook.duty().unwrap_or(Duty::Starting);
        let is_known = matches!(duty, Duty::Sequencing(_) | Duty::Refused(_));
        if is_known || began.elapsed() > WITHIN {
            return duty;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn refused(why: &str, stated: &str) -> Seen {
    let reason = if why.contains(stated) { stated } else { why };
    Seen {
        is_let_through: false,
        reasons: vec![reason.to_owned()],
        basis: "not sequenced".to_owned(),
        message: format!("{why}\n"),
        left: Vec::new(),
    }
}
