//! The store as its users see it: found, none, and nobody knows; and that nothing leaves its folder.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use attest::bundle::Bundle;
use attest::dsse::{Dsse, IN_TOTO};
use attest::{Digest, DigestSet, Envelope, Json, Object, Scheme, SecretKey, Signer as _, Statement};
use evidence::{About, Attachment, AttachmentError, ReadError, Store, Tagged, WriteError, about, compact};

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(&dir.path().join("deep/evidence"));
    (dir, store)
}

fn bundle(subject: &DigestSet) -> Vec<u8> {
    let key = SecretKey::generate(Scheme::Ed25519).unwrap();
    let statement = Statement::write("shop", subject, "https://example.com/fact", Object::new());
    let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[&key]).unwrap();
    Bundle::write(&dsse, &key.public().id(), &[]).to_string().into_bytes()
}

fn shop() -> DigestSet {
    DigestSet::from(Digest::sha256(b"shop"))
}

/// Every file below a folder.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn a_bundle_is_found_by_its_digest() {
    let (_dir, store) = store();
    let bytes = bundle(&shop());
    let digest = store.put(&bytes).unwrap();
    assert_eq!(digest, Digest::sha256(&bytes));
    assert_eq!(store.put(&bytes).unwrap(), digest);
    assert_eq!(store.get(&digest).unwrap(), Some(bytes));
    let hex = digest.hex();
    assert!(store.root().join("sha256").join(&hex[..2]).join(&hex).is_file());
}

#[test]
fn none_is_not_an_error_and_an_error_is_not_none() {
    let (_dir, store) = store();
    let absent = Digest::sha256(b"absent");
    assert_eq!(store.get(&absent).unwrap(), None);
    assert_eq!(store.grant(&absent).unwrap(), None);
    assert_eq!(store.attached(&absent).unwrap(), None);
    assert_eq!(store.tagged("registry.example/shop", "1").unwrap(), None);
    assert_eq!(store.grants().unwrap(), Vec::new());
    // a folder where a file should be, and a file where a folder should be, are neither
    let digest = store.put(&bundle(&shop())).unwrap();
    let path = store.root().join("sha256").join(&digest.hex()[..2]).join(digest.hex());
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(store.get(&digest), Err(ReadError::Io(..))));
    fs::write(store.root().join("artifact"), "").unwrap();
    assert!(matches!(store.attached(&absent), Err(ReadError::Io(..))));
    fs::write(store.root().join("grants"), "").unwrap();
    assert!(matches!(store.grants(), Err(ReadError::Io(..))));
}

#[test]
fn a_file_that_may_not_be_read_is_an_error() {
    let (_dir, store) = store();
    let digest = store.put(&bundle(&shop())).unwrap();
    let path = store.root().join("sha256").join(&digest.hex()[..2]).join(digest.hex());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // root reads everything: then there is nothing to see
    if fs::read(&path).is_err() {
        assert!(matches!(store.get(&digest), Err(ReadError::Io(..))));
    }
}

#[test]
fn changed_bytes_are_never_given_away() {
    let (_dir, store) = store();
    let (bytes, other) = (bundle(&shop()), bundle(&shop()));
    let digest = store.put(&bytes).unwrap();
    let path = store.root().join("sha256").join(&digest.hex()[..2]).join(digest.hex());
    for wrong in [other.as_slice(), &bytes[..bytes.len() - 1], b"", &vec![b'x'; Store::MAX_BYTES + 1]] {
        fs::write(&path, wrong).unwrap();
        let error = store.get(&digest).unwrap_err();
        assert!(matches!(error, ReadError::Changed(_) | ReadError::Malformed(_)), "{error}");
        assert!(error.to_string().contains("attach"), "{error}");
    }
    // whoever has the right bytes mends it
    store.put(&bytes).unwrap();
    assert_eq!(store.get(&digest).unwrap(), Some(bytes));
}

