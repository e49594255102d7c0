//! OpenPGP against GnuPG: what gpg signs verifies, and nothing is accepted that gpgv refuses.

mod tools;

use attest::key::KeyError;
use attest::openpgp::{ClearSigned, OpenPgpError, Signature};
use attest::{PublicKey, Scheme, TrustRoot};
use tools::{Gpg, flips, mutants};

const MESSAGE: &[u8] = b"what is signed\n";
const TEXT: &[u8] = b"one line \n- with a dash\n-----BEGIN no armor\n\n\tlast line\t\n";

fn is_by(key: &PublicKey, signature: &[u8], message: &[u8]) -> bool {
    Signature::from_binary(signature).is_ok_and(|s| s.verify_detached(key, message).is_ok())
}

fn is_text_by(key: &PublicKey, text: &[u8]) -> bool {
    ClearSigned::parse(text).is_ok_and(|t| t.verify(key).is_ok())
}

#[test]
fn what_gpg_signs_verifies_with_every_kind_of_key_and_hash() {
    for algorithm in ["rsa2048", "rsa3072", "ed25519", "nistp256", "nistp384"] {
        let gpg = Gpg::new().key("a", algorithm).key("other", "ed25519");
        let (key, other) = (gpg.public("a"), gpg.public("other"));
        // gpg itself takes no hash shorter than the curve
        let hashes =
            if algorithm == "nistp384" { &["SHA384", "SHA512"][..] } else { &["SHA256", "SHA384", "SHA512"] };
        for hash in hashes {
            let detached = gpg.sign("a", &["--digest-algo", hash, "--detach-sign"], MESSAGE);
            assert!(is_by(&key, &detached, MESSAGE), "{algorithm} {hash}");
            assert!(!is_by(&key, &detached, b"what is singed\n") && !is_by(&other, &detached, MESSAGE));
            let text = gpg.sign("a", &["--digest-algo", hash, "--clear-sign"], TEXT);
            assert!(is_text_by(&key, &text), "{algorithm} {hash}\n{}", String::from_utf8_lossy(&text));
            assert!(!is_text_by(&other, &text));
            // each form is for its own bytes
            let over_text = gpg.sign("a", &["--digest-algo", hash, "--textmode", "--detach-sign"], MESSAGE);
            assert!(gpg.accepts(&over_text, MESSAGE) && !is_by(&key, &over_text, MESSAGE));
        }
    }
}

#[test]
fn numbers_that_lose_their_zeros_are_found_again() {
    let gpg = Gpg::new().key("a", "ed25519").key("b", "nistp256");
    for name in ["a", "b"] {
        let key = gpg.public(name);
        for i in 0..60 {
            let message = format!("message {i}");
            let signature = gpg.sign(name, &["--detach-sign"], message.as_bytes());
            assert!(is_by(&key, &signature, message.as_bytes()), "{name} {i}: {signature:02x?}");
        }
    }
}

#[test]
fn the_text_that_is_given_out_is_the_text_that_is_hashed() {
    let gpg = Gpg::new().key("a", "ed25519");
    let text = gpg.sign("a", &["--clear-sign"], TEXT);
    let read = ClearSigned::parse(&text).unwrap();
    assert_eq!(read.text(), "one line\n- with a dash\n-----BEGIN no armor\n\n\tlast line");
    // white space at ends of lines is not signed, and not given out
    let more = String::from_utf8(text).unwrap().replace("one line", "one line  \t");
    assert_eq!(ClearSigned::parse(more.as_bytes()).unwrap().text(), read.text());
    for (what, changed) in [
        ("text before it", format!("x\n{more}")),
        ("text after it", format!("{more}x\n")),
        ("a second text", format!("{more}{more}")),
        ("another header", more.replacen("\n\n", "\nComment: x\n\n", 1)),
        ("no hash", more.replacen("Hash: SHA256\n", "", 1).replacen("Hash: SHA512\n", "", 1)),
        ("another hash", more.replacen("SHA256", "SHA1", 1).replacen("SHA512", "SHA1", 1)),
        ("a bare dash", more.replacen("one line", "-one line", 1)),
        ("a carriage return", more.replacen("one line", "one\rline", 1)),
    ] {
        assert_ne!(changed, more);
        assert!(matches!(ClearSigned::parse(changed.as_bytes()), Err(OpenPgpError::Malformed(_))), "{what}");
    }
}

