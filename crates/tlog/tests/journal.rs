//! The journal against crashes at every write, torn writes, full disks, and somebody who edits it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use attest::note::NoteKey;
use attest::{Digest, SecretKey, Signer as _};
use tlog::{
    AppendError, Batch, Blobs, Journal, JournalFlaw, Journaled, Log, OpenLogError, Storage, pending, verify,
};

/// What is there of the write at which the machine stopped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kept {
    Nothing,
    FirstSectors,
    LastSectors,
    EveryOtherSector,
    Everything,
}

const KINDS: [Kept; 5] =
    [Kept::Nothing, Kept::FirstSectors, Kept::LastSectors, Kept::EveryOtherSector, Kept::Everything];

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    operations: usize,
    crash_at: Option<(usize, Kept)>,
    is_down: bool,
    /// Writes of paths that begin so fail as on a full disk.
    full: Option<String>,
}

/// A disk that loses power at a chosen write. Everything fails after that, until it is `repaired`.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<State>>);

impl Disk {
    fn crash_at(&self, operation: usize, kept: Kept) {
        let mut state = self.0.lock().unwrap();
        state.crash_at = Some((state.operations + operation, kept));
    }

    fn repaired(&self) -> usize {
        let mut state = self.0.lock().unwrap();
        (state.crash_at, state.is_down, state.full) = (None, false, None);
        state.operations
    }

    /// Whether this operation goes through; else what of it is kept.
    fn begin(state: &mut State, path: &str) -> Result<(), (Kept, io::Error)> {
        if state.is_down {
            return Err((Kept::Nothing, io::Error::other("the machine is off")));
        }
        if state.full.as_ref().is_some_and(|full| path.starts_with(full)) {
            return Err((Kept::Nothing, io::Error::from(io::ErrorKind::StorageFull)));
        }
        state.operations += 1;
        match state.crash_at {
            Some((at, kept)) if state.operations > at => {
                state.is_down = true;
                Err((kept, io::Error::other("power cut")))
            }
            _ => Ok(()),
        }
    }
}

impl Storage for Disk {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let state = self.0.lock().unwrap();
        if state.is_down {
            Err(io::Error::other("the machine is off"))
        } else {
            Ok(state.files.get(path).cloned())
        }
    }
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        let begun = Self::begin(&mut state, path);
        // a file is replaced as a whole: it is there, or not
        if matches!(begun, Ok(()) | Err((Kept::LastSectors | Kept::Everything, _))) {
            state.files.insert(path.to_owned(), bytes.to_vec());
        }
        begun.map_err(|(_, e)| e)
    }
    fn write_many(&self, files: &[(String, Vec<u8>)]) -> io::Result<()> {
        // any of them may be there after a crash: the last ones, here
        files.iter().rev().try_for_each(|(path, bytes)| self.write(path, bytes))
    }
    fn write_at(&self, path: &str, position: usize, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        let begun = Self::begin(&mut state, path);
        let kept = begun.as_ref().map_or_else(|(kept, _)| *kept, |()| Kept::Everything);
        let file = state.files.get_mut(path).expect("it is preallocated");
        file.resize(file.len().max(position + bytes.len()), 0);
        let half = bytes.len() / 1024;
        for (number, sector) in bytes.chunks(512).enumerate() {
            let is_kept = match kept {
                Kept::Nothing => false,
                Kept::FirstSectors => number < half,
                Kept::LastSectors => number >= half,
                Kept::EveryOtherSector => number % 2 == 0,
                Kept::Everything => true,
            };
            if is_kept {
                let at = position + number * 512;
                file[at..at + sector.len()].copy_from_slice(sector);
            }
        }
        begun.map_err(|(_, e)| e)
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.0.lock().unwrap().files.remove(path);
        Ok(())
    }
}

const ORIGIN: &str = "test.example/log";
const SEGMENT: usize = 128 * 1024;
/// So short that packs are closed and begun in every life.
const PACK: usize = 24 * 1024;

fn signer() -> Box<SecretKey> {
    Box::new(SecretKey::from_ed25519_seed(&[1; 32]).unwrap())
}

fn key() -> NoteKey {
    NoteKey { name: ORIGIN.to_owned(), key: signer().public().clone() }
}

