use std::sync::Arc;

use attest::SecretKey;
use tlog::LogSigner;

use super::*;

fn prover() -> Prover {
    let key: Arc<LogSigner> = Arc::new(SecretKey::from_ed25519_seed(&[5; 32]).unwrap());
    Prover::new("log.example", &key)
}

fn entry(writer: &str, sequence: u64, previous: Option<&[u8]>) -> Vec<u8> {
    let previous =
        previous.map(|leaf| format!(r#","previous":"{}""#, leaf::named(&leaf::hash(leaf)).unwrap()));
    format!(r#"{{"writer":"{writer}","sequence":{sequence}{}}}"#, previous.unwrap_or_default()).into_bytes()
}

fn waiting(writer: &str, sequence: u64, leaf: &[u8]) -> Waiting {
    let proof = prover().prove(writer, sequence, leaf).unwrap();
    Waiting { leaf: leaf.to_vec(), proof, aside: Vec::new() }
}

fn row(writer: &str, sequenced: i64, last: Option<&[u8]>, sequence: i64, leaf: &[u8]) -> Row {
    let Waiting { leaf, proof, aside } = waiting(writer, count(sequence), leaf);
    (writer.to_owned(), sequenced, last.map(|l| leaf::hash(l).to_vec()), sequence, leaf, proof, aside)
}

fn run(writer: &str, first: u64, leaves: &[&[u8]]) -> Run {
    let entries = (first..).zip(leaves).map(|(sequence, leaf)| waiting(writer, sequence, leaf)).collect();
    Run { writer: writer.to_owned(), first, entries }
}

#[test]
fn entries_come_in_order_without_gaps_each_writer_for_itself() {
    let (a0, b6) = (entry("a", 0, None), entry("b", 6, None));
    let (a1, b7) = (entry("a", 1, Some(&a0)), entry("b", 7, Some(&b6)));
    let b8 = entry("b", 8, Some(&b7));
    let rows = vec![
        row("a", 0, None, 0, &a0),
        row("a", 0, None, 1, &a1),
        row("a", 0, None, 3, &entry("a", 3, None)),
        row("b", 7, Some(&b6), 6, &b6),
        row("b", 7, Some(&b6), 7, &b7),
        row("b", 7, Some(&b6), 8, &b8),
        row("c", 2, Some(b"x"), 4, &entry("c", 4, None)),
    ];
    let found = sort(rows, &prover());
    assert_eq!(found.runs, [run("a", 0, &[&a0, &a1]), run("b", 7, &[&b7, &b8])]);
    assert_eq!(found.late, [run("b", 6, &[&b6])]);
    assert!(found.forged.is_empty() && !found.is_full);
    assert_eq!(found.held.len(), 2, "{:?}", found.held);
    assert!(found.held[0].starts_with("entry 3 of a waits for entries 2 to 2, which the database lost"));
    assert!(found.held[1].starts_with("entry 4 of c waits for entries 2 to 3, which the database lost"));
}

#[test]
fn what_is_not_its_writers_is_held_back_and_nobody_else_waits() {
    let good = entry("z", 0, None);
    for (leaf, reason) in [
        (b"noise".to_vec(), "it is no entry of a decision log"),
        (entry("b", 5, None), "it says that it is entry 5 of b"),
        (entry("a", 6, None), "it says that it is entry 6 of a"),
        (entry("a", 5, Some(b"forged")), "one of the two is not this writer's"),
        (entry("a", 5, None), "it does not name the entry before it that is in the log"),
    ] {
        let found = sort(vec![row("a", 5, Some(b"true"), 5, &leaf), row("z", 0, None, 0, &good)], &prover());
        assert_eq!(found.runs.len(), 1);
        assert_eq!(found.runs[0].writer, "z");
        assert!(found.held[0].starts_with("entry 5 of a is held back: "), "{:?}", found.held);
        assert!(found.held[0].contains(reason), "{:?}", found.held);
    }
}

#[test]
fn what_the_key_did_not_sign_is_nobodys_and_the_true_entry_beside_it_comes_in() {
    let (a0, forged) = (entry("a", 0, None), entry("a", 1, None));
    let a1 = entry("a", 1, Some(&a0));
    let stranger = |mut row: Row, proof: &[u8]| {
        row.5 = proof.to_vec();
        row
    };
    let of = |row: &Row| Waiting { leaf: row.4.clone(), proof: row.5.clone(), aside: row.6.clone() };
    let mut beside = row("a", 1, Some(&a0), 1, &a1);
    beside.6 = b"beside".to_vec();
    let elsewhere =
        Prover::new("other.example", &(Arc::new(SecretKey::from_ed25519_seed(&[5; 32]).unwrap()) as _));
    let rows = vec![
        // in the place of the true one; with the proof of the entry before it; of another log
        stranger(row("a", 1, Some(&a0), 1, &forged), &[0; 64]),
        beside.clone(),
        stranger(row("a", 1, Some(&a0), 2, &a0), &waiting("a", 0, &a0).proof),
        stranger(
            row("new", 0, None, 0, &entry("new", 0, None)),
            &elsewhere.prove("new", 0, &entry("new", 0, None)).unwrap(),
        ),
    ];
    let found = sort(rows.clone(), &prover());
    assert_eq!(found.runs, [Run { writer: "a".to_owned(), first: 1, entries: vec![of(&beside)] }]);
    let places: Vec<(&str, u64)> = found.forged.iter().map(|run| (run.writer.as_str(), run.first)).collect();
    assert_eq!(places, [("a", 1), ("a", 2), ("new", 0)]);
    assert!(found.held.is_empty() && found.late.is_empty(), "{found:?}");
    let said = told(&found.forged).unwrap();
    assert!(said.starts_with("entry 1 of a is not taken: it is not signed with the log's key"), "{said}");
    assert!(said.contains("and so were 2 others"), "{said}");
    // the same twice is once; and two that the key signed are two processes
    let mut twin = row("a", 1, Some(&a0), 1, &entry("a", 1, Some(&a0)));
    let found = sort(vec![twin.clone(), beside.clone()], &prover());
    assert_eq!((found.runs.len(), found.held.len()), (1, 0));
    twin = row("a", 1, Some(&a0), 1, &forged);
    (twin.4, twin.5) = (b"other".to_vec(), prover().prove("a", 1, b"other").unwrap());
    twin.6 = b"besides".to_vec();
    let found = sort(vec![beside, twin], &prover());
    assert!(found.runs.is_empty(), "{found:?}");
    assert!(found.held[0].starts_with("there are two entries 1 of a"), "{:?}", found.held);
}
