//! Reading the log, from where the last reading stopped. Nothing is taken that the signed root does not hold.

use std::collections::BTreeSet;

use attest::Digest;
use attest::merkle::{Hash, is_consistent, leaf_hash};
use attest::note::Checkpoint;
use chokepoint::{Entry, Event, Record};
use sqlx::sqlite::{Sqlite, SqliteConnection};
use sqlx::{Connection as _, QueryBuilder, Transaction};
use tlog::{Blobs, Reader, Storage};

use crate::error::{InventoryError, Notice};
use crate::facts::{self, Fact, Roots};
use crate::numbers::Numbers;
use crate::schema;
use crate::store::Inventory;
use crate::subtrees::Subtrees;

/// Entries of one file of the log (C2SP tlog-tiles).
const BUNDLE: u64 = 256;
/// Bundles of one transaction: some megabytes of leaves in memory at once.
const BUNDLES: u64 = 32;
/// Rows of one statement.
const ROWS: usize = 500;
/// So many sets of evidence are remembered as learnt before SQLite is asked again.
const REMEMBERED: usize = 200_000;

/// What came of following a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// How many entries were read before.
    pub from: u64,
    /// How many are read now.
    pub size: u64,
    /// Of all of them, those whose entry or case could not be read: nothing is known of where their artifacts came from.
    pub unread: u64,
    /// What was found out of order.
    pub notices: Vec<Notice>,
}

/// How far the reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Entries read.
    pub read: u64,
    /// Of so many.
    pub of: u64,
}

/// What a reading remembers from batch to batch.
#[derive(Default)]
struct Memory {
    numbers: Numbers,
    roots: Roots,
    learnt: BTreeSet<Vec<u8>>,
}