fn open(disk: &Disk) -> Result<Log<Disk>, OpenLogError> {
    let log = match Log::open(disk.clone(), ORIGIN, signer()) {
        Err(OpenLogError::None) => Log::create(disk.clone(), ORIGIN, signer()),
        other => other,
    };
    Ok(log?.with_packs_of(PACK))
}

/// Leaves name a blob each, as records do.
fn batch(first: u64, count: u64, life: u64) -> Batch {
    let blob = |index: u64| {
        format!("part of {index} in life {life} ").repeat(if index.is_multiple_of(5) { 300 } else { 9 })
    };
    let blobs: Vec<Vec<u8>> = (first..first + count).map(|index| blob(index).into_bytes()).collect();
    let leaf =
        |(index, blob): (u64, &Vec<u8>)| format!("{index} {life} {}", Digest::sha256(blob)).into_bytes();
    Batch { leaves: (first..).zip(&blobs).map(leaf).collect(), blobs }
}

/// What a life came to: everything acknowledged, in order, and what was on its way when it ended.
#[derive(Default)]
struct Life {
    acknowledged: Vec<Vec<u8>>,
    under_way: Vec<Vec<u8>>,
}

/// One process, as [`Journaled`] works but in one thread, so that every write has a number: commits, and commits while
/// what was there is applied, through several turns of the segments.
fn live(disk: &Disk, number: u64, life: &mut Life) -> Result<(), String> {
    let mut log = open(disk).map_err(|e| e.to_string())?;
    let mut journal = Journal::begin(&log, SEGMENT).map_err(|e| e.to_string())?;
    let (mut waiting, mut taken) = (Vec::new(), Vec::new());
    for (step, count) in [1, 3, 1, 2, 40, 1, 1, 2, 5, 9, 1, 1, 7, 2, 1].into_iter().enumerate() {
        let batch = batch(journal.next(), count, number);
        assert!(journal.has_room(&batch), "step {step}");
        life.under_way.clone_from(&batch.leaves);
        let promises = journal.commit(&batch).map_err(|e| e.to_string())?;
        assert_eq!(promises.len(), batch.leaves.len());
        assert!(promises.iter().all(|promise| promise.is_signed_by(&key())));
        life.acknowledged.append(&mut life.under_way);
        waiting.push(batch);
        match step {
            // taken by the applier, and applied only after the next commit
            1 | 3 | 5 | 7 | 9 | 11 => {
                journal.rotate();
                taken = std::mem::take(&mut waiting);
            }
            2 | 4 | 6 | 8 | 10 | 12 => log.apply(&std::mem::take(&mut taken)).map_err(|e| e.to_string())?,
            _ => {}
        }
    }
    Ok(())
}

/// Everything acknowledged is there exactly once, in order; a batch that was under way is there as a whole or not at
/// all; every part that a record names is there; the tree verifies.
fn check(disk: &Disk, acknowledged: &[Vec<u8>], under_way: &[Vec<u8>], row: &str) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    verify(disk, &key(), None, |_, bytes| entries.push(bytes.to_vec()))
        .unwrap_or_else(|e| panic!("{row}: {e}"));
    assert!(
        entries.len() >= acknowledged.len(),
        "{row}: {} of {} are there",
        entries.len(),
        acknowledged.len()
    );
    assert_eq!(entries[..acknowledged.len()], *acknowledged, "{row}");
    let more = &entries[acknowledged.len()..];
    assert!(more.is_empty() || more == under_way, "{row}: half of a batch");
    check_parts(disk, &entries, row);
    assert!(pending(disk, &key(), u64::try_from(entries.len()).unwrap()).unwrap().is_empty(), "{row}");
    entries
}

fn check_parts(disk: &Disk, entries: &[Vec<u8>], row: &str) {
    let blobs = Blobs::new(disk.clone());
    for entry in entries {
        let text = std::str::from_utf8(entry).unwrap();
        let digest = Digest::parse(text.rsplit(' ').next().unwrap()).unwrap();
        let bytes = blobs.get(&digest).unwrap_or_else(|e| panic!("{row}: {e}"));
        let mut words = text.split(' ');
        let (index, life) = (words.next().unwrap(), words.next().unwrap());
        assert!(bytes.starts_with(format!("part of {index} in life {life} ").as_bytes()), "{row}");
    }
}

