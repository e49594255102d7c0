//! Commits and tags: no panic, and what is signed is part of the object.
#![no_main]
use attest::commit::{Commit, Tag};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(commit) = Commit::parse(data) {
        assert!(commit.parents().iter().all(|parent| parent.bytes().len() == commit.tree().bytes().len()));
        if let Some(signature) = commit.signature() {
            // without its signature it is a commit again, of another id and of the same people
            let bare = Commit::parse(signature.signed_bytes()).unwrap();
            assert!(bare.signature().is_none() && bare.id() != commit.id());
            assert_eq!((bare.author(), bare.committer()), (commit.author(), commit.committer()));
        }
    }
    if let Ok(tag) = Tag::parse(data)
        && let Some(signature) = tag.signature()
    {
        assert!(data.starts_with(signature.signed_bytes()) && data.ends_with(signature.armored().as_bytes()));
    }
});