impl Inventory {
    /// Reads the log's entries up to a checkpoint whose signature the caller has checked, from where the last reading
    /// stopped. Where what was read before is no part of this log, everything is read anew. Reads files and checks
    /// signatures on the caller's thread: a task of a service runs it on a thread of its own.
    ///
    /// # Errors
    /// [`InventoryError`]; what was taken until then is good, and the next reading goes on from there.
    pub async fn follow<S: Storage + Sync>(
        &self,
        log: &S,
        upto: &Checkpoint,
        told: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Followed, InventoryError> {
        let _alone = self.following().lock().await;
        let reader = Reader::new(log, upto.size);
        let (mut read, mut unread) = self.progress().await?;
        let mut followed = Followed { from: read.size(), size: read.size(), ..Followed::default() };
        if read.size() > upto.size && is_older(log, upto, &read) {
            followed.unread = unread;
            return Ok(followed);
        }
        // a log that does not lead to its own root says nothing of whether it is another one
        if reader.root()? != upto.root {
            return Err(InventoryError::NotTheLog { from: read.size().min(upto.size), to: upto.size });
        }
        if !continues(&reader, &read, upto)? {
            followed.notices.push(Notice::AnotherLog { size: read.size(), root: read.root() });
            self.reset().await?;
            (read, unread, followed.from) = (Subtrees::default(), 0, 0);
        }
        let blobs = Blobs::new(log);
        let mut memory = Memory::default();
        while read.size() < upto.size {
            let from = read.size();
            let leaves = next_leaves(&reader, from)?;
            leaves.iter().for_each(|leaf| read.push(leaf_hash(leaf)));
            if leaves.is_empty() || !continues(&reader, &read, upto)? {
                return Err(InventoryError::NotTheLog { from, to: read.size() });
            }
            let batch = Batch::read(from, &leaves);
            unread += batch.unread;
            let mut writer = self.writer().await?;
            let mut all = writer.begin_with("BEGIN IMMEDIATE").await?;
            unread += batch.learn(&mut all, &blobs, &mut memory).await?;
            batch.write(&mut all, &mut memory.numbers).await?;
            save(&mut all, &read, unread).await?;
            all.commit().await?;
            drop(writer);
            told(Progress { read: read.size(), of: upto.size });
        }
        sqlx::raw_sql(schema::QUESTIONS).execute(&mut *self.writer().await?).await?;
        (followed.size, followed.unread) = (read.size(), unread);
        Ok(followed)
    }

    /// Forgets the log, and reads it from the beginning. Observations stay.
    ///
    /// # Errors
    /// [`InventoryError`].
    pub async fn rebuild<S: Storage + Sync>(
        &self,
        log: &S,
        upto: &Checkpoint,
        told: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Followed, InventoryError> {
        self.reset().await?;
        self.follow(log, upto, told).await
    }

    /// How many entries were read, and the root that they lead to.
    ///
    /// # Errors
    /// [`InventoryError`].
    pub async fn read_so_far(&self) -> Result<(u64, Hash), InventoryError> {
        let (read, _) = self.progress().await?;
        Ok((read.size(), read.root()))
    }

    async fn progress(&self) -> Result<(Subtrees, u64), InventoryError> {
        let (size, subtrees, unread): (i64, Vec<u8>, i64) =
            sqlx::query_as("SELECT size, subtrees, unread FROM progress").fetch_one(self.readers()).await?;
        let size = u64::try_from(size).unwrap_or_default();
        let damaged = || InventoryError::Damaged("what was read of the log does not fit together".to_owned());
        let read = Subtrees::read(size, &subtrees).ok_or_else(damaged)?;
        Ok((read, u64::try_from(unread).unwrap_or_default()))
    }

    async fn reset(&self) -> Result<(), InventoryError> {
        let mut writer = self.writer().await?;
        let mut all = writer.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::raw_sql(schema::FORGET).execute(&mut *all).await?;
        sqlx::raw_sql(schema::INDEX).execute(&mut *all).await?;
        Ok(all.commit().await?)
    }
}

/// Whether what was read is the beginning of the log under this checkpoint.
fn continues<S: Storage>(
    reader: &Reader<'_, S>,
    read: &Subtrees,
    upto: &Checkpoint,
) -> Result<bool, InventoryError> {
    if read.size() > upto.size {
        return Ok(false);
    }
    let proof = reader.consistency(read.size())?;
    Ok(read.size() == 0 || is_consistent(read.size(), &read.root(), upto.size, &upto.root, &proof))
}

/// Whether this checkpoint is only an older one of the log that was read: the log's tiles reach as far as we read, and lead
/// there.
fn is_older<S: Storage>(log: &S, upto: &Checkpoint, read: &Subtrees) -> bool {
    let reader = Reader::new(log, read.size());
    let proof = reader.consistency(upto.size);
    let leads = |proof: &[Hash]| is_consistent(upto.size, &upto.root, read.size(), &read.root(), proof);
    proof.is_ok_and(|proof| upto.size == 0 || leads(&proof))
}

/// The leaves from here on, some files of them.
fn next_leaves<S: Storage>(reader: &Reader<'_, S>, from: u64) -> Result<Vec<Vec<u8>>, InventoryError> {
    let mut leaves = Vec::new();
    let first = from / BUNDLE;
    let last = reader.size().div_ceil(BUNDLE).min(first + BUNDLES);
    for number in first..last {
        let skipped = usize::try_from(from.saturating_sub(number * BUNDLE)).unwrap_or(usize::MAX);
        leaves.extend(reader.entries(number)?.into_iter().skip(skipped));
    }
    Ok(leaves)
}

async fn save(all: &mut SqliteConnection, read: &Subtrees, unread: u64) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE progress SET size = ?1, subtrees = ?2, unread = ?3")
        .bind(signed(read.size()))
        .bind(read.to_bytes())
        .bind(signed(unread))
        .execute(all)
        .await?;
    Ok(())
}

/// A place in the log as SQLite counts.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Entries that are written in one transaction.
struct Batch {
    decisions: Vec<(u64, Record)>,
    events: Vec<(u64, Event)>,
    unread: u64,
}

impl Batch {
    fn read(from: u64, leaves: &[Vec<u8>]) -> Self {
        let mut batch = Self { decisions: Vec::new(), events: Vec::new(), unread: 0 };
        for (index, leaf) in (from..).zip(leaves) {
            match Entry::parse(leaf) {
                Ok(Entry::Decision(record)) => batch.decisions.push((index, *record)),
                Ok(Entry::Event(event)) => batch.events.push((index, *event)),
                // it is in the log, and of a form that this version does not know
                Err(_) => batch.unread += 1,
            }
        }
        batch
    }

    /// Learns what the evidence of these decisions says, each set of it once. Gives how many cases could not be read: what
    /// is missing beside the log is for `portcullis log verify` to say, and must not keep the rest from being found.
    async fn learn<S: Storage + Sync>(
        &self,
        all: &mut Transaction<'_, Sqlite>,
        blobs: &Blobs<&S>,
        memory: &mut Memory,
    ) -> Result<u64, sqlx::Error> {
        let mut unread = 0;
        for (_, record) in &self.decisions {
            // without a digest there is nothing that evidence could be about
            let Some(digest) = &record.digest else { continue };
            let named = match facts::named(record, blobs) {
                Ok(Some(named)) => named,
                Ok(None) => continue,
                Err(_) => {
                    unread += 1;
                    continue;
                }
            };
            if memory.knows(all, &named.set).await? {
                continue;
            }
            match facts::learn(&named, blobs, &mut memory.roots) {
                Ok(learnt) => {
                    write_facts(all, digest, &learnt.facts, &mut memory.numbers).await?;
                    if learnt.is_whole {
                        memory.remember(all, &named.set).await?;
                    }
                }
                Err(_) => unread += 1,
            }
        }
        Ok(unread)
    }