/// Before anything is recovered: the tree that a reader finds names only parts that are there.
fn check_tree(disk: &Disk, row: &str) {
    let mut entries = Vec::new();
    if verify(disk, &key(), None, |_, bytes| entries.push(bytes.to_vec())).is_ok() {
        check_parts(disk, &entries, row);
    } else {
        assert!(disk.read("checkpoint").unwrap().is_none(), "{row}: a tree that does not verify");
    }
}

fn packs(disk: &Disk) -> usize {
    (0..).take_while(|n| disk.length(&format!("blobs/packs/{n:08}")).unwrap().is_some()).count()
}

#[test]
fn a_crash_at_every_write_loses_nothing_acknowledged_and_leaves_nothing_half() {
    let mut rows = 0;
    for kept in KINDS {
        for at in 0.. {
            let disk = Disk::default();
            disk.crash_at(at, kept);
            let mut life = Life::default();
            let ended = live(&disk, 0, &mut life);
            let row = format!("write {at}, {kept:?}");
            disk.repaired();
            if ended.is_ok() {
                assert!(at > 45, "{row}: a life has more writes than {at}");
                assert!(packs(&disk) > 3, "packs are closed and begun on the way");
                break;
            }
            check_tree(&disk, &row);
            drop(open(&disk).unwrap_or_else(|e| panic!("{row}: {e}")));
            let entries = check(&disk, &life.acknowledged, &life.under_way, &row);
            // and it goes on: another life, on the segments that this one left
            let mut next = Life::default();
            live(&disk, 1, &mut next).unwrap_or_else(|e| panic!("{row}: {e}"));
            drop(open(&disk).unwrap());
            check(&disk, &[entries, next.acknowledged].concat(), &[], &row);
            rows += 1;
        }
    }
    assert!(rows > 240, "{rows}");
}

#[test]
fn a_crash_at_every_write_of_the_recovery_too() {
    let mut rows = 0;
    for kept in [Kept::FirstSectors, Kept::Everything] {
        for at in (4..).step_by(3) {
            let whole = Disk::default();
            whole.crash_at(at, kept);
            let mut life = Life::default();
            let ended = live(&whole, 0, &mut life);
            let files = whole.0.lock().unwrap().files.clone();
            if ended.is_ok() {
                break;
            }
            for second in 0.. {
                let disk = Disk(Arc::new(Mutex::new(State { files: files.clone(), ..State::default() })));
                disk.crash_at(second, kept);
                let row = format!("write {at}, then write {second} of the recovery, {kept:?}");
                let recovered = open(&disk).is_ok();
                disk.repaired();
                check_tree(&disk, &row);
                drop(open(&disk).unwrap_or_else(|e| panic!("{row}: {e}")));
                check(&disk, &life.acknowledged, &life.under_way, &row);
                rows += 1;
                if recovered {
                    break;
                }
            }
        }
    }
    assert!(rows > 100, "{rows}");
}

/// A disk with three batches in the journal and none in the tree.
fn three_pending() -> Disk {
    let disk = Disk::default();
    let log = open(&disk).unwrap();
    let mut journal = Journal::begin(&log, SEGMENT).unwrap();
    for count in [1, 2, 1] {
        journal.commit(&batch(journal.next(), count, 0)).unwrap();
    }
    assert_eq!(pending(&disk, &key(), 0).unwrap().len(), 3);
    disk
}

#[test]
fn a_batch_that_is_damaged_before_another_is_missed() {
    let disk = three_pending();
    disk.0.lock().unwrap().files.get_mut("journal/0").unwrap()[60] ^= 1;
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, OpenLogError::Journal(JournalFlaw::Gap(1))), "{error}");
    assert_eq!(
        error.to_string(),
        "the journal is damaged: it has record 1, and some before it, which were acknowledged, are missing"
    );
}

#[test]
fn what_the_logs_key_did_not_sign_is_not_taken_into_the_log() {
    let disk = three_pending();
    {
        let mut state = disk.0.lock().unwrap();
        let segment = state.files.get_mut("journal/0").unwrap();
        let at = segment.windows(6).position(|w| w == b"0 0 sh").unwrap();
        segment[at] = b'9';
        // an intruder knows how frames are made
        let length = usize::try_from(u64::from_be_bytes(segment[8..16].try_into().unwrap())).unwrap();
        let hash = Digest::sha256(&segment[48..48 + length]);
        segment[16..48].copy_from_slice(hash.bytes());
    }
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, OpenLogError::Journal(JournalFlaw::Unsigned(0))), "{error}");
}

