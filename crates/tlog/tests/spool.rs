//! The spool before a store that may be out of reach: crashes at every write, in every life; what finds no room; what
//! lies in the reserve; and a store that took what it was brought, and could not say so.

mod disk;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use disk::{Disk, KINDS, Kept, batch, key, signer};
use tlog::{
    AppendError, ApplyError, Batch, Journaled, Level, Mark, Newest, OpenLogError, Purpose, Receipt, Room,
    Storage, Target, beyond,
};

/// What a store does when it is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Mood {
    #[default]
    Here,
    /// Nothing arrives.
    Away,
    /// It takes everything, and its answer is lost.
    Mute,
    /// Nobody knows.
    Broken,
}

#[derive(Debug, Default)]
struct Held {
    leaves: Vec<Vec<u8>>,
    blobs: Vec<Vec<u8>>,
    mood: Mood,
    asked: usize,
    witnessed: u64,
    /// How many entries are not in its tree yet, and may be lost.
    behind: u64,
}

/// A store in memory, which survives every crash of the process.
#[derive(Clone, Debug, Default)]
struct Store(Arc<Mutex<Held>>);

impl Store {
    fn is(&self, mood: Mood) -> &Self {
        self.0.lock().unwrap().mood = mood;
        self
    }

    /// From now on so many of the newest entries are not in its tree.
    fn stays_behind(&self, behind: u64) -> &Self {
        self.0.lock().unwrap().behind = behind;
        self
    }

    /// Another server takes over that has nothing but what is in the tree.
    fn fails_over(&self) -> u64 {
        let mut held = self.0.lock().unwrap();
        let lost = held.behind.min(held.leaves.len() as u64);
        let left = held.leaves.len() - usize::try_from(lost).unwrap();
        held.leaves.truncate(left);
        lost
    }

    fn leaves(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().leaves.clone()
    }
}

impl Target for Store {
    fn taken(&self) -> u64 {
        u64::try_from(self.0.lock().unwrap().leaves.len()).unwrap()
    }

    fn apply(&mut self, first: u64, batches: &[Batch]) -> Result<(), ApplyError> {
        let taken = self.taken();
        let mut held = self.0.lock().unwrap();
        held.asked += 1;
        match held.mood {
            Mood::Away => return Err(ApplyError::Unreachable("no route".to_owned())),
            Mood::Broken => return Err(ApplyError::Stop(AppendError::Sign)),
            Mood::Here | Mood::Mute => {}
        }
        if first > taken {
            return Err(ApplyError::Unreachable("it lost some".to_owned()));
        }
        for batch in beyond(taken, first, batches)? {
            held.leaves.extend(batch.leaves);
            held.blobs.extend(batch.blobs);
        }
        if held.mood == Mood::Mute {
            return Err(ApplyError::Unreachable("no answer".to_owned()));
        }
        Ok(())
    }

    fn reached(&mut self, level: Level) -> Result<u64, ApplyError> {
        if self.0.lock().unwrap().mood != Mood::Here {
            return Err(ApplyError::Unreachable("no route".to_owned()));
        }
        let (taken, held) = (self.taken(), self.0.lock().unwrap());
        Ok(match level {
            Level::Witnessed => held.witnessed,
            Level::Sequenced => taken.saturating_sub(held.behind),
            Level::Local | Level::Quorum => taken,
        })
    }

    fn prove(&mut self, _: u64) -> Result<Option<Receipt>, ApplyError> {
        Ok(None)
    }

    fn newest(&mut self) -> Result<Newest, ApplyError> {
        let all = self.leaves();
        Ok(Newest { own: all.last().cloned(), all })
    }
}

const ROOMS: [Room; 3] = [
    Room { segments: 2, segment: 64 * 1024, reserve: 64 * 1024 },
    Room { segments: 3, segment: 48 * 1024, reserve: 64 * 1024 },
    Room { segments: 8, segment: 16 * 1024, reserve: 64 * 1024 },
];

fn open(disk: &Disk, room: Room, store: &Store) -> Result<Journaled<Disk>, OpenLogError> {
    Journaled::open(
        disk.clone(),
        disk::ORIGIN,
        Arc::from(signer() as Box<tlog::LogSigner>),
        room,
        Box::new(store.clone()),
    )
}

