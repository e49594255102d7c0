//! The journal against crashes at every write, torn writes, full disks, and somebody who edits it.

mod disk;

use std::ops::Range;
use std::sync::{Arc, Mutex};

use attest::Digest;
use disk::{Disk, KINDS, Kept, State, batch, key, open};
use tlog::{
    AppendError, Batch, Blobs, Journal, JournalFlaw, Journaled, Log, OpenLogError, Purpose, Room,
    Storage as _, pending, verify,
};

/// So short that a life goes round, and that there is no room left while the target is away: half of what a life writes is
/// one batch of sixty kilobytes.
const ROOMS: [Room; 3] = [
    Room { segments: 2, segment: 64 * 1024, reserve: 48 * 1024 },
    Room { segments: 3, segment: 32 * 1024, reserve: 48 * 1024 },
    Room { segments: 8, segment: 8 * 1024, reserve: 48 * 1024 },
];
/// During these steps of a life its target takes nothing.
const AWAY: [Range<usize>; 2] = [0..0, 4..12];

/// What a life came to: everything acknowledged, in order, and what was on its way when it ended.
#[derive(Default)]
struct Life {
    acknowledged: Vec<Vec<u8>>,
    under_way: Vec<Vec<u8>>,
    /// Batches that lay in the reserve.
    in_reserve: usize,
}

/// One process, as [`Journaled`] works but in one thread, so that every write has a number: commits, and commits while
/// what was there is applied, through several turns of the ring. While the target is away nothing is applied, and what
/// finds no room goes into the reserve.
fn live(disk: &Disk, room: Room, away: &Range<usize>, number: u64, life: &mut Life) -> Result<(), String> {
    let mut log = open(disk).map_err(|e| e.to_string())?;
    let mut journal = Journal::begin(&log, room).map_err(|e| e.to_string())?;
    let (mut waiting, mut taken) = (Vec::new(), Vec::new());
    let apply = |log: &mut Log<Disk>, journal: &mut Journal<Disk>, batches: &mut Vec<Batch>| {
        log.apply(&std::mem::take(batches)).map_err(|e| e.to_string())?;
        journal.applied(log.size());
        Ok::<(), String>(())
    };
    for (step, count) in [1, 3, 1, 2, 40, 1, 1, 2, 5, 9, 1, 1, 7, 2, 1].into_iter().enumerate() {
        let batch = batch(journal.next(), count, number);
        let mut purpose = Purpose::Ordinary;
        if !journal.has_room(&batch, purpose) {
            if away.contains(&step) && journal.has_room(&batch, Purpose::Reserve) {
                purpose = Purpose::Reserve;
            } else {
                taken.append(&mut waiting);
                apply(&mut log, &mut journal, &mut taken)?;
            }
        }
        life.under_way.clone_from(&batch.leaves);
        let (promises, _) = journal.commit_for(purpose, &batch).map_err(|e| e.to_string())?;
        assert_eq!(promises.len(), batch.leaves.len());
        assert!(promises.iter().all(|promise| promise.is_signed_by(&key())));
        life.acknowledged.append(&mut life.under_way);
        life.in_reserve += usize::from(purpose == Purpose::Reserve);
        waiting.push(batch);
        match step {
            _ if away.contains(&step) => {}
            // taken by the applier, and applied only after the next commit
            1 | 3 | 5 | 7 | 9 | 11 => taken.append(&mut waiting),
            2 | 4 | 6 | 8 | 10 | 12 if !taken.is_empty() => apply(&mut log, &mut journal, &mut taken)?,
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
    for (room, away) in ROOMS.iter().flat_map(|room| AWAY.iter().map(move |away| (*room, away))) {
        for kept in KINDS {
            for at in 0.. {
                let disk = Disk::default();
                disk.crash_at(at, kept);
                let mut life = Life::default();
                let ended = live(&disk, room, away, 0, &mut life);
                let row = format!("{} segments, away {away:?}, write {at}, {kept:?}", room.segments);
                disk.repaired();
                if ended.is_ok() {
                    assert!(at > 25, "{row}: a life has more writes than {at}");
                    // what came while the target was away is brought at once, into one pack
                    let least = if away.is_empty() { 4 } else { 2 };
                    assert!(packs(&disk) >= least, "{row}: packs are closed and begun on the way");
                    assert_eq!(life.in_reserve > 0, !away.is_empty(), "{row}: batches in the reserve");
                    break;
                }
                check_tree(&disk, &row);
                drop(open(&disk).unwrap_or_else(|e| panic!("{row}: {e}")));
                let entries = check(&disk, &life.acknowledged, &life.under_way, &row);
                // and it goes on: another life, on the segments that this one left
                let mut next = Life::default();
                live(&disk, room, away, 1, &mut next).unwrap_or_else(|e| panic!("{row}: {e}"));
                drop(open(&disk).unwrap());
                check(&disk, &[entries, next.acknowledged].concat(), &[], &row);
                rows += 1;
            }
        }
    }
    assert!(rows > 1000, "{rows}");
}

#[test]
fn a_crash_at_every_write_of_the_recovery_too() {
    let mut rows = 0;
    for (room, away) in ROOMS.iter().zip([0..0, 4..12, 4..12]) {
        for kept in [Kept::FirstSectors, Kept::Everything] {
            for at in (4..).step_by(3) {
                let whole = Disk::default();
                whole.crash_at(at, kept);
                let mut life = Life::default();
                let ended = live(&whole, *room, &away, 0, &mut life);
                let files = whole.0.lock().unwrap().files.clone();
                if ended.is_ok() {
                    break;
                }
                for second in 0.. {
                    let disk = Disk(Arc::new(Mutex::new(State { files: files.clone(), ..State::default() })));
                    disk.crash_at(second, kept);
                    let row = format!(
                        "{} segments, write {at}, then write {second} of the recovery, {kept:?}",
                        room.segments
                    );
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
    }
    assert!(rows > 300, "{rows}");
}

/// A disk with three batches in the journal and none in the tree.
fn three_pending() -> Disk {
    let disk = Disk::default();
    let log = open(&disk).unwrap();
    let mut journal = Journal::begin(&log, ROOMS[0]).unwrap();
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
    let mut journal = Journal::begin(&log, ROOMS[0]).unwrap();
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
        let log = Journaled::start_with(open(&disk).unwrap(), ROOMS[0]).unwrap();
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
    let log = Journaled::start_with(open(&disk).unwrap(), ROOMS[0]).unwrap();
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