#[test]
fn only_envelopes_of_a_size_are_kept() {
    let (_dir, store) = store();
    assert!(matches!(store.put(b""), Err(WriteError::NoEnvelope(_))));
    assert!(matches!(store.put(b"{}"), Err(WriteError::NoEnvelope(_))));
    assert!(matches!(store.put_grant(b"noise"), Err(WriteError::NoEnvelope(_))));
    let large = vec![b' '; Store::MAX_BYTES + 1];
    assert!(matches!(store.put(&large), Err(WriteError::TooLarge(n)) if n == Store::MAX_BYTES + 1));
    assert!(!store.root().exists(), "nothing is made for what is not kept");
}

#[test]
fn an_attached_set_takes_the_place_of_the_one_before() {
    let (_dir, store) = store();
    let artifact = Digest::sha256(b"shop");
    let one = store.put(&bundle(&shop())).unwrap();
    let two = store.put(&bundle(&shop())).unwrap();
    store.attach(&artifact, &[one.clone(), one.clone()]).unwrap();
    assert_eq!(store.attached(&artifact).unwrap(), Some(vec![one.clone()]));
    store.attach(&artifact, std::slice::from_ref(&two)).unwrap();
    assert_eq!(store.attached(&artifact).unwrap(), Some(vec![two]));
    assert!(store.get(&one).unwrap().is_some(), "the older bundle is still there by its digest");
    store.attach(&artifact, &[]).unwrap();
    assert_eq!(store.attached(&artifact).unwrap(), Some(Vec::new()));
    let absent = Digest::sha256(b"absent");
    assert!(
        matches!(store.attach(&artifact, std::slice::from_ref(&absent)), Err(WriteError::NotStored(d)) if d == absent)
    );
}

#[test]
fn a_set_has_a_bound() {
    let (_dir, store) = store();
    let artifact = Digest::sha256(b"shop");
    let bundles: Vec<Digest> = (0..=Store::MAX_SET).map(|_| store.put(&bundle(&shop())).unwrap()).collect();
    assert!(matches!(store.attach(&artifact, &bundles), Err(WriteError::TooMany(65))));
    store.attach(&artifact, &bundles[1..]).unwrap();
    assert_eq!(store.attached(&artifact).unwrap().unwrap(), bundles[1..]);
}

#[test]
fn a_list_that_was_cut_off_or_grew_is_no_list() {
    let (_dir, store) = store();
    let artifact = Digest::sha256(b"shop");
    let one = store.put(&bundle(&shop())).unwrap();
    store.attach(&artifact, std::slice::from_ref(&one)).unwrap();
    let path = store.root().join("artifact/sha256").join(&artifact.hex()[..2]).join(artifact.hex());
    let line = format!("{one}\n");
    for wrong in [
        line.trim_end(),
        &line[..30],
        "noise\n",
        "\n",
        "\u{0}",
        &line.repeat(65),
        "sha256:../../../etc/passwd\n",
    ] {
        fs::write(&path, wrong).unwrap();
        assert!(matches!(store.attached(&artifact), Err(ReadError::Malformed(_))), "{wrong:?}");
    }
    fs::write(&path, b"\xff\n").unwrap();
    assert!(matches!(store.attached(&artifact), Err(ReadError::Malformed(_))));
}

#[test]
fn what_is_asked_for_costs_one_read_however_much_is_stored() {
    let (_dir, store) = store();
    let artifact = Digest::sha256(b"shop");
    let one = store.put(&bundle(&shop())).unwrap();
    store.attach(&artifact, std::slice::from_ref(&one)).unwrap();
    // 5,000 records about the same artifact, and everything that is not asked for made unreadable
    for n in 0..5_000_u32 {
        let hex = Digest::sha256(&n.to_le_bytes()).hex();
        let path = store.root().join("sha256").join(&hex[..2]).join(&hex);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "noise").unwrap();
    }
    assert_eq!(store.attached(&artifact).unwrap(), Some(vec![one.clone()]));
    let path = store.root().join("artifact/sha256").join(&artifact.hex()[..2]).join(artifact.hex());
    assert!(fs::metadata(path).unwrap().len() < 100, "the list does not grow with what is stored");
    assert!(store.get(&one).unwrap().is_some());
}