#[test]
fn no_flipped_bit_is_accepted_that_gpgv_refuses() {
    for algorithm in ["rsa2048", "ed25519", "nistp256"] {
        let gpg = Gpg::new().key("a", algorithm);
        let key = gpg.public("a");
        let signature = gpg.sign("a", &["--detach-sign"], MESSAGE);
        assert!(gpg.accepts(&signature, MESSAGE) && is_by(&key, &signature, MESSAGE));
        assert!(flips(MESSAGE).all(|message| !is_by(&key, &signature, &message)));
        let mut harmless = 0;
        for flipped in flips(&signature).chain(mutants(&signature, 20_000)) {
            if is_by(&key, &flipped, MESSAGE) {
                harmless += 1;
                assert!(gpg.accepts(&flipped, MESSAGE), "{algorithm}: {flipped:02x?}\n{signature:02x?}");
            }
        }
        println!("{algorithm}: {harmless} harmless changes of a signature");
        let armored = gpg.sign("a", &["--armor", "--comment", "hello", "--detach-sign"], MESSAGE);
        for flipped in flips(&armored).chain(mutants(&armored, 20_000)) {
            let ours = std::str::from_utf8(&flipped).ok().and_then(|text| Signature::from_armor(text).ok());
            if ours.is_some_and(|s| s.verify_detached(&key, MESSAGE).is_ok()) {
                assert!(gpg.accepts(&flipped, MESSAGE), "{algorithm}: {}", String::from_utf8_lossy(&flipped));
            }
        }
    }
}

#[test]
fn no_changed_text_is_accepted_that_gpgv_refuses() {
    for algorithm in ["rsa2048", "ed25519", "nistp256"] {
        let gpg = Gpg::new().key("a", algorithm);
        let key = gpg.public("a");
        let text = gpg.sign("a", &["--clear-sign"], TEXT);
        assert!(gpg.accepts_text(&text) && is_text_by(&key, &text));
        let read = ClearSigned::parse(&text).unwrap();
        let mut harmless = 0;
        for changed in flips(&text).chain(mutants(&text, 30_000)) {
            if is_text_by(&key, &changed) {
                harmless += 1;
                assert!(gpg.accepts_text(&changed), "{algorithm}: {}", String::from_utf8_lossy(&changed));
                assert_eq!(ClearSigned::parse(&changed).unwrap().text(), read.text());
            }
        }
        println!("{algorithm}: {harmless} harmless changes of a text");
    }
}

#[test]
fn old_hashes_and_other_algorithms_are_refused_by_name() {
    let gpg = Gpg::new().key("a", "rsa2048").key("old", "dsa2048");
    for (hash, name) in [("SHA1", "SHA-1"), ("SHA224", "SHA-224"), ("RIPEMD160", "RIPEMD-160")] {
        let signature = gpg.sign("a", &["--digest-algo", hash, "--detach-sign"], MESSAGE);
        let error = Signature::from_binary(&signature).unwrap_err();
        assert_eq!(error, OpenPgpError::Refused(format!("the hash {name}")));
    }
    let error = PublicKey::from_listed(&gpg.block("old")).unwrap_err();
    assert_eq!(error, KeyError::OpenPgp(OpenPgpError::Refused("DSA".to_owned())));
    assert!(error.to_string().contains("wanted version 4"), "{error}");
}

#[test]
fn a_signature_that_ends_says_when() {
    let gpg = Gpg::new().key("a", "ed25519");
    let signature = gpg.sign("a", &["--default-sig-expire", "1d", "--detach-sign"], MESSAGE);
    let read = Signature::from_binary(&signature).unwrap();
    let until = read.expires().unwrap();
    assert!(read.verify_detached(&gpg.public("a"), MESSAGE).is_ok());
    assert_eq!(until.as_second() - read.claimed_at().as_second(), 86_400);
    assert_eq!(read.check_expiry(read.claimed_at()), Ok(()));
    assert_eq!(read.check_expiry(until), Err(OpenPgpError::Expired(until)));
}