#[test]
fn a_batch_in_somebodys_blob_is_no_batch() {
    let disk = three_pending();
    let signed = disk.0.lock().unwrap().files["journal/0"][..8192].to_vec();
    drop(open(&disk).unwrap());
    let log = open(&disk).unwrap();
    assert_eq!(log.size(), 4);
    let mut journal = Journal::begin(&log, SEGMENT).unwrap();
    // at every offset, so that some lie where a block begins
    let mut hostile = batch(4, 1, 0);
    hostile.blobs.extend((0..4).map(|shift| [vec![0; shift], signed.clone()].concat()));
    disk.crash_at(0, Kept::LastSectors);
    journal.commit(&hostile).unwrap_err();
    assert!(matches!(journal.commit(&hostile), Err(AppendError::Stopped)), "no retry");
    disk.repaired();
    assert_eq!(open(&disk).unwrap().size(), 4);
}

#[test]
fn a_full_disk_stops_the_log_and_what_was_acknowledged_is_applied_once_there_is_room() {
    for full in ["blobs/", "tile/", "checkpoint", "journal/"] {
        let disk = Disk::default();
        let log = Journaled::start_with(open(&disk).unwrap(), SEGMENT).unwrap();
        let mut acknowledged = Vec::new();
        disk.0.lock().unwrap().full = Some(full.to_owned());
        let error = loop {
            let mut leaves = Vec::new();
            let made = log.commit(|first| {
                let batch = batch(first, 2, 0);
                leaves.clone_from(&batch.leaves);
                batch
            });
            match made {
                Ok(_) => acknowledged.append(&mut leaves),
                Err(e) => break e,
            }
        };
        assert_eq!(matches!(error, AppendError::Io(_)), full == "journal/", "{full}: {error}");
        assert!(log.is_stopped() && log.commit(|first| batch(first, 1, 0)).is_err());
        assert_eq!(acknowledged.is_empty(), full == "journal/", "{full}");
        assert_eq!(log.settle().is_err(), !acknowledged.is_empty(), "{full}");
        drop(log);
        disk.repaired();
        drop(open(&disk).unwrap());
        check(&disk, &acknowledged, &[], full);
    }
}

#[test]
fn many_threads_commit_at_once_and_a_close_applies_everything() {
    let disk = Disk::default();
    let log = Journaled::start_with(open(&disk).unwrap(), SEGMENT).unwrap();
    let mut promises: Vec<(tlog::Promise, Vec<u8>)> = std::thread::scope(|scope| {
        let thread = |number: u64| {
            let log = &log;
            scope.spawn(move || {
                let one = |round: u64| {
                    let mut leaf = Vec::new();
                    let made = log.commit(|first| {
                        let batch = batch(first, 1, number * 1000 + round);
                        leaf.clone_from(&batch.leaves[0]);
                        batch
                    });
                    (made.unwrap().remove(0), leaf)
                };
                (0..100).map(one).collect::<Vec<_>>()
            })
        };
        let threads: Vec<_> = (0..8).map(thread).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    promises.sort_by_key(|(promise, _)| promise.index());
    assert_eq!(promises.iter().map(|(p, _)| p.index()).collect::<Vec<_>>(), (0..800).collect::<Vec<_>>());
    for (promise, _) in &promises {
        assert!(promise.is_signed_by(&key()));
    }
    assert!(log.prove(799).unwrap().to_text().starts_with("c2sp.org/tlog-proof@v1\nindex 799\n"));
    log.close().unwrap();
    let leaves: Vec<Vec<u8>> = promises.into_iter().map(|(_, leaf)| leaf).collect();
    check(&disk, &leaves, &[], "closed");
    let names: Vec<String> = disk.0.lock().unwrap().files.keys().cloned().collect();
    let partial = names.iter().filter(|name| name.contains(".p/")).count();
    assert_eq!(partial, 3, "two levels of hashes and the entries; the old ones were removed: {names:?}");
}