#[test]
fn a_tag_is_what_was_said_last() {
    let (_dir, store) = store();
    let at = |text: &str| attest::time::parse_time(text).unwrap();
    let one = Tagged { digest: Digest::sha256(b"1"), at: at("2026-11-22T09:00:00Z") };
    let two = Tagged { digest: Digest::sha256(b"2"), at: at("2026-11-22T10:00:00Z") };
    store.tag("registry.example/shop", "1.4", &one).unwrap();
    store.tag("registry.example/shop", "1.4", &two).unwrap();
    assert_eq!(store.tagged("registry.example/shop", "1.4").unwrap(), Some(two.clone()));
    assert_eq!(store.tagged("registry.example/shop", "1.5").unwrap(), None);
    assert_eq!(store.tagged("registry.example/shop2", "1.4").unwrap(), None);
    // a file that somebody moved speaks for the tag that it was written for
    store.tag("registry.example/shop", "1.5", &one).unwrap();
    let all: Vec<PathBuf> = files(&store.root().join("tag"));
    let (a, b) = (fs::read(&all[0]).unwrap(), fs::read(&all[1]).unwrap());
    fs::write(&all[0], b).unwrap();
    fs::write(&all[1], a).unwrap();
    assert!(matches!(store.tagged("registry.example/shop", "1.4"), Err(ReadError::Malformed(_))));
    fs::write(&all[0], "{").unwrap();
    fs::write(&all[1], "{}").unwrap();
    assert!(matches!(store.tagged("registry.example/shop", "1.4"), Err(ReadError::Malformed(_))));
    assert!(matches!(store.tagged("registry.example/shop", "1.5"), Err(ReadError::Malformed(_))));
}

/// A small generator of noise: always the same, so that a failure can be looked at again.
struct Noise(u64);

impl Noise {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn name(&mut self) -> String {
        const PARTS: [&str; 16] = [
            "..",
            "/",
            "\\",
            "a",
            "registry.example",
            ":",
            "\0",
            "%2e",
            "~",
            "é",
            ".",
            "-",
            "sha256",
            " ",
            "\n",
            "Z9",
        ];
        (0..self.next(8)).map(|_| PARTS[usize::try_from(self.next(16)).unwrap()]).collect()
    }
}

#[test]
fn no_name_leaves_the_folder_and_no_two_are_one() {
    let (dir, store) = store();
    let mut noise = Noise(7);
    let mut said = std::collections::BTreeMap::new();
    for n in 0..2_000_u32 {
        let (repository, tag) = (noise.name(), noise.name());
        let to = Tagged { digest: Digest::sha256(&n.to_le_bytes()), at: jiff::Timestamp::UNIX_EPOCH };
        match store.tag(&repository, &tag, &to) {
            Ok(()) => drop(said.insert((repository, tag), to)),
            Err(WriteError::Name(_)) => {
                assert_eq!(store.tagged(&repository, &tag).unwrap(), None, "{repository:?} {tag:?}");
            }
            Err(e) => panic!("{repository:?} {tag:?}: {e}"),
        }
    }
    assert!(said.len() > 100);
    for ((repository, tag), to) in &said {
        assert_eq!(store.tagged(repository, tag).unwrap().as_ref(), Some(to), "{repository:?} {tag:?}");
    }
    let is_ours = |path: &Path| path.starts_with(store.root());
    assert!(files(dir.path()).iter().all(|path| is_ours(path)));
    for path in files(&store.root().join("tag")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
    }
}