    async fn write(
        &self,
        all: &mut Transaction<'_, Sqlite>,
        numbers: &mut Numbers,
    ) -> Result<(), sqlx::Error> {
        let (mut texts, mut digests) = (BTreeSet::new(), BTreeSet::new());
        for (_, record) in &self.decisions {
            texts.extend([record.environment.as_str(), name_of(record)]);
            texts.extend(
                record.workload.iter().chain(&record.requester).chain(&record.grant).map(String::as_str),
            );
            digests.extend(record.digest.as_ref().map(Digest::bytes));
        }
        numbers.learn(all, texts, digests).await?;
        let mut rows = Vec::with_capacity(self.decisions.len());
        for (index, record) in &self.decisions {
            rows.push((*index, Row::of(record, all, numbers).await?, record));
        }
        for rows in rows.chunks(ROWS) {
            write_decisions(all, rows).await?;
        }
        for (index, event) in &self.events {
            sqlx::query("INSERT INTO events VALUES (?1, ?2, ?3, ?4)")
                .bind(signed(*index))
                .bind(event.at.as_microsecond())
                .bind(event.kind.name())
                .bind(attest::Json::from(event.body.clone()).to_string())
                .execute(&mut **all)
                .await?;
        }
        Ok(())
    }
}

impl Memory {
    async fn knows(&self, all: &mut SqliteConnection, set: &Digest) -> Result<bool, sqlx::Error> {
        if self.learnt.contains(set.bytes()) {
            return Ok(true);
        }
        let known: Option<i64> = sqlx::query_scalar("SELECT 1 FROM learnt WHERE evidence = ?1")
            .bind(set.bytes().to_vec())
            .fetch_optional(all)
            .await?;
        Ok(known.is_some())
    }

    async fn remember(&mut self, all: &mut SqliteConnection, set: &Digest) -> Result<(), sqlx::Error> {
        if self.learnt.len() > REMEMBERED {
            self.learnt.clear();
        }
        self.learnt.insert(set.bytes().to_vec());
        sqlx::query("INSERT OR IGNORE INTO learnt VALUES (?1)")
            .bind(set.bytes().to_vec())
            .execute(all)
            .await?;
        Ok(())
    }
}

/// What of a record is written by number.
struct Row {
    place: i64,
    digest: i64,
    answer: i64,
    requester: i64,
    held: i64,
}

impl Row {
    async fn of(
        record: &Record,
        all: &mut SqliteConnection,
        numbers: &mut Numbers,
    ) -> Result<Self, sqlx::Error> {
        let place = [
            numbers.text(Some(&record.environment)),
            numbers.text(record.workload.as_deref()),
            numbers.text(Some(name_of(record))),
        ];
        let answer = [&record.decision, &record.basis, &record.outcome, &record.chokepoint].map(Clone::clone);
        let [decision, basis, outcome, chokepoint] = answer;
        let answer = [decision, basis, outcome, chokepoint, record.rules.join(" ")];
        Ok(Self {
            place: numbers.place(all, place).await?,
            digest: numbers.digest(record.digest.as_ref()),
            answer: numbers.answer(all, answer).await?,
            requester: numbers.text(record.requester.as_deref()),
            held: numbers.text(record.grant.as_deref()),
        })
    }
}

/// The artifact's name, without the short digest that a record shows to people.
pub(crate) fn name_of(record: &Record) -> &str {
    let short = record.digest.as_ref().map(|digest| format!("@{}", digest.short()));
    short.and_then(|short| record.artifact.strip_suffix(&short)).unwrap_or(&record.artifact)
}

async fn write_decisions(
    all: &mut SqliteConnection,
    rows: &[(u64, Row, &Record)],
) -> Result<(), sqlx::Error> {
    let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO decisions ");
    query.push_values(rows, |mut values, (index, row, record)| {
        values
            .push_bind(signed(*index))
            .push_bind(record.at.as_microsecond())
            .push_bind(i64::from(record.decision == "admit"))
            .push_bind(row.place)
            .push_bind(row.digest)
            .push_bind(row.answer)
            .push_bind(row.requester)
            .push_bind(row.held)
            .push_bind(record.case.bytes().to_vec());
    });
    query.build().execute(all).await?;
    Ok(())
}

async fn write_facts(
    all: &mut SqliteConnection,
    digest: &Digest,
    facts: &BTreeSet<Fact>,
    numbers: &mut Numbers,
) -> Result<(), sqlx::Error> {
    let mut texts: BTreeSet<&str> = facts.iter().map(|fact| fact.value.as_str()).collect();
    texts.extend(facts.iter().filter_map(|fact| fact.detail.as_deref()));
    numbers.learn(&mut *all, texts, BTreeSet::from([digest.bytes()])).await?;
    let digest = numbers.digest(Some(digest));
    let facts: Vec<&Fact> = facts.iter().collect();
    for rows in facts.chunks(ROWS) {
        let mut query =
            QueryBuilder::<Sqlite>::new("INSERT OR IGNORE INTO facts (digest, kind, value, detail) ");
        query.push_values(rows, |mut values, fact| {
            values
                .push_bind(digest)
                .push_bind(fact.kind.number())
                .push_bind(numbers.text(Some(&fact.value)))
                .push_bind(numbers.text(fact.detail.as_deref()));
        });
        query.build().execute(&mut *all).await?;
    }
    Ok(())
}
