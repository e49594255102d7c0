//! A migration on its way to a real database, which `portcullis deploy` alone has the password of.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use attest::claims::{REVIEW, Review};

use super::outcome::{Seen, Wanted};
use super::stage::{DECISIONS, PostgreSql, Stage, digest, word, words_of};
use crate::failure::Failure;
use crate::keys;

pub(super) const HONEST: &str = "ALTER TABLE orders ADD COLUMN paid boolean;\n";
pub(super) const HARMFUL: &str = "GRANT ALL ON orders TO mallory;\n";
/// What holds where the file is another one by the time that psql begins.
pub(super) const AS_JUDGED: Wanted = Wanted { reasons: &["psql ran what was judged"], basis: "exit 0" };

const POLICY: &str = "environment: drill/database
artifact: sql://shop/migrations
mode: enforce
require:
  signed-by: [bob]
on-outage: reject
";
const PASSWORD: &str = "hunter2";
const ROLES: &str = "CREATE ROLE mallory;
CREATE ROLE deployer LOGIN PASSWORD 'HERE';
GRANT CREATE, USAGE ON SCHEMA public TO deployer;
";
const AS_IT_WAS: &str = "DROP TABLE IF EXISTS orders;
CREATE TABLE orders (id bigint PRIMARY KEY);
ALTER TABLE orders OWNER TO deployer;
";
const HARMED: &str = "SELECT has_table_privilege('mallory', 'orders', 'SELECT')";
const MIGRATED: &str =
    "SELECT count(*) FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attname = 'paid'";

/// How psql gets the statements.
#[derive(Clone, Copy, Debug)]
pub(super) enum Given {
    /// The open file with the bytes that were judged.
    Judged,
    /// Whatever is under the file's name by then.
    Path,
}

/// A table, who may change it, and the choke point before them.
pub(super) struct Database<'s> {
    stage: &'s Stage<'s>,
    server: &'s PostgreSql,
    dir: PathBuf,
}