#[test]
fn a_subkey_counts_where_the_listed_key_says_that_it_signs_and_it_agrees() {
    let gpg = Gpg::new().key("a", "rsa2048").key("b", "ed25519");
    let primary = gpg.fingerprints("a").remove(0);
    for (algorithm, usage) in
        [("ed25519", "sign"), ("cv25519", "encr"), ("rsa2048", "encr"), ("rsa2048", "sign")]
    {
        gpg.run(&["--passphrase", "", "--quick-add-key", &primary, algorithm, usage, "never"]);
    }
    let keys = PublicKey::from_listed(&gpg.block("a")).unwrap();
    assert_eq!(keys.len(), 3, "the primary key and the two that sign: {keys:?}");
    let signature = gpg.sign("a", &["--detach-sign"], MESSAGE);
    let by: Vec<bool> = keys.iter().map(|key| is_by(key, &signature, MESSAGE)).collect();
    assert!(!by[0] && by[1] != by[2], "gpg signs with a subkey");

    let root = tools::root("signers", "a", &[&gpg.block("a")], "        until: 2030-01-01\n");
    let trusted = &root.principal("a").unwrap().keys;
    assert!(trusted.len() == 3 && trusted.iter().all(|key| key.until.is_some()));
    assert_eq!(PublicKey::from_listed(&gpg.block("b")).unwrap().len(), 1);
}

#[test]
fn a_block_is_revoked_as_a_whole_and_at_all_its_places() {
    use attest::trust::Revocation;
    use attest::trust::edit::{Change, EditError, change};
    let gpg = Gpg::new().key("a", "ed25519");
    let primary = gpg.fingerprints("a").remove(0);
    gpg.run(&["--passphrase", "", "--quick-add-key", &primary, "rsa2048", "sign", "never"]);
    let block = gpg.block("a");
    let keys = PublicKey::from_listed(&block).unwrap();
    let text = tools::root_text("people", "a", &[&block, &keys[0].to_pem()], "");
    let text = format!("{text}    identities: [a@a.example]\n");
    let revoke = |keys: &[PublicKey]| {
        let from = "2026-01-01T00:00:00Z".parse().unwrap();
        let revocation = Revocation { from, position: None, reason: "lost".to_owned() };
        change("r", &text, &Change::Revoke { keys: keys.iter().map(PublicKey::id).collect(), revocation })
    };
    let changed = revoke(&keys).unwrap();
    let after = TrustRoot::parse("r", &changed.text).unwrap();
    let trusted = &after.principal("a").unwrap().keys;
    assert!(trusted.len() == 3 && trusted.iter().all(|key| key.revoked.is_some()), "{}", changed.diff);
    // one key of a block has no line of its own
    assert!(matches!(revoke(&keys[1..]), Err(EditError::Layout(_))));
}

#[test]
fn a_subkey_that_somebody_put_into_the_block_does_not_count() {
    let gpg = Gpg::new().key("a", "ed25519").key("thief", "ed25519");
    for name in ["a", "thief"] {
        let primary = gpg.fingerprints(name).remove(0);
        gpg.run(&["--passphrase", "", "--quick-add-key", &primary, "rsa2048", "sign", "never"]);
    }
    let binary = |name: &str| {
        gpg.run(&["--export-options", "export-minimal", "--export", &format!("{name}@a.example")])
    };
    let read = |bytes: &[u8]| PublicKey::from_listed(&armor(bytes));
    let (own, thief) = (binary("a"), binary("thief"));
    let (before, stolen) = (read(&own).unwrap(), packets(&thief));
    let subkey = stolen.iter().position(|p| p[0] >> 2 & 15 == 14).unwrap();
    let with_binding = [own.clone(), stolen[subkey].clone(), stolen[subkey + 1].clone()].concat();
    assert_eq!(read(&with_binding).unwrap(), before, "bound by another key");
    let unbound = [own.clone(), stolen[subkey].clone()].concat();
    assert_eq!(read(&unbound).unwrap(), before, "bound by nobody");
    // the binding of one subkey is none of another
    let mut swapped = packets(&own);
    let at = swapped.iter().position(|p| p[0] >> 2 & 15 == 14).unwrap();
    swapped[at] = stolen[subkey].clone();
    assert_eq!(read(&swapped.concat()).unwrap(), before[..1]);
    let two = read(&[own.clone(), thief].concat()).unwrap_err();
    assert_eq!(two, KeyError::OpenPgp(OpenPgpError::Malformed("one public key a block")));
    for flipped in flips(&own).chain(mutants(&own, 5_000)) {
        let Ok(keys) = read(&flipped) else { continue };
        // what the primary key is people review; no subkey comes from anywhere else
        assert!(keys[1..].iter().all(|key| before[1..].contains(key)), "{flipped:02x?}");
    }
}

