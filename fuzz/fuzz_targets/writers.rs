//! What is signed: every form that is written is read back whole, and nothing else is written.
#![no_main]
use std::sync::LazyLock;

use attest::openpgp::{ClearSigned, Signature, SigningKey};
use attest::{PublicKey, Scheme, SecretKey, minisign};
use jiff::Timestamp;

const AT: Timestamp = Timestamp::constant(1_800_000_000, 0);
static SECRET: LazyLock<SecretKey> = LazyLock::new(|| SecretKey::generate(Scheme::Ed25519).expect("a key"));

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let key = SigningKey::new(&*SECRET, AT).expect("a key");
    let text = std::str::from_utf8(data).unwrap_or_default();
    if let Ok(clear) = key.sign_clear(data, AT) {
        let read = ClearSigned::parse(clear.as_bytes()).expect("what is written is read");
        assert_eq!(format!("{}\n", read.text()).as_bytes(), data, "what is signed is what was decided about");
        let shown = clear.lines().skip(3).take_while(|line| *line != "-----BEGIN PGP SIGNATURE-----");
        let mut shown = shown.map(|line| line.strip_prefix("- ").unwrap_or(line));
        assert!(
            text.lines().all(|line| shown.next() == Some(line)) && shown.next().is_none(),
            "for plain readers too"
        );
        assert_eq!(clear.matches("\n-----BEGIN PGP SIGNATURE-----").count(), 1, "it ends once");
    }
    if let Ok(block) = key.block(text, AT) {
        let listed = PublicKey::from_listed(&block).expect("what is written is read").remove(0);
        let detached = key.sign_detached(data, AT).expect("a signature");
        let signature = Signature::from_armor(&detached).expect("what is written is read");
        assert!(signature.verify_detached(&listed, data).is_ok());
        assert!(signature.verify_detached(&listed, &[data, b"x"].concat()).is_err());
    }
    if let Ok(file) = minisign::sign(&*SECRET, data, text) {
        assert_eq!(file.lines().count(), 4, "{file}");
        assert_eq!(file.split('\n').nth(2), Some(&*format!("trusted comment: {text}")));
    }
});