impl<'s> Database<'s> {
    pub(super) fn new(stage: &'s Stage<'s>, server: &'s PostgreSql) -> Result<Self, Failure> {
        let (dir, rules) = (stage.fresh("database")?, stage.rules()?);
        keys::write(&dir.join("enforced/shop.yaml"), POLICY)?;
        keys::write(&dir.join("dry-run/shop.yaml"), &POLICY.replace("enforce", "dry-run"))?;
        keys::write(&dir.join("trust-root.yaml"), &rules.trust_root)?;
        keys::write(&dir.join("harmful.sql"), HARMFUL)?;
        let database = Self { stage, server, dir };
        if database.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'mallory'")? == "0" {
            database.sql(&ROLES.replace("HERE", PASSWORD))?;
        }
        Ok(database)
    }

    /// Bob has read these statements.
    pub(super) fn reviewed(&self, text: &str) -> Result<PathBuf, Failure> {
        let file = self.file(text)?;
        let review = Review {
            repository: self.stage.repository()?.uri(),
            base: None,
            authors: vec!["alice@drill.example".to_owned()],
            reviewers: vec!["bob@drill.example".to_owned()],
            reviewed: self.stage.now()?,
        };
        self.stage.fact(&["bob"], &digest(&file)?, REVIEW, review.to_json())
    }

    /// What comes of a migration under a book, `enforced` or `dry-run`.
    pub(super) fn migrate(&self, book: &str, text: &str, evidence: Option<&Path>) -> Result<Seen, Failure> {
        let seen = self.deploy(book, &self.file(text)?, evidence, (Given::Judged, false))?;
        let is_applied = if text == HARMFUL { self.is_harmed()? } else { self.is_migrated()? };
        self.seen(seen, is_applied)
    }

    /// The same of an honest one, in whose place a harmful one is put right after it was admitted.
    pub(super) fn swap(&self, given: Given, evidence: &Path) -> Result<Seen, Failure> {
        let file = self.file(HONEST)?;
        let mut seen = self.deploy("enforced", &file, Some(evidence), (given, true))?;
        if crate::input::text("migration", &file)? != HARMFUL {
            return Err(Failure::new("the drill did not swap its own file"));
        }
        seen.is_let_through = self.is_harmed()?;
        let reason = if self.is_migrated()? { AS_JUDGED.reasons } else { &["psql ran another file"] };
        seen.reasons = reason.iter().map(|&reason| reason.to_owned()).collect();
        Ok(seen)
    }

    fn file(&self, text: &str) -> Result<PathBuf, Failure> {
        let file = self.stage.fresh("migration")?.join("migration.sql");
        keys::write(&file, text)?;
        Ok(file)
    }

    fn sql(&self, text: &str) -> Result<String, Failure> {
        self.server.sql("postgres", text)
    }

    fn is_harmed(&self) -> Result<bool, Failure> {
        Ok(self.sql(HARMED)? == "t")
    }

    fn is_migrated(&self) -> Result<bool, Failure> {
        Ok(self.sql(MIGRATED)? == "1")
    }

    /// Runs psql as deployer, whose password is read once something is admitted; the table is as it was before.
    fn deploy(
        &self,
        book: &str,
        file: &Path,
        evidence: Option<&Path>,
        (given, is_swapped): (Given, bool),
    ) -> Result<Seen, Failure> {
        self.sql(AS_IT_WAS)?;
        let at = |name: &str| word(&self.dir.join(name));
        let credential = format!("PGPASSWORD=command:{}", word(&self.vault(file, is_swapped)?));
        let (file, key, origin) = (word(file), word(&self.stage.key_file("deploy-log")), DECISIONS);
        let mut words = vec!["deploy", "--environment", "drill/database", &file, "--credential", &credential];
        let (books, root, log) = (at(book), at("trust-root.yaml"), at("log"));
        words.extend(["--book", &books, "--trust-root", &root, "--log", &log, "--log-key", &key]);
        words.extend(["--origin", origin]);
        let evidence = evidence.map(word);
        words.extend(evidence.iter().flat_map(|bundle| ["--bundle", bundle]));
        let (psql, host) = (word(&self.server.psql()), word(self.server.host()));
        let psql =
            [&psql, "-X", "-h", &host, "-U", "deployer", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-f"];
        match given {
            Given::Judged => words.extend([&["--"], &psql[..], &["{}"]].concat()),
            Given::Path => words.extend([&["--stdin", "--"], &psql[..], &[&file]].concat()),
        }
        let ran = self.stage.portcullis(&words)?;
        let basis = format!("exit {}", ran.exit);
        Ok(Seen { reasons: words_of(&ran.text), basis, message: ran.text, ..Seen::default() })
    }

    /// Gives the password to who asks for it, and is known to have been asked.
    fn vault(&self, file: &Path, is_swapped: bool) -> Result<PathBuf, Failure> {
        let program = self.dir.join("vault");
        let (asked, harmful, file) =
            (word(&self.dir.join("asked")), word(&self.dir.join("harmful.sql")), word(file));
        std::fs::remove_file(self.dir.join("asked")).ok();
        let swap = if is_swapped { format!("cp '{harmful}' '{file}'\n") } else { String::new() };
        keys::write(&program, &format!("#!/bin/sh\n{swap}: > '{asked}'\necho {PASSWORD}\n"))?;
        let mode = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(&program, mode)
            .map_err(|e| Failure::io("make a program of", &program, &e))?;
        Ok(program)
    }

    fn seen(&self, mut seen: Seen, is_let_through: bool) -> Result<Seen, Failure> {
        seen.is_let_through = is_let_through;
        if !is_let_through && self.dir.join("asked").exists() {
            seen.left.push("the database's password was read".to_owned());
        }
        if !is_let_through && (self.is_harmed()? || self.is_migrated()?) {
            seen.left.push("the database is another one".to_owned());
        }
        Ok(seen)
    }
}
