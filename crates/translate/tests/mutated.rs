//! The fuzz target's seeds, changed at random: nothing panics, and every draft still loads as what it is.

use translate::Draft;
use translate::binauthz::{self, Attestor, Occurrence};
use translate::layout::{self, Layout, Link, Metadata};

fn loads(draft: &Draft) {
    for (name, text) in &draft.policies {
        policy::Policy::parse(name, text).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    }
    if draft.trust_root.lines().any(|line| line.ends_with("ers:")) {
        attest::TrustRoot::parse("root", &draft.trust_root)
            .unwrap_or_else(|e| panic!("{e:?}\n{}", draft.trust_root));
    }
}

/// Reads bytes as everything, and says whether a draft came of it.
fn read(bytes: &[u8]) -> bool {
    let mut drafted = false;
    if let Ok(metadata) = Metadata::parse(bytes) {
        drop(Link::read(metadata.unproven()));
        if let Ok(layout) = Layout::read(metadata.unproven()) {
            loads(&layout::translate(&layout));
            drafted = true;
        }
    }
    drop(Occurrence::parse(bytes));
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop(Attestor::parse("attestor.yaml", text));
        if let Ok(draft) = binauthz::translate("policy.yaml", text, &[]) {
            loads(&draft);
            drafted = true;
        }
    }
    drafted
}

#[test]
fn changed_seeds_never_panic_and_never_become_a_draft_that_does_not_load() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/other_policies");
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
    };
    let mut drafted = 0;
    for entry in std::fs::read_dir(corpus).unwrap().map(Result::unwrap) {
        let seed = std::fs::read(entry.path()).unwrap();
        for _ in 0..400 {
            let mut bytes = seed.clone();
            for _ in 0..=random(2) {
                let at = random(bytes.len());
                match random(4) {
                    0 => bytes[at] = b"\"'\\{}[]:,#*/ \n-~0nyA"[random(20)],
                    1 => drop(bytes.remove(at)),
                    2 => bytes.insert(at, b"\"'\\{}[]:,#*/ \n-~0nyA"[random(20)]),
                    _ => {
                        let end = (at + random(40)).min(bytes.len());
                        let copy = bytes[at..end].to_vec();
                        bytes.splice(at..at, copy);
                    }
                }
            }
            drafted += usize::from(read(&bytes));
        }
    }
    assert!(drafted > 200, "{drafted}");
}
