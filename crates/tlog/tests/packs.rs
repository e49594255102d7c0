//! Packs of blobs: found while they grow and when they are closed; and by somebody who edits them.

use std::path::Path;

use attest::{Digest, SecretKey};
use tlog::{Batch, BlobError, Blobs, Files, Log, Storage as _};

const PACK: &str = "blobs/packs/00000000";

fn open(dir: &Path, length: usize) -> Log<Files> {
    let signer = || Box::new(SecretKey::from_ed25519_seed(&[1; 32]).unwrap());
    let log = Log::open(Files::new(dir), "test.example/log", signer());
    log.or_else(|_| Log::create(Files::new(dir), "test.example/log", signer())).unwrap().with_packs_of(length)
}

fn blob(number: usize) -> Vec<u8> {
    format!("blob {number} ").repeat(1 + number % 40).into_bytes()
}

fn apply(log: &mut Log<Files>, blobs: Vec<Vec<u8>>) {
    log.apply(&[Batch { leaves: vec![b"a leaf".to_vec()], blobs }]).unwrap();
}

fn packs(dir: &Path) -> (usize, usize) {
    let names = std::fs::read_dir(dir.join("blobs/packs")).unwrap();
    let names: Vec<String> = names.map(|n| n.unwrap().file_name().into_string().unwrap()).collect();
    let indexes = names.iter().filter(|name| name.ends_with(".index")).count();
    (names.len() - indexes, indexes)
}

#[test]
fn one_reader_finds_every_blob_while_packs_grow_and_are_closed_and_nothing_is_written_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), 4096);
    let reader = Blobs::new(Files::new(dir.path()));
    let loose = reader.put(b"put alone").unwrap();
    for number in 0..200 {
        if number % 60 == 59 {
            drop(log);
            log = open(dir.path(), 4096);
        }
        apply(&mut log, vec![blob(number), blob(number.saturating_sub(1)), blob(number)]);
        for wanted in 0..=number {
            assert_eq!(reader.get(&Digest::sha256(&blob(wanted))).unwrap(), blob(wanted), "{wanted}");
        }
        let absent = Digest::sha256(&blob(number + 1));
        assert!(matches!(reader.get(&absent), Err(BlobError::Missing(_))));
    }
    assert_eq!(reader.get(&loose).unwrap(), b"put alone");
    let (packs, indexes) = packs(dir.path());
    assert!(packs > 8 && packs == indexes + 1, "{packs} {indexes}");
    let length: u64 = (0..packs)
        .map(|n| std::fs::metadata(dir.path().join(format!("blobs/packs/{n:08}"))).unwrap().len())
        .sum();
    let once: usize = (0..200).map(|number| blob(number).len() + 36).sum();
    assert_eq!(usize::try_from(length).unwrap(), once + packs * 8);
}

#[test]
fn a_batch_that_is_longer_than_a_pack_is_a_pack() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), 1000);
    let large = |byte: u8| vec![byte; 300_000];
    apply(&mut log, vec![large(1), large(2)]);
    apply(&mut log, vec![large(3), Vec::new()]);
    let reader = Blobs::new(Files::new(dir.path()));
    for bytes in [large(1), large(2), large(3), Vec::new()] {
        assert!(reader.get(&Digest::sha256(&bytes)).unwrap() == bytes);
    }
    assert_eq!(packs(dir.path()), (2, 1));
}

/// A log of a closed pack and one that goes on, and the digests of both.
fn two_packs(dir: &Path) -> Vec<Vec<u8>> {
    let mut log = open(dir, 900);
    let blobs: Vec<Vec<u8>> = (0..12).map(blob).collect();
    for part in blobs.chunks(6) {
        apply(&mut log, part.to_vec());
    }
    assert_eq!(packs(dir), (2, 1));
    blobs
}

