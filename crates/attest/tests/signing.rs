//! What is signed for others, with those who read it: gpgv, gpg, apt, minisign and cosign. Each takes ours, and no byte changed.

mod tools;

use std::path::{Path, PathBuf};
use std::process::Command;

use attest::bundle::{BlobError, Bundle};
use attest::openpgp::{ClearSigned, NotSigned, Signature, SigningKey};
use attest::{Digest, PublicKey, Scheme, SecretKey, Signer as _, minisign};
use jiff::Timestamp;
use tools::Gpg;

const MESSAGE: &[u8] = b"what is signed\nand - so on\n";
const USER: &str = "Shop releases <release@shop.example>";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn created() -> Timestamp {
    at("2026-01-01T00:00:00Z")
}

fn signed() -> Timestamp {
    at("2026-11-22T09:00:00Z")
}

/// Whether a program ends well; what it printed where it does not.
fn run(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|e| panic!("{program} is there (cargo xtask setup): {e}"));
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(text) } else { Err(text) }
}

fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

/// Every way of changing one byte, a few at a time.
fn changed(bytes: &[u8]) -> Vec<Vec<u8>> {
    let flip = |i: usize| {
        let mut other = bytes.to_vec();
        other[i] ^= 1;
        other
    };
    let step = (bytes.len() / 12).max(1);
    (0..bytes.len()).step_by(step).map(flip).chain([[bytes, b"\n"].concat(), bytes[1..].to_vec()]).collect()
}

/// Takes the armor off.
fn bare(armored: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "a", armored);
    let output = Command::new("gpg").args(["--dearmor", "--output", "-", &file]).output().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[test]
fn gpgv_takes_every_kind_of_signature_and_no_changed_byte() {
    for scheme in [Scheme::Ed25519, Scheme::P256] {
        let folder = tempfile::tempdir().unwrap();
        let secret = SecretKey::generate(scheme).unwrap();
        let key = SigningKey::new(&secret, created()).unwrap();
        let ring = write(folder.path(), "ring.gpg", bare(&key.block(USER, signed()).unwrap()));
        let message = write(folder.path(), "message", MESSAGE);
        let gpgv = |files: &[&str]| run("gpgv", &[&["--keyring", &ring][..], files].concat());
        // numbers that lose their zeros come up in one of 128
        for i in 0..40 {
            let message = write(folder.path(), "each", format!("{i}"));
            let signature = key.sign_detached(format!("{i}").as_bytes(), signed()).unwrap();
            let signature = write(folder.path(), "each.asc", signature);
            gpgv(&[&signature, &message]).unwrap();
        }
        let detached = key.sign_detached(MESSAGE, signed()).unwrap();
        let signature = write(folder.path(), "message.asc", &detached);
        let said = gpgv(&[&signature, &message]).unwrap();
        assert!(said.contains(&key.fingerprint()) && said.contains(USER), "{said}");
        for other in changed(MESSAGE) {
            let other = write(folder.path(), "other", other);
            assert!(gpgv(&[&signature, &other]).unwrap_err().contains("BAD signature"));
        }
        let clear = key.sign_clear(MESSAGE, signed()).unwrap();
        let text = write(folder.path(), "clear", &clear);
        let out = folder.path().join("out").display().to_string();
        gpgv(&["--output", &out, &text]).unwrap();
        assert_eq!(std::fs::read(&out).unwrap(), MESSAGE, "what gpgv gives out is what was decided about");
        let other = write(folder.path(), "clear", clear.replace("signed", "singed"));
        assert!(gpgv(&[&other]).unwrap_err().contains("BAD signature"));
    }
}