/// What a life acknowledged, and the batch that was on its way when it ended.
#[derive(Default)]
struct Life {
    acknowledged: Vec<Vec<u8>>,
    under_way: Vec<Vec<u8>>,
    in_reserve: usize,
}

/// Commits batches; what finds no room while the store is away goes into the reserve, and when that is full too, the life
/// is over.
fn live(disk: &Disk, room: Room, store: &Store, number: u64, life: &mut Life) -> Result<(), String> {
    let log = open(disk, room, store).map_err(|e| e.to_string())?;
    for count in [1, 2, 1, 6, 1, 9, 1, 3, 2, 4] {
        for purpose in [Purpose::Ordinary, Purpose::Outage, Purpose::Reserve] {
            let made = log.commit_for(purpose, |first| {
                let batch = batch(first, count, number);
                life.under_way.clone_from(&batch.leaves);
                batch
            });
            match made {
                Err(AppendError::Full) => life.under_way.clear(),
                Err(e) => return Err(e.to_string()),
                Ok(promises) => {
                    assert!(promises.iter().all(|promise| promise.is_signed_by(&key())));
                    life.acknowledged.append(&mut life.under_way);
                    life.in_reserve += usize::from(purpose > Purpose::Ordinary);
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Everything acknowledged is in the store once, in order; what was under way as a whole, or not at all.
fn check(store: &Store, acknowledged: &[Vec<u8>], under_way: &[Vec<u8>], row: &str) -> Vec<Vec<u8>> {
    let leaves = store.leaves();
    assert!(leaves.len() >= acknowledged.len(), "{row}: {} of {}", leaves.len(), acknowledged.len());
    assert_eq!(leaves[..acknowledged.len()], *acknowledged, "{row}");
    let more = &leaves[acknowledged.len()..];
    assert!(more.is_empty() || more == under_way, "{row}: half of a batch");
    let held = store.0.lock().unwrap();
    for leaf in &leaves {
        let text = std::str::from_utf8(leaf).unwrap();
        let digest = attest::Digest::parse(text.rsplit(' ').next().unwrap()).unwrap();
        assert!(
            held.blobs.iter().any(|blob| attest::Digest::sha256(blob) == digest),
            "{row}: a part is missing"
        );
    }
    leaves
}

#[test]
fn a_crash_at_every_write_while_the_store_is_away_loses_nothing_and_brings_nothing_twice() {
    let (mut rows, mut in_reserve) = (0, 0);
    for (room, mood) in ROOMS.iter().flat_map(|room| [Mood::Away, Mood::Mute].map(|mood| (*room, mood))) {
        for kept in KINDS {
            for at in 0.. {
                let row = format!("{} segments, {mood:?}, write {at}, {kept:?}", room.segments);
                let (disk, store) = (Disk::default(), Store::default());
                disk.crash_at(at, kept);
                let mut life = Life::default();
                let ended = live(&disk, room, store.is(mood), 0, &mut life);
                disk.repaired();
                // another life, and the store is still away: it goes on where the first one ended
                let mut next = Life::default();
                let second = live(&disk, room, &store, 1, &mut next);
                second.unwrap_or_else(|e| panic!("{row}: {e}"));
                // and a third, to which the store is back
                open(&disk, room, store.is(Mood::Here)).unwrap().close().unwrap();
                let leaves = store.leaves();
                let first = &leaves[..leaves.len() - next.acknowledged.len()];
                let own = Store(Arc::new(Mutex::new(Held {
                    leaves: first.to_vec(),
                    blobs: store.0.lock().unwrap().blobs.clone(),
                    ..Held::default()
                })));
                check(&own, &life.acknowledged, &life.under_way, &row);
                check(&store, &[first, &next.acknowledged].concat(), &[], &row);
                in_reserve += life.in_reserve + next.in_reserve;
                rows += 1;
                if ended.is_ok() {
                    assert!(at > 10, "{row}");
                    break;
                }
            }
        }
    }
    assert!(rows > 300, "{rows}");
    assert!(in_reserve > 0, "the reserve was used");
}

#[test]
fn a_crash_at_every_write_of_the_second_life_too() {
    let mut rows = 0;
    for room in ROOMS {
        for kept in [Kept::Nothing, Kept::EveryOtherSector, Kept::Everything] {
            for at in (room.segments + 1..).step_by(4) {
                let (whole, store) = (Disk::default(), Store::default());
                whole.crash_at(at, kept);
                let mut life = Life::default();
                let ended = live(&whole, room, store.is(Mood::Away), 0, &mut life);
                whole.repaired();
                let files = whole.0.lock().unwrap().files.clone();
                for second in 0.. {
                    let row = format!("{} segments, write {at}, then {second}, {kept:?}", room.segments);
                    let state = disk::State { files: files.clone(), ..disk::State::default() };
                    let (disk, store) = (Disk(Arc::new(Mutex::new(state))), Store::default());
                    disk.crash_at(second, kept);
                    let mut next = Life::default();
                    let again = live(&disk, room, store.is(Mood::Away), 1, &mut next);
                    disk.repaired();
                    open(&disk, room, store.is(Mood::Here))
                        .unwrap_or_else(|e| panic!("{row}: {e}"))
                        .close()
                        .unwrap();
                    // the first life's last batch was never acknowledged: it is there as a whole, or not
                    let with = [life.acknowledged.clone(), life.under_way.clone(), next.acknowledged.clone()]
                        .concat();
                    let without = [life.acknowledged.clone(), next.acknowledged.clone()].concat();
                    let is_there = store.leaves().starts_with(&with) && !life.under_way.is_empty();
                    check(&store, if is_there { &with } else { &without }, &next.under_way, &row);
                    rows += 1;
                    if again.is_ok() {
                        break;
                    }
                }
                if ended.is_ok() {
                    break;
                }
            }
        }
    }
    assert!(rows > 300, "{rows}");
}

/// Waits until the store has so many.
fn wait_for(store: &Store, count: usize) {
    let began = std::time::Instant::now();
    while store.leaves().len() < count {
        assert!(began.elapsed() < Duration::from_secs(30), "{} of {count}", store.leaves().len());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_a_store_lost_that_had_taken_it_is_brought_again_after_a_crash_at_every_write() {
    let lives = ROOMS.iter().flat_map(|room| [1, 5, 1000].map(|behind| (*room, behind)));
    let kinds = [Kept::Nothing, Kept::EveryOtherSector, Kept::Everything];
    // each waits most of the time
    let (rows, lost) = std::thread::scope(|scope| {
        let all = lives.flat_map(|(room, behind)| kinds.map(|kept| (room, behind, kept)));
        let all: Vec<_> =
            all.map(|(room, behind, kept)| scope.spawn(move || fail_over(room, behind, kept))).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    });
    assert!(rows > 300 && lost > 1000, "{rows} rows, {lost} lost");
}

/// A crash at every write, and a failover after it and after the next life. Gives how many there were, and what was lost.
fn fail_over(room: Room, behind: u64, kept: Kept) -> (u64, u64) {
    let (mut rows, mut lost) = (0, 0);
    for at in 0.. {
        let row = format!("{} segments, {behind} behind, write {at}, {kept:?}", room.segments);
        let (disk, store) = (Disk::default(), Store::default());
        disk.crash_at(at, kept);
        let mut life = Life::default();
        // dropping it brings everything that it can
        let ended = live(&disk, room, store.stays_behind(behind), 0, &mut life);
        disk.repaired();
        let had = store.leaves();
        lost += store.fails_over();
        // the next life begins with what was lost, and loses it again when its own entries are there
        let mut next = Life::default();
        live(&disk, room, &store, 1, &mut next).unwrap_or_else(|e| panic!("{row}: {e}"));
        assert!(store.leaves().starts_with(&had), "{row}: what was lost is back, in its place");
        lost += store.fails_over();
        let last = open(&disk, room, store.stays_behind(0)).unwrap_or_else(|e| panic!("{row}: {e}"));
        last.close().unwrap();
        let with = [life.acknowledged.clone(), life.under_way.clone(), next.acknowledged.clone()].concat();
        let without = [life.acknowledged.clone(), next.acknowledged.clone()].concat();
        let is_there = store.leaves().starts_with(&with) && !life.under_way.is_empty();
        check(&store, if is_there { &with } else { &without }, &[], &row);
        rows += 1;
        if ended.is_ok() {
            assert!(at > 10, "{row}");
            break;
        }
    }
    (rows, lost)
}

#[test]
fn what_a_store_loses_in_between_is_brought_again_and_its_place_is_not_given_away_before() {
    let room = Room { segments: 4, segment: 16 * 1024, reserve: 16 * 1024 };
    let (disk, store) = (Disk::default(), Store::default());
    let log = open(&disk, room, store.stays_behind(1000)).unwrap();
    let mut leaves = Vec::new();
    let mut one = || {
        let made = log.commit(|first| batch(first, 1, 0)).map(drop);
        leaves.extend(made.is_ok().then(|| batch(leaves.len() as u64, 1, 0).leaves.remove(0)));
        made
    };
    for count in 1..=3 {
        one().unwrap();
        wait_for(&store, count);
        store.fails_over();
    }
    wait_for(&store, 3);
    while log.cut_off().is_some() {}
    // what is only taken fills the ring, however long it was taken
    while one().is_ok() {}
    assert!(log.cut_off().is_none() && log.fill().is_full(), "the store takes everything");
    store.stays_behind(0);
    let began = std::time::Instant::now();
    while log.fill().used > 0 {
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", log.fill());
        std::thread::sleep(Duration::from_millis(10));
    }
    one().unwrap();
    log.settle().unwrap();
    assert_eq!(store.leaves(), leaves);
}

#[test]
fn a_store_that_lost_what_the_spool_does_not_have_any_more_is_waited_for() {
    let (disk, store) = (Disk::default(), Store::default());
    let log = open(&disk, ROOMS[0], &store).unwrap();
    log.commit(|first| batch(first, 3, 0)).unwrap();
    log.settle().unwrap();
    let all = store.leaves();
    store.0.lock().unwrap().leaves.truncate(1);
    log.commit(|first| batch(first, 1, 0)).unwrap();
    assert!(matches!(log.settle(), Err(AppendError::Unreachable(why)) if why == "it lost some"));
    let asked = store.0.lock().unwrap().asked;
    std::thread::sleep(Duration::from_millis(300));
    assert!(store.0.lock().unwrap().asked <= asked + 3, "it is asked again in its time");
    // a person adopted what the tree has
    store.0.lock().unwrap().leaves = all.clone();
    while log.cut_off().is_some() {
        std::thread::sleep(Duration::from_millis(10));
    }
    log.settle().unwrap();
    assert_eq!(store.leaves(), [all, batch(3, 1, 0).leaves].concat());
}

#[test]
fn a_spool_that_was_lost_begins_again_where_the_store_is() {
    let store = Store::default();
    let log = open(&Disk::default(), ROOMS[0], store.stays_behind(1000)).unwrap();
    log.commit(|first| batch(first, 4, 0)).unwrap();
    log.settle().unwrap();
    drop(log);
    let disk = Disk::default();
    for first in [4, 5, 6] {
        let log = open(&disk, ROOMS[0], &store).unwrap();
        assert_eq!(log.size(), first);
        log.commit(|first| batch(first, 1, 0)).unwrap();
        log.close().unwrap();
    }
    assert_eq!(store.leaves().len(), 7);
    // but where the store has less than the new spool begins with, somebody has to look
    store.0.lock().unwrap().leaves.truncate(3);
    let error = open(&disk, ROOMS[0], &store).unwrap_err();
    assert!(matches!(error, OpenLogError::Journal(tlog::JournalFlaw::Gap(4))), "{error}");
}

#[test]
fn a_full_ring_refuses_and_its_reserve_takes_what_it_is_for() {
    let room = Room { segments: 2, segment: 64 * 1024, reserve: 32 * 1024 };
    let (disk, store) = (Disk::default(), Store::default());
    let log = open(&disk, room, store.is(Mood::Away)).unwrap();
    let mut leaves = Vec::new();
    let mut one = |purpose| {
        let mut leaf = Vec::new();
        let made = log.commit_for(purpose, |first| {
            let batch =
                Batch { leaves: vec![format!("{first} {purpose:?}").into_bytes()], blobs: Vec::new() };
            leaf.clone_from(&batch.leaves);
            batch
        });
        if made.is_ok() {
            leaves.append(&mut leaf);
        }
        made.map(|_| ())
    };
    let mut marks = vec![log.fill().mark];
    let ordinary = loop {
        match one(Purpose::Ordinary) {
            Ok(()) => marks.push(log.fill().mark),
            Err(e) => break e,
        }
    };
    assert!(matches!(ordinary, AppendError::Full), "{ordinary}");
    assert!(log.fill().is_cut_off && log.cut_off().is_some() && !log.is_stopped());
    marks.push(log.fill().mark);
    marks.dedup();
    assert_eq!(marks, [Mark::Low, Mark::High, Mark::Critical, Mark::Full]);
    assert!(
        matches!(log.settle(), Err(AppendError::Unreachable(_))),
        "nobody waits for a store that is away"
    );
    assert_eq!(log.fill().reserve_used, 0, "nothing ordinary is in the reserve");
    let outages = std::iter::repeat_with(|| one(Purpose::Outage)).take_while(Result::is_ok).count();
    assert!(log.fill().reserve_used <= log.fill().reserve / 2, "an outage leaves half to breakglass");
    let grants = std::iter::repeat_with(|| one(Purpose::Reserve)).take_while(Result::is_ok).count();
    assert!(outages > 0 && grants > 0 && one(Purpose::Reserve).is_err(), "{outages} and {grants}");
    assert!(one(Purpose::Ordinary).is_err() && !log.is_stopped());
    // what was acknowledged is on the disk, also if the process dies now
    assert_eq!(tlog::pending(&disk, &key(), 0).unwrap().len(), usize::try_from(log.size()).unwrap());
    store.is(Mood::Here);
    while log.fill().is_full() || log.fill().is_cut_off {
        std::thread::sleep(Duration::from_millis(10));
    }
    one(Purpose::Ordinary).unwrap();
    log.settle().unwrap();
    assert_eq!((log.fill().used, log.fill().reserve_used, log.fill().mark), (0, 0, Mark::Low));
    assert_eq!(store.leaves(), leaves, "drained in order, once each");
}

#[test]
fn what_does_not_fit_in_memory_is_read_again_and_not_believed_if_it_was_changed() {
    for change in [None, Some(false), Some(true)] {
        let room = Room { segments: 9, segment: 8 << 20, reserve: 0 };
        let (disk, store) = (Disk::default(), Store::default());
        let log = open(&disk, room, store.is(Mood::Away)).unwrap();
        for index in 0..60_u64 {
            let large = vec![u8::try_from(index).unwrap(); 1 << 20];
            log.commit(|first| Batch { leaves: vec![first.to_be_bytes().to_vec()], blobs: vec![large] })
                .unwrap();
        }
        if let Some(knows_frames) = change {
            let mut state = disk.0.lock().unwrap();
            let last = state.files.get_mut("journal/8").unwrap();
            last[100_000] ^= 1;
            if knows_frames {
                let leaf = last.windows(8).position(|bytes| bytes == 56_u64.to_be_bytes()).unwrap();
                let leaf =
                    leaf + 8 + last[leaf + 8..].windows(8).position(|b| b == 56_u64.to_be_bytes()).unwrap();
                last[leaf + 7] = 99;
                let length = usize::try_from(u64::from_be_bytes(last[8..16].try_into().unwrap())).unwrap();
                let hash = attest::Digest::sha256(&last[48..48 + length]);
                last[16..48].copy_from_slice(hash.bytes());
            }
        }
        store.is(Mood::Here);
        // an attempt that began while the store was away may still say so
        let settled = loop {
            match log.settle() {
                Err(AppendError::Unreachable(_)) => std::thread::sleep(Duration::from_millis(10)),
                other => break other,
            }
        };
        if change.is_some() {
            assert!(settled.is_err() && log.is_stopped());
            assert!(log.failure().unwrap().contains("journal"), "{:?}", log.failure());
            assert!(store.leaves().len() < 60);
        } else {
            settled.unwrap();
            let leaves: Vec<Vec<u8>> = (0..60_u64).map(|index| index.to_be_bytes().to_vec()).collect();
            assert_eq!(store.leaves(), leaves);
            assert_eq!(store.0.lock().unwrap().blobs.len(), 60);
        }
    }
}

#[test]
fn a_store_of_unknown_state_stops_the_log_and_is_not_asked_again() {
    let (disk, store) = (Disk::default(), Store::default());
    let log = open(&disk, ROOMS[0], store.is(Mood::Broken)).unwrap();
    log.commit(|first| batch(first, 1, 0)).unwrap();
    assert!(matches!(log.settle(), Err(AppendError::Stopped)));
    assert!(matches!(log.commit(|first| batch(first, 1, 0)), Err(AppendError::Stopped)));
    drop(log);
    assert_eq!(store.0.lock().unwrap().asked, 1);
    let log = open(&disk, ROOMS[0], store.is(Mood::Here)).unwrap();
    assert_eq!(
        log.newest().unwrap().own,
        Some(batch(0, 1, 0).leaves.remove(0)),
        "known before it is in the store"
    );
    log.close().unwrap();
    assert_eq!(store.leaves(), batch(0, 1, 0).leaves);
}

#[test]
fn a_level_is_waited_for_and_not_longer_than_was_said() {
    let (disk, store) = (Disk::default(), Store::default());
    let log = open(&disk, ROOMS[0], store.is(Mood::Away)).unwrap();
    log.commit(|first| batch(first, 2, 0)).unwrap();
    let within = Duration::from_millis(50);
    assert!(log.wait_until(Level::Local, 2, within).unwrap());
    assert!(!log.wait_until(Level::Quorum, 2, within).unwrap(), "the store is away");
    store.is(Mood::Here);
    let long = Duration::from_secs(20);
    assert!(log.wait_until(Level::Quorum, 2, long).unwrap());
    assert!(!log.wait_until(Level::Witnessed, 2, within).unwrap());
    store.0.lock().unwrap().witnessed = 1;
    assert!(
        log.wait_until(Level::Witnessed, 1, long).unwrap()
            && !log.wait_until(Level::Witnessed, 2, within).unwrap()
    );
}

#[test]
fn a_store_that_was_set_back_behind_its_spool_is_not_continued() {
    let (disk, store) = (Disk::default(), Store::default());
    let log = open(&disk, ROOMS[0], &store).unwrap();
    for _ in 0..3 {
        log.commit(|first| batch(first, 1, 0)).unwrap();
        log.settle().unwrap();
    }
    store.is(Mood::Away);
    log.commit(|first| batch(first, 1, 0)).unwrap();
    drop(log);
    store.is(Mood::Here).0.lock().unwrap().leaves.truncate(1);
    let error = open(&disk, ROOMS[0], &store).unwrap_err();
    assert!(matches!(error, OpenLogError::Journal(tlog::JournalFlaw::Gap(3))), "{error}");
}

#[test]
fn longer_segments_than_before_do_not_wipe_what_is_held() {
    let (disk, store) = (Disk::default(), Store::default());
    let log = open(&disk, ROOMS[2], store.is(Mood::Away)).unwrap();
    let mut leaves = Vec::new();
    for _ in 0..5 {
        log.commit(|first| {
            let batch = batch(first, 1, 0);
            leaves.extend(batch.leaves.clone());
            batch
        })
        .unwrap();
    }
    drop(log);
    drop(open(&disk, ROOMS[0], &store).unwrap());
    let shorter =
        open(&disk, Room { segments: 2, segment: 4096, reserve: 4096 }, store.is(Mood::Here)).unwrap();
    shorter.close().unwrap();
    assert_eq!(store.leaves(), leaves);
    assert!(disk.read("journal/7").unwrap().is_some());
}