#[test]
fn debians_own_keys_are_read() {
    for (name, schemes) in [("automatic", &[Scheme::RsaPkcs1; 2][..]), ("stable", &[Scheme::Ed25519])] {
        let path = format!("/usr/share/keyrings/debian-archive-bookworm-{name}.gpg");
        let Ok(bytes) = std::fs::read(&path) else {
            eprintln!("\n*** SKIPPED: no {path}; this is not Debian ***\n");
            return;
        };
        let keys = attest::openpgp::read_keys(&bytes).unwrap();
        assert_eq!(keys.iter().map(PublicKey::scheme).collect::<Vec<_>>(), schemes, "{name}");
        assert_eq!(PublicKey::from_listed(&armor(&bytes)).unwrap(), keys);
    }
}

#[test]
fn what_was_revoked_in_its_block_is_refused() {
    let gpg = Gpg::new().key("a", "ed25519");
    let primary = gpg.fingerprints("a").remove(0);
    let certificate = gpg.home().join(format!("openpgp-revocs.d/{primary}.rev"));
    let certificate = std::fs::read_to_string(certificate).unwrap().replace(":-----BEGIN", "-----BEGIN");
    let file = gpg.write("revocation", certificate.as_bytes());
    gpg.run(&["--import", file.to_str().unwrap()]);
    let error = PublicKey::from_listed(&gpg.block("a")).unwrap_err();
    assert_eq!(error, KeyError::OpenPgp(OpenPgpError::Refused("a key that its owner revoked".to_owned())));
}

#[test]
fn a_key_speaks_only_in_the_form_in_which_it_is_listed() {
    let gpg = Gpg::new().key("a", "ed25519");
    let listed = gpg.public("a");
    let plain = PublicKey::from_pem(&listed.to_pem()).unwrap();
    assert_eq!(plain.id(), listed.id(), "the same key, and so nobody else's");
    assert_ne!(plain, listed);
    let signature = gpg.sign("a", &["--detach-sign"], MESSAGE);
    assert!(is_by(&listed, &signature, MESSAGE) && !is_by(&plain, &signature, MESSAGE));
    let secret = attest::SecretKey::from_ed25519_seed(&[1; 32]).unwrap();
    let public = attest::Signer::public(&secret);
    let raw = attest::Signer::sign(&secret, b"x").unwrap();
    assert!(public.verify(b"x", &raw).is_ok());
    let line = ssh_line(public.raw());
    let ssh = PublicKey::from_listed(&line).unwrap().remove(0);
    assert_eq!(ssh.id(), public.id());
    assert!(
        ssh.verify(b"x", &raw).is_err()
            && ssh.verify_der(b"x", &raw).is_err()
            && ssh.verify_jose(b"x", &raw).is_err()
    );
    let two = tools::root_text("signers", "a", &[&public.to_pem()], "")
        + &format!("  b:\n    keys:\n      - key: {line}\n");
    let errors = TrustRoot::parse("r", &two).unwrap_err();
    assert!(format!("{errors:?}").contains("one key belongs to two names"), "{errors:?}");
    let with_scheme = tools::root_text("signers", "a", &[&gpg.block("a")], "        scheme: p256\n");
    assert!(TrustRoot::parse("r", &with_scheme).is_err());
}

fn ssh_line(raw: &[u8]) -> String {
    use base64::Engine as _;
    let string = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let blob = [string(b"ssh-ed25519"), string(raw)].concat();
    format!("ssh-ed25519 {}", base64::engine::general_purpose::STANDARD.encode(blob))
}

fn armor(bytes: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(bytes);
    let lines: Vec<&str> = body.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
    let (begin, end) = ("-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----");
    format!("{begin}\n\n{}\n{end}\n", lines.join("\n"))
}

/// Packets in the old form, as gpg writes them.
fn packets(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (head, length) = match bytes[0] & 3 {
            0 => (2, usize::from(bytes[1])),
            _ => (3, usize::from(bytes[1]) * 256 + usize::from(bytes[2])),
        };
        found.push(bytes[..head + length].to_vec());
        bytes = &bytes[head + length..];
    }
    found
}