#[test]
fn gpg_takes_the_block_with_its_self_signature_and_no_changed_byte_of_it() {
    for scheme in [Scheme::Ed25519, Scheme::P256] {
        let secret = SecretKey::generate(scheme).unwrap();
        let key = SigningKey::new(&secret, created()).unwrap();
        let block = key.block(USER, signed()).unwrap();
        let gpg = Gpg::new();
        let file = gpg.write("block.asc", block.as_bytes());
        gpg.run(&["--import", file.to_str().unwrap()]);
        let listing = String::from_utf8(gpg.run(&["--with-colons", "--check-signatures", USER])).unwrap();
        assert!(listing.contains(&key.fingerprint()), "{listing}");
        // `sig:!:` is one that gpg verified itself
        assert!(listing.lines().any(|l| l.starts_with("sig:!:") && l.contains(":13x:")), "{listing}");
        // who changes the user id has no key
        let bytes = bare(&block);
        let place = bytes.windows(4).position(|w| w == b"Shop").unwrap();
        let mut other = bytes;
        other[place] ^= 1;
        let refusing = Gpg::new();
        let file = refusing.write("block.gpg", &other);
        let refused = refusing.try_run(&["--import", file.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains("contains no user ID"), "{said}");
        assert!(!refusing.try_run(&["--list-keys", &key.fingerprint()]).status.success());
        // and our own reader finds the same key in it
        let listed = PublicKey::from_listed(&block).unwrap().remove(0);
        assert_eq!(listed.raw(), secret.public().raw());
        assert_eq!(
            SigningKey::published(&secret, block.as_bytes()).unwrap().fingerprint(),
            key.fingerprint()
        );
    }
}

#[test]
fn nothing_is_signed_that_would_not_be_read_back() {
    let secret = SecretKey::generate(Scheme::Ed25519).unwrap();
    let key = SigningKey::new(&secret, created()).unwrap();
    for text in ["no end", "white \n", "tab\t\n", "return\r\n", "nul\0\n", "one\n\u{c}\r\n"] {
        assert!(matches!(key.sign_clear(text.as_bytes(), signed()), Err(NotSigned::Text(_))), "{text:?}");
    }
    assert!(matches!(key.sign_clear(b"\xff\n", signed()), Err(NotSigned::Text("UTF-8"))));
    for text in ["\n", "- a\n--\n-----BEGIN PGP SIGNATURE-----\n\n\nFrom x\n", "ä\n"] {
        let clear = key.sign_clear(text.as_bytes(), signed()).unwrap();
        let read = ClearSigned::parse(clear.as_bytes()).unwrap();
        assert_eq!(format!("{}\n", read.text()), text);
    }
    let early = at("2025-12-31T23:59:59Z");
    assert_eq!(key.sign_detached(MESSAGE, early), Err(NotSigned::Time(early)));
    for bad in ["", "a\nb", &"x".repeat(257)] {
        assert_eq!(key.block(bad, signed()), Err(NotSigned::UserId));
    }
    let other = SecretKey::generate(Scheme::Ed25519).unwrap();
    let block = key.block(USER, signed()).unwrap();
    assert_eq!(SigningKey::published(&other, block.as_bytes()).unwrap_err(), NotSigned::OtherKey);
    let p384 = SecretKey::generate(Scheme::P384).unwrap();
    assert_eq!(SigningKey::new(&p384, created()).unwrap_err(), NotSigned::Scheme(Scheme::P384));
    // another time of creation is another key
    let later = SigningKey::new(&secret, signed()).unwrap();
    assert_ne!(later.fingerprint(), key.fingerprint());
    let signature = Signature::from_armor(&later.sign_detached(MESSAGE, signed()).unwrap()).unwrap();
    let listed = PublicKey::from_listed(&block).unwrap().remove(0);
    assert!(signature.verify_detached(&listed, MESSAGE).is_err());
}

/// A repository in a folder with one empty index.
fn repository(folder: &Path) -> (PathBuf, String) {
    let root = folder.join("repository");
    std::fs::create_dir_all(root.join("dists/stable/main/binary-amd64")).unwrap();
    let index =
        b"Package: hello\nVersion: 1\nArchitecture: amd64\nFilename: hello.deb\nSize: 1\nDescription: x\n";
    std::fs::write(root.join("dists/stable/main/binary-amd64/Packages"), index).unwrap();
    let release = format!(
        "Origin: Shop\nSuite: stable\nCodename: stable\nDate: Sun, 22 Nov 2026 09:00:00 UTC\nArchitectures: amd64\n\
         Components: main\nSHA256:\n {} {} main/binary-amd64/Packages\n",
        Digest::sha256(index).hex(),
        index.len()
    );
    (root, release)
}

/// `apt-get update` of one repository, with one key that it believes, in folders of its own.
fn update(folder: &Path, root: &Path, key: &str) -> Result<String, String> {
    let apt = folder.join("apt");
    std::fs::remove_dir_all(&apt).ok();
    for below in ["state/lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(apt.join(below)).unwrap();
    }
    let source = format!("deb [signed-by={key} arch=amd64] file:{} stable main\n", root.display());
    let list = write(&apt, "sources.list", source);
    let mut all = vec!["update".to_owned()];
    for (name, value) in [
        ("Dir::Etc::sourcelist", list),
        ("Dir::Etc::sourceparts", "-".to_owned()),
        ("Dir::State", apt.join("state").display().to_string()),
        ("Dir::Cache", apt.join("cache").display().to_string()),
        ("APT::Sandbox::User", "root".to_owned()),
        ("APT::Update::Error-Mode", "any".to_owned()),
    ] {
        all.extend(["-o".to_owned(), format!("{name}={value}")]);
    }
    run("apt-get", &all.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn apt_takes_a_repository_with_either_form_of_signature_and_none_with_a_changed_byte() {
    for scheme in [Scheme::Ed25519, Scheme::P256] {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path();
        let secret = SecretKey::generate(scheme).unwrap();
        let key = SigningKey::new(&secret, created()).unwrap();
        let block = write(folder, "shop.asc", key.block(USER, signed()).unwrap());
        let (root, release) = repository(folder);
        let dist = root.join("dists/stable");
        let clear = key.sign_clear(release.as_bytes(), signed()).unwrap();
        write(&dist, "InRelease", &clear);
        let said = update(folder, &root, &block).unwrap();
        assert!(!said.contains("W:"), "{said}");
        let lists = std::fs::read_dir(folder.join("apt/state/lists")).unwrap().flatten();
        assert!(lists.map(|l| l.file_name()).any(|n| n.to_string_lossy().ends_with("_InRelease")));

        write(&dist, "InRelease", clear.replace("Origin: Shop", "Origin: Shap"));
        let refused = update(folder, &root, &block).unwrap_err();
        assert!(refused.contains("BADSIG"), "{refused}");

        std::fs::remove_file(dist.join("InRelease")).unwrap();
        write(&dist, "Release", &release);
        write(&dist, "Release.gpg", key.sign_detached(release.as_bytes(), signed()).unwrap());
        update(folder, &root, &block).unwrap();
        write(&dist, "Release", release.replace("Origin: Shop", "Origin: Shap"));
        assert!(update(folder, &root, &block).unwrap_err().contains("BADSIG"));

        let other = SecretKey::generate(scheme).unwrap();
        let other = SigningKey::new(&other, created()).unwrap().block(USER, signed()).unwrap();
        let other = write(folder, "other.asc", other);
        write(&dist, "Release", &release);
        assert!(update(folder, &root, &other).unwrap_err().contains("NO_PUBKEY"));
    }
}

#[test]
fn minisign_takes_file_and_comment_and_no_changed_byte_of_either() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let secret = SecretKey::generate(Scheme::Ed25519).unwrap();
    let public = write(folder, "shop.pub", minisign::public_key(secret.public()).unwrap());
    let message = write(folder, "message", MESSAGE);
    let text = minisign::sign(&secret, MESSAGE, "timestamp:1\tfile:message").unwrap();
    let signature = write(folder, "message.minisig", &text);
    let verify = |signature: &str, message: &str| {
        run("minisign", &["-V", "-p", &public, "-x", signature, "-m", message])
    };
    let said = verify(&signature, &message).unwrap();
    assert!(said.contains("timestamp:1\tfile:message"), "{said}");
    for other in changed(MESSAGE) {
        let other = write(folder, "other", other);
        assert!(verify(&signature, &other).unwrap_err().contains("Signature verification failed"));
    }
    let comment = write(folder, "comment", text.replace("timestamp:1", "timestamp:2"));
    assert!(verify(&comment, &message).unwrap_err().contains("Comment signature verification failed"));
    // a key of minisign's own is not ours
    let other = folder.join("other.pub").display().to_string();
    let secret_file = folder.join("other.key").display().to_string();
    run("minisign", &["-G", "-W", "-p", &other, "-s", &secret_file]).unwrap();
    assert!(run("minisign", &["-V", "-p", &other, "-x", &signature, "-m", &message]).is_err());

    assert_eq!(minisign::sign(&secret, MESSAGE, "a\nb"), Err(minisign::NotSigned::Comment));
    let p256 = SecretKey::generate(Scheme::P256).unwrap();
    assert_eq!(minisign::public_key(p256.public()), Err(minisign::NotSigned::Scheme(Scheme::P256)));
}

fn cosign() -> String {
    let home = std::env::home_dir().unwrap();
    home.join(".cache/portcullis/tools/cosign").display().to_string()
}

#[test]
fn cosign_takes_a_blob_and_no_changed_byte() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let secret = SecretKey::generate(Scheme::P256).unwrap();
    let public = write(folder, "shop.pub", secret.public().to_pem());
    let message = write(folder, "message", MESSAGE);
    let bundle = Bundle::sign_blob(&secret, MESSAGE).unwrap().to_string();
    let bundle = write(folder, "message.json", &bundle);
    let verify = |key: &str, bundle: &str, message: &str| {
        run(&cosign(), &["verify-blob", "--key", key, "--bundle", bundle, "--insecure-ignore-tlog", message])
    };
    let said = verify(&public, &bundle, &message).unwrap();
    assert!(said.contains("Verified OK"), "{said}");
    for other in changed(MESSAGE).into_iter().take(4) {
        let other = write(folder, "other", other);
        assert!(verify(&public, &bundle, &other).is_err());
    }
    let other = SecretKey::generate(Scheme::P256).unwrap();
    let other = write(folder, "other.pub", other.public().to_pem());
    assert!(verify(&other, &bundle, &message).is_err());
}

#[test]
fn a_file_that_is_another_protocols_message_is_not_signed_as_a_blob() {
    let secret = SecretKey::generate(Scheme::P256).unwrap();
    let pae = attest::dsse::pae(attest::dsse::IN_TOTO, b"{}");
    assert_eq!(Bundle::sign_blob(&secret, &pae), Err(BlobError::Message("DSSE")));
    // what a P-256 key signs for OpenPGP: text, front, and its length
    let front = [4, 0, 19, 8, 0, 0];
    let openpgp = [MESSAGE, &front, &[4, 0xff, 0, 0, 0, 6]].concat();
    assert_eq!(Bundle::sign_blob(&secret, &openpgp), Err(BlobError::Message("OpenPGP")));
    let ed25519 = SecretKey::generate(Scheme::Ed25519).unwrap();
    assert_eq!(Bundle::sign_blob(&ed25519, MESSAGE), Err(BlobError::Scheme(Scheme::Ed25519)));
}