#[test]
fn grants_are_listed_and_leftovers_are_not() {
    let (_dir, store) = store();
    let mut digests: Vec<Digest> = (0..3).map(|_| store.put_grant(&bundle(&shop())).unwrap()).collect();
    digests.sort();
    fs::write(store.root().join("grants").join(format!(".{}.77.tmp", digests[0].hex())), "half").unwrap();
    fs::write(store.root().join("grants/README"), "").unwrap();
    assert_eq!(store.grants().unwrap(), digests);
    assert!(store.grant(&digests[0]).unwrap().is_some());
    assert_eq!(store.get(&digests[0]).unwrap(), None, "a grant is no bundle");
}

#[test]
fn writers_at_once_leave_one_whole_answer() {
    let (_dir, store) = store();
    let artifact = Digest::sha256(b"shop");
    let bundles: Vec<Digest> = (0..8).map(|_| store.put(&bundle(&shop())).unwrap()).collect();
    store.attach(&artifact, &bundles[..1]).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let (store, bundles, artifact) = (store.clone(), &bundles, &artifact);
            scope.spawn(move || {
                for _ in 0..10 {
                    store.attach(artifact, &bundles[..=writer]).unwrap();
                }
            });
        }
        for _ in 0..200 {
            let seen = store.attached(&artifact).unwrap().unwrap();
            assert_eq!(seen, bundles[..seen.len()], "a reader sees one writer's set and no mixture");
        }
    });
    let leftovers = files(store.root()).into_iter().filter(|path| path.to_string_lossy().ends_with(".tmp"));
    assert_eq!(leftovers.count(), 0);
}

#[test]
fn what_an_envelope_claims_to_be_about() {
    let envelope = |subject: &DigestSet| Envelope::parse(&bundle(subject)).unwrap();
    let commit =
        DigestSet::from(Digest::parse("gitCommit:4b825dc642cb6eb9a060e54bf8d69288fbee4904").unwrap());
    let other = Digest::sha256(b"other");
    assert_eq!(about(&envelope(&shop()), &shop()), About::Artifact);
    assert_eq!(about(&envelope(&commit), &shop()), About::Source);
    assert_eq!(about(&envelope(&other.clone().into()), &shop()), About::Other(other));
    let dsse = Object::new()
        .with("payloadType", "text/plain")
        .with("payload", "bm9pc2U=")
        .with("signatures", Json::Array(vec![Object::new().with("sig", "AAAA").into()]));
    let noise = Envelope::parse(Json::from(dsse).to_string().as_bytes()).unwrap();
    assert_eq!(about(&noise, &shop()), About::Nothing);
}

#[test]
fn a_signature_over_the_bytes_alone_is_about_them() {
    let digest = Digest::sha256(b"shop");
    let text = |hex: &str| {
        let bytes = attest::digest::parse_hex(hex).unwrap();
        let key = SecretKey::generate(Scheme::P256).unwrap();
        // base64 by the one writer there is: a DSSE envelope's payload
        let payload = Dsse::sign("x", &bytes, &[&key]).unwrap().to_json();
        format!(
            r#"{{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{{}},
            "messageSignature":{{"messageDigest":{{"algorithm":"SHA2_256","digest":"{}"}},"signature":"AAAA"}}}}"#,
            payload.string("payload").unwrap()
        )
    };
    let envelope = |hex: &str| Envelope::parse(text(hex).as_bytes()).unwrap();
    assert_eq!(about(&envelope(&digest.hex()), &shop()), About::Artifact);
    assert_eq!(about(&envelope(&Digest::sha256(b"other").hex()), &shop()), About::Nothing);
}

#[test]
fn a_bundle_has_one_spelling() {
    let bytes = bundle(&shop());
    let pretty = attest::json::parse(&bytes).unwrap().pretty() + "\n";
    assert_ne!(pretty.as_bytes(), bytes);
    assert_eq!(compact(pretty.as_bytes()).unwrap(), compact(&bytes).unwrap());
    assert!(compact(b"{}").is_err());
    // "{}" and "{}" in base64url, and some signature
    assert_eq!(compact(b"eyJhbGciOiJFUzI1NiJ9.e30.AAAA\n").unwrap(), b"eyJhbGciOiJFUzI1NiJ9.e30.AAAA");
}

