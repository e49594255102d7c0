//! Keys: what is made is read back, what openssl writes is read, and weak keys are refused.

use attest::key::KeyError;
use attest::secret::SecretKeyError;
use attest::{PublicKey, Scheme, SecretKey, Signer as _};

const ALL: [Scheme; 4] = [Scheme::P256, Scheme::P384, Scheme::Ed25519, Scheme::MlDsa65];

#[test]
fn every_kind_of_key_signs_verifies_and_survives_its_file() {
    for scheme in ALL {
        let key = SecretKey::generate(scheme).unwrap();
        for passphrase in [None, Some(b"correct horse".as_slice())] {
            let pem = key.to_pem(passphrase).unwrap();
            let read = SecretKey::from_pem(&pem, passphrase).unwrap();
            assert_eq!(read.public(), key.public(), "{scheme:?}");
            let public = PublicKey::from_pem(&read.public().to_pem()).unwrap();
            let signature = read.sign(b"message").unwrap();
            assert!(public.verify(b"message", &signature).is_ok(), "{scheme:?}");
            assert!(public.verify(b"massage", &signature).is_err());
            assert!(public.verify_jose(b"message", &read.sign_jose(b"message").unwrap()).is_ok());
        }
        assert!(!format!("{key:?}").contains("PRIVATE"));
    }
}

#[test]
fn a_wrong_or_missing_passphrase_is_told_apart() {
    let key = SecretKey::generate(Scheme::P256).unwrap();
    let pem = key.to_pem(Some(b"right")).unwrap();
    assert_eq!(SecretKey::from_pem(&pem, None).unwrap_err(), SecretKeyError::PassphraseMissing);
    assert_eq!(SecretKey::from_pem(&pem, Some(b"wrong")).unwrap_err(), SecretKeyError::PassphraseWrong);
    assert_eq!(
        SecretKey::from_pem(&key.public().to_pem(), None).unwrap_err(),
        SecretKeyError::OtherLabel("PUBLIC KEY".to_owned())
    );
    assert_eq!(SecretKey::from_pem("hello", None).unwrap_err(), SecretKeyError::NotPem);
}

#[test]
fn openssl_reads_our_encrypted_keys_and_we_read_its() {
    let dir = std::env::temp_dir().join(format!("portcullis-keys-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (ours, theirs) = (dir.join("ours.pem"), dir.join("theirs.pem"));
    for scheme in [Scheme::P256, Scheme::Ed25519] {
        let key = SecretKey::generate(scheme).unwrap();
        std::fs::write(&ours, key.to_pem(Some(b"pass")).unwrap().as_bytes()).unwrap();
        let status = std::process::Command::new("openssl")
            .args(["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256"])
            .args(["-passin", "pass:pass", "-passout", "pass:other", "-in"])
            .arg(&ours)
            .arg("-out")
            .arg(&theirs)
            .status()
            .unwrap();
        assert!(status.success(), "openssl reads what we write");
        let text = std::fs::read_to_string(&theirs).unwrap();
        assert_eq!(SecretKey::from_pem(&text, Some(b"other")).unwrap().public(), key.public());
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn ed25519_keys_of_small_order_are_refused_in_every_encoding() {
    let mut encodings = Vec::new();
    for low in [0x00, 0x01] {
        let mut y = [0_u8; 32];
        y[0] = low;
        encodings.push(y);
    }
    for low in [0xec, 0xed, 0xee] {
        let mut y = [0xff_u8; 32];
        (y[0], y[31]) = (low, 0x7f);
        encodings.push(y);
    }
    for hex in [
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ] {
        encodings.push(attest::digest::parse_hex(hex).unwrap().try_into().unwrap());
    }
    for mut y in encodings {
        for sign in [0, 0x80] {
            y[31] = (y[31] & 0x7f) | sign;
            assert_eq!(
                PublicKey::from_raw(Scheme::Ed25519, &y).unwrap_err(),
                KeyError::SmallOrder,
                "{y:02x?}"
            );
        }
    }
}

#[test]
fn keys_that_are_no_keys_say_what_they_are() {
    assert_eq!(PublicKey::from_pem("").unwrap_err(), KeyError::NotPem);
    let private = SecretKey::generate(Scheme::P256).unwrap().to_pem(None).unwrap();
    assert_eq!(PublicKey::from_pem(&private).unwrap_err(), KeyError::NotPublic("PRIVATE KEY".to_owned()));
    assert_eq!(PublicKey::from_spki(&[0x30, 0x00]).unwrap_err(), KeyError::NotSpki);
    let p256 = SecretKey::generate(Scheme::P256).unwrap();
    assert_eq!(
        p256.public().clone().with_scheme(Scheme::Ed25519).unwrap_err(),
        KeyError::SchemeMismatch(Scheme::Ed25519)
    );
}
