//! S3's framing of bodies and its documents: no panic, however a body is cut, and one form for each document.
#![no_main]
use server::fuzzing::{chunks, document};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for word in ["acl", "policy"] {
        if let Some(text) = document(word, data) {
            assert_eq!(document(word, text.as_bytes()).as_ref(), Some(&text), "{word}: one form");
        }
    }
    let [length, step, framed @ ..] = data else { return };
    let (length, step) = (u64::from(*length), usize::from(*step).max(1));
    let whole = chunks(length, &[framed]);
    assert_eq!(chunks(length, &framed.chunks(step).collect::<Vec<_>>()), whole, "however it is cut");
    if let Some((body, trailers)) = whole {
        assert!(u64::try_from(body.len()) == Ok(length) && trailers.len() <= 8);
    }
});