#[test]
fn a_changed_byte_of_a_pack_is_never_served_and_of_an_index_hides_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = two_packs(dir.path());
    let files = Files::new(dir.path());
    let (mut changed, mut missing) = (0, 0);
    for path in ["blobs/packs/00000000", "blobs/packs/00000001", "blobs/packs/00000000.index"] {
        let path = dir.path().join(path);
        let bytes = std::fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut edited = bytes.clone();
            edited[at] ^= 1;
            std::fs::write(&path, &edited).unwrap();
            let reader = Blobs::new(files.clone());
            for blob in &blobs {
                match reader.get(&Digest::sha256(blob)) {
                    Ok(found) => assert_eq!(found, *blob, "{} byte {at}", path.display()),
                    Err(e) => {
                        assert!(path.extension().is_none(), "the packs are whole: {e}, byte {at}");
                        changed += usize::from(matches!(e, BlobError::Changed(_)));
                        missing += usize::from(matches!(e, BlobError::Missing(_)));
                    }
                }
            }
        }
        std::fs::write(&path, &bytes).unwrap();
    }
    let length: usize = blobs.iter().map(Vec::len).sum();
    assert!(changed >= length, "{changed} of {length} bytes");
    assert!(missing > 0, "a pack without an index is read by its lengths");
}

#[test]
fn an_index_that_was_removed_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = two_packs(dir.path());
    let index = dir.path().join("blobs/packs/00000000.index");
    let before = std::fs::read(&index).unwrap();
    std::fs::remove_file(&index).unwrap();
    let reader = Blobs::new(Files::new(dir.path()));
    blobs.iter().for_each(|blob| assert_eq!(reader.get(&Digest::sha256(blob)).unwrap(), *blob));
    apply(&mut open(dir.path(), 900), vec![blob(40)]);
    assert_eq!(std::fs::read(&index).unwrap(), before);
}

/// Bytes behind the end, as a power cut leaves them, and as a requester would like them to be: entries that claim to
/// be blobs which are there, or which come. None of them is written over, none hides the real one.
#[test]
fn what_a_torn_write_left_is_not_written_over_and_hides_nothing() {
    let claim = |blob: &[u8]| [&4_u32.to_be_bytes(), Digest::sha256(blob).bytes(), b"fake"].concat();
    let torn = [
        vec![0; 4096],
        vec![0; 3],
        claim(&blob(0)),
        claim(&blob(1)),
        [claim(&blob(1)), claim(&blob(0)), vec![0xff; 600]].concat(),
        [vec![0; 512], claim(&blob(1))].concat(),
    ];
    for (row, torn) in torn.iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        apply(&mut open(dir.path(), 1 << 20), vec![blob(0)]);
        let files = Files::new(dir.path());
        let left = [files.read(PACK).unwrap().unwrap(), torn.clone()].concat();
        std::fs::write(dir.path().join(PACK), &left).unwrap();
        let reader = Blobs::new(files.clone());
        let get = |number: usize| reader.get(&Digest::sha256(&blob(number)));
        assert_eq!(get(0).unwrap(), blob(0), "row {row}");
        assert!(get(1).is_err(), "row {row}");
        apply(&mut open(dir.path(), 1 << 20), vec![blob(0), blob(1)]);
        assert_eq!((get(0).unwrap(), get(1).unwrap()), (blob(0), blob(1)), "row {row}");
        let anew = Blobs::new(files.clone());
        assert_eq!(anew.get(&Digest::sha256(&blob(1))).unwrap(), blob(1), "row {row}");
        assert_eq!(files.read(PACK).unwrap().unwrap(), left, "row {row}: as it was");
        assert_eq!(packs(dir.path()), (2, 1), "row {row}");
    }
}

#[test]
fn nothing_is_written_through_a_link_that_somebody_put_there() {
    let dir = tempfile::tempdir().unwrap();
    let (theirs, ours) = (dir.path().join("theirs"), dir.path().join("out"));
    std::fs::write(&theirs, "theirs").unwrap();
    // the name of what is written before it has its own can be guessed
    for number in 0..2000 {
        let guessed = dir.path().join(format!(".out.{}.{number}.tmp", std::process::id()));
        std::os::unix::fs::symlink(&theirs, guessed).unwrap();
    }
    tlog::write_durably(&ours, b"ours").unwrap();
    assert_eq!(std::fs::read(&theirs).unwrap(), b"theirs");
    assert!(!std::fs::symlink_metadata(&ours).unwrap().is_symlink());
    assert_eq!(std::fs::read(&ours).unwrap(), b"ours");
}