#[test]
fn an_attachment_is_kept_as_it_was_sent() {
    let (_dir, store) = store();
    let commit = Digest::parse("gitCommit:4b825dc642cb6eb9a060e54bf8d69288fbee4904").unwrap();
    let bundles = [bundle(&shop()), bundle(&commit.into())];
    let twice = [bundles[0].clone(), bundles[1].clone(), bundles[0].clone()];
    let sent = Attachment::new(&shop(), &twice, Some("registry.example/shop:1.4")).unwrap();
    let read = Attachment::read(sent.to_json().to_string().as_bytes()).unwrap();
    assert_eq!(read, sent);
    let at = attest::time::parse_time("2026-11-22T09:00:00Z").unwrap();
    let artifact = Digest::sha256(b"shop");
    for _ in 0..2 {
        assert_eq!(store.keep_attachment(&read, at).unwrap(), sent.digests());
        assert_eq!(store.attached(&artifact).unwrap(), Some(sent.digests()));
        let tagged = store.tagged("registry.example/shop", "1.4").unwrap().unwrap();
        assert_eq!(tagged, Tagged { digest: artifact.clone(), at });
    }
}

#[test]
fn what_is_no_attachment_is_refused_with_its_reason() {
    let other = Digest::sha256(b"other");
    let error =
        Attachment::new(&shop(), &[bundle(&shop()), bundle(&other.clone().into())], None).unwrap_err();
    assert_eq!(error, AttachmentError::Elsewhere(2, Some(other)));
    let error = Attachment::new(&shop(), &[b"{}".to_vec()], None).unwrap_err();
    assert!(matches!(error, AttachmentError::NoEnvelope(1, _)), "{error}");
    let many: Vec<Vec<u8>> = (0..65).map(|_| bundle(&shop())).collect();
    assert_eq!(Attachment::new(&shop(), &many, None), Err(AttachmentError::TooMany(65)));
    for tag in [
        "shop:1.4",
        "registry.example/shop",
        "registry.example/:1",
        "registry.example/a//b:1",
        "docker.io/shop:1",
        "index.docker.io/library/shop:1",
        "registry.example/../x:1",
        "registry.example/Shop:1",
        "a/b:c/d",
        "",
    ] {
        let error = Attachment::new(&shop(), &[bundle(&shop())], Some(tag)).unwrap_err();
        assert_eq!(error, AttachmentError::Tag(tag.to_owned()));
    }
    for tag in ["localhost/shop:1", "registry.example:5000/a/b_c:v1.0-rc.1", "docker.io/library/shop:latest"]
    {
        Attachment::new(&shop(), &[bundle(&shop())], Some(tag)).unwrap();
    }
    let good = Attachment::new(&shop(), &[bundle(&shop())], None).unwrap().to_json().to_string();
    for (from, to, words) in [
        ("\"bundles\"", "\"bundels\"", "bundels: wanted artifact, bundles and tag"),
        ("sha256:", "md5:", "artifact: wanted sha256:HEX"),
        ("{\"artifact\"", "{\"artifact\":1,\"artifact\"", "duplicate key"),
        ("[", "", "JSON wants"),
    ] {
        assert!(good.contains(from));
        let error = Attachment::read(good.replacen(from, to, 1).as_bytes()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_clear_signed_text_has_one_spelling_and_stays_as_it_is_signed() {
    let text = include_bytes!("../../../fuzz/corpus/envelope/buildinfo.asc");
    let compact = evidence::compact(text).unwrap();
    assert_eq!([compact.as_slice(), b"\n"].concat(), text);
    assert_eq!(evidence::compact(&compact).unwrap(), compact);
}
