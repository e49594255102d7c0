//! `portcullis open` over what others wrote to be opened, or to be refused: Sigstore's conformance suite, the releases of
//! CPython, attestations of GitHub's and PyPI's own tests. Nothing wrong is accepted, nothing right refused, and each
//! refusal says why. cosign and sigstore-go judge the same cases beside us, where they are installed.

mod sigstore;
mod tools;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;

use attest::{Artifact, Digest, DigestSet, Envelope, Json, Object, TrustRoot};
use sigstore::{BEACON, Case, GITHUB, conformance, digest_of, releases, rows};
use tools::{code, data, path, portcullis, stderr, stdout};

/// Why each case that must be refused is refused: how it ends, and words of the reason.
const REASONS: [(&str, i32, &str); 23] = [
    ("bundle-invalid-base64-signature_fail", 1, "messageSignature.signature: wanted base64"),
    ("bundle-malformed-json_fail", 1, "the JSON ends too early"),
    ("bundle-negative-log-index_fail", 1, "negative log index"),
    ("bundle-with-root-cert_fail", 1, "no checkpoint"),
    (
        "checkpoint-bad-keyhint_fail",
        1,
        "its log entry does not hold: invalid checkpoint: No matching Rekor key",
    ),
    ("dsse-mismatch-sig_fail", 1, "its log entry does not hold: log entry does not match the bundle"),
    (
        "intoto-expired-certificate_fail",
        1,
        "its certificate does not count: it did not count yet when it signed",
    ),
    ("intoto-log-entry-mismatch_fail", 1, "its log entry does not hold"),
    ("intoto-missing-inclusion-proof_fail", 1, "must have an inclusion proof"),
    (
        "intoto-tsa-timestamp-outside-cert-validity_fail",
        1,
        "its certificate does not count: it had ended when it signed",
    ),
    ("invalid-checkpoint-signature_fail", 1, "No valid Rekor signature found on checkpoint"),
    ("invalid-ct-key_fail", 1, "invalid signed certificate timestamp"),
    ("invalid-inclusion-proof_fail", 1, "no checkpoint"),
    ("rekor2-checkpoint-missing-log-signature_fail", 1, "no signatures found"),
    ("rekor2-checkpoint-missing-root-hash_fail", 1, "missing root hash"),
    ("rekor2-checkpoint-missing-size_fail", 1, "invalid tree size"),
    (
        "rekor2-timestamp-outside-trust-root-tsa-validity_fail",
        1,
        "outside the validity period of the authority",
    ),
    ("rekor2-timestamp-outside-tsa-cert-validity_fail", 1, "nothing trusted says when it was signed"),
    ("rekor2-timestamp-payload-mismatch_fail", 1, "Timestamp message hash mismatch"),
    ("rekor2-timestamp-with-incorrect-time_fail", 1, "invalid base64"),
    ("trust-root-tlog-missing-validity-start_fail", 2, "missing field `start`"),
    (
        "wrong-hashedrekord-cert-and-sig_fail",
        1,
        "certificate in bundle does not match certificate in Rekor entry",
    ),
    ("wrong-hashedrekord-entry_fail", 1, "its signature does not verify"),
];

fn open(case: &Case, input: &str) -> Output {
    let bundle = path(&case.bundle);
    portcullis(&[&["open", bundle, input], &case.flags()[..]].concat())
}

#[test]
fn the_conformance_suite_with_files_and_with_digests() {
    let Some(cases) = conformance() else { return };
    assert!(cases.len() >= 35, "{}", cases.len());
    let mut reasons: BTreeMap<&str, (i32, &str)> = REASONS.iter().map(|(n, c, w)| (*n, (*c, *w))).collect();
    reasons.insert("wrong-material_fail", (1, "the bundle is authentic, and applies to another artifact"));
    for case in &cases {
        for input in [path(&case.artifact).to_owned(), digest_of(&case.artifact)] {
            let output = open(case, &input);
            if !case.is_rejected {
                assert_eq!(code(&output), 0, "{}: {}", case.name, stderr(&output));
                continue;
            }
            let (exit, words) =
                reasons.get(case.name.as_str()).unwrap_or_else(|| panic!("no reason for {}", case.name));
            assert_eq!(code(&output), *exit, "{}: {}{}", case.name, stdout(&output), stderr(&output));
            assert!(
                stderr(&output).contains(words),
                "{}: wanted {words}, found {}",
                case.name,
                stderr(&output)
            );
        }
    }
}

#[test]
fn every_release_of_cpython_and_none_of_its_mixtures() {
    let Some(cases) = releases() else { return };
    assert_eq!(cases.len(), 170);
    let words = |case: &Case, input: &str, wanted: &str| {
        let output = open(case, input);
        assert_eq!(code(&output), 1, "{}: {}", case.name, stderr(&output));
        assert!(
            stderr(&output).contains(wanted),
            "{}: wanted {wanted}, found {}",
            case.name,
            stderr(&output)
        );
    };
    for (number, case) in cases.iter().enumerate() {
        let output = open(case, &case.digest);
        assert_eq!(code(&output), 0, "{}: {}", case.name, stderr(&output));
        // four processes more for each: a fifth of them, but for the soak
        if number % 5 != 0 && !is_soak() {
            continue;
        }
        let other = &cases[(number + 1) % cases.len()];
        words(case, &other.digest, "applies to another artifact");
        let identity = Case { identity: "mallory@python.org".to_owned(), ..case.clone() };
        words(&identity, &case.digest, "wanted    identity mallory@python.org");
        let issuer = Case { issuer: "https://accounts.evil.example".to_owned(), ..case.clone() };
        words(&issuer, &case.digest, "wanted    issuer https://accounts.evil.example");
        let bundle = Case { bundle: other.bundle.clone(), ..case.clone() };
        let output = open(&bundle, &case.digest);
        assert_eq!(code(&output), 1, "{}: {}", case.name, stderr(&output));
    }
}

#[test]
fn attestations_of_other_projects_tests() {
    let Some(cases) = rows() else { return };
    assert!(cases.len() >= 9, "{}", cases.len());
    for case in &cases {
        let output = open(case, path(&case.artifact));
        assert_eq!(code(&output), i32::from(case.is_rejected), "{}: {}", case.name, stderr(&output));
        if case.is_rejected {
            assert!(stderr(&output).contains("is not authentic"), "{}: {}", case.name, stderr(&output));
            continue;
        }
        let stranger = Case { identity: format!("x{}", case.identity), ..case.clone() };
        let output = open(&stranger, path(&case.artifact));
        assert!(code(&output) == 1 && stderr(&output).contains("another certificate"), "{}", stderr(&output));
    }
}

/// The beacon's bundle, and what it says.
fn beacon() -> Option<(String, String)> {
    let dir = data("sigstore-conformance")?.join("bundle-verify");
    Some((
        path(&dir.join("happy-path-v0.2/bundle.sigstore.json")).to_owned(),
        path(&dir.join("a.txt")).to_owned(),
    ))
}

#[test]
fn a_pattern_must_match_all_of_an_identity() {
    let Some((bundle, input)) = beacon() else { return };
    let run = |identity: &str, issuer: &str| {
        let flags = ["--certificate-identity-regexp", identity, "--certificate-oidc-issuer-regexp", issuer];
        portcullis(&[&["open", &bundle, &input], &flags[..]].concat())
    };
    for (identity, exit, words) in [
        ("https://github.com/sigstore-conformance/.*", 0, ""),
        ("(?i)HTTPS://github.com/SIGSTORE-conformance/.+", 0, ""),
        // each of these is a match for cosign, which looks for one anywhere
        ("https://github.com/sigstore-conformance/", 1, "wanted    identity that all of it matches"),
        ("sigstore-conformance/.*", 1, "wanted    identity that all of it matches"),
        ("^https://github.com/sigstore", 1, "found     https://github.com/sigstore-conformance/"),
        ("(?m)^https:.*beacon$", 1, "wanted    identity that all of it matches"),
        ("x|https:", 1, "wanted    identity that all of it matches"),
        ("a)|(https:.*", 2, "is no pattern"),
        ("(?x) https.* # ", 2, "is no pattern"),
        ("(", 2, "is no pattern"),
    ] {
        let output = run(identity, "https://token.actions.*");
        assert_eq!(code(&output), exit, "{identity} {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{identity}: {}", stderr(&output));
    }
    let output = run(".*", "https://token.actions");
    assert!(
        code(&output) == 1 && stderr(&output).contains("wanted    issuer that all"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn what_the_certificate_says_of_the_workflow_is_compared_and_told() {
    let Some((bundle, input)) = beacon() else { return };
    let certificate = ["--certificate-identity", BEACON, "--certificate-oidc-issuer", GITHUB];
    let run = |more: &[&str]| {
        portcullis(&[&["--format", "json", "open", &bundle, &input], &certificate[..], more].concat())
    };
    let output = run(&[]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let json = attest::json::parse(stdout(&output).as_bytes()).unwrap();
    let found = json.as_object().unwrap().object("certificate").unwrap().clone();
    assert_eq!(found.string("identity"), Ok(BEACON));
    let repository = found.string("source").unwrap().strip_prefix("https://github.com/").unwrap().to_owned();
    let of = |name: &str| found.string(name).unwrap().to_owned();
    for (flag, right) in [
        ("trigger", of("trigger")),
        ("sha", of("commit")),
        ("repository", repository),
        ("ref", of("ref")),
        ("name", "Extremely dangerous OIDC beacon".to_owned()),
    ] {
        let flag = format!("--certificate-github-workflow-{flag}");
        let output = run(&[&flag, &right]);
        assert_eq!(code(&output), 0, "{flag} {right}: {}", stderr(&output));
        let output = run(&[&flag, &format!("{right}x")]);
        assert_eq!(code(&output), 1, "{flag}: {}", stderr(&output));
        assert!(
            stdout(&output).contains(&right) || stderr(&output).contains(&right),
            "{flag}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn flags_that_ask_for_less_are_accepted_where_they_make_sense_and_are_seen() {
    let Some((bundle, input)) = beacon() else { return };
    let Some(cases) = conformance() else { return };
    let certificate = ["--certificate-identity", BEACON, "--certificate-oidc-issuer", GITHUB];
    for (more, words) in [
        (&certificate[..2], "which issuer"),
        (&certificate[2..], "which identity"),
        (&[][..], "nothing says whom to trust"),
        (
            &[&certificate[..], &["--insecure-ignore-tlog"]].concat(),
            "--insecure-ignore-tlog cannot be used here",
        ),
        (
            &[&certificate[..], &["--private-infrastructure"]].concat(),
            "--insecure-ignore-tlog cannot be used here",
        ),
        (
            &[&certificate[..], &["--insecure-ignore-sct"]].concat(),
            "--insecure-ignore-sct cannot be used here",
        ),
        (&[&certificate[..], &["--instance", "publicgood"]].concat(), "none called `publicgood`"),
    ] {
        let output = portcullis(&[&["open", &bundle, &input], more].concat());
        assert!(code(&output) == 2 && stderr(&output).contains(words), "{more:?} {}", stderr(&output));
    }
    let elsewhere =
        portcullis(&[&["open", &bundle, &input, "--instance", "staging"], &certificate[..]].concat());
    assert_eq!(code(&elsewhere), 1, "{}", stderr(&elsewhere));
    // a key's signature without its log entry
    let managed = cases.iter().find(|c| c.name == "managed-key-and-trusted-root").unwrap();
    let bare = tempfile::tempdir().unwrap();
    let file = bare.path().join("bundle.json");
    let text = fs::read(&managed.bundle).unwrap();
    let Ok(Json::Object(mut object)) = attest::json::parse(&text) else { panic!() };
    let material = Object::new().with("publicKey", Object::new().with("hint", "x"));
    object.set("verificationMaterial", material);
    fs::write(&file, object.to_string()).unwrap();
    let case = Case { bundle: file, ..managed.clone() };
    let output = open(&case, path(&case.artifact));
    assert!(
        code(&output) == 1 && stderr(&output).contains("no log of the Sigstore instance"),
        "{}",
        stderr(&output)
    );
    let flags = [&case.flags()[..], &["--insecure-ignore-tlog"]].concat();
    let output = portcullis(&[&["open", path(&case.bundle), path(&case.artifact)], &flags[..]].concat());
    assert!(code(&output) == 0 && stdout(&output).contains("NOT ASKED a log entry"), "{}", stderr(&output));
}

/// The beacon's bundle in the pieces that cosign 2 wrote, and with each piece of another.
#[test]
fn evidence_in_pieces_is_what_it_is_in_one_piece() {
    let Some((bundle, input)) = beacon() else { return };
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        fs::write(dir.path().join(name), text).unwrap();
        path(&dir.path().join(name)).to_owned()
    };
    let pieces = sigstore::pieces(&fs::read(bundle).unwrap());
    let legacy = put("legacy.json", &pieces.legacy());
    let bare = put("bare.json", &pieces.without_certificate());
    let rekor = put("rekor.json", &pieces.rekor.to_string());
    let (certificate, signature) = (put("cert.pem", &pieces.certificate), put("sig", &pieces.signature));
    let who = ["--certificate-identity", BEACON, "--certificate-oidc-issuer", GITHUB];
    let run = |args: &[&str]| portcullis(&[&["open"], args, &who[..]].concat());
    for args in [
        &[legacy.as_str(), &input][..],
        &["--bundle", &legacy, &input],
        &["--bundle", &legacy, "--new-bundle-format=false", &input],
        &["--bundle", &bare, "--certificate", &certificate, &input],
        &["--bundle", &rekor, "--certificate", &certificate, "--signature", &signature, &input],
        &["--bundle", &legacy, &digest_of(Path::new(&input))],
    ] {
        let output = run(args);
        assert_eq!(code(&output), 0, "{args:?} {}", stderr(&output));
    }
    let other = put("other.txt", "something else");
    let mut wrong = pieces.clone();
    wrong.signature = wrong.signature.replacen("ME", "MD", 1);
    let forged = put("forged.json", &wrong.legacy());
    for (args, words) in [
        (&["--bundle", legacy.as_str(), other.as_str()][..], "does not"),
        (&["--bundle", &forged, &input], "is not authentic"),
        (&["--bundle", &bare, &input], "is not signed under a certificate"),
        (&["--certificate", &certificate, "--signature", &signature, &input], "is not authentic"),
    ] {
        let output = run(args);
        assert_eq!(code(&output), 1, "{args:?} {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{args:?} {}", stderr(&output));
    }
}

/// An instance of one's own: an authority and a log, and no certificate log.
#[test]
fn an_instance_of_ones_own_certifies_under_its_own_trusted_root_alone() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sigstore/private");
    let case = Case {
        name: "private".to_owned(),
        bundle: dir.join("bundle.json"),
        artifact: dir.join("artifact"),
        digest: digest_of(&dir.join("artifact")),
        identity: "https://git.acme.example/acme/shop/.github/workflows/release.yml@refs/heads/main"
            .to_owned(),
        issuer: "https://git.acme.example".to_owned(),
        key: None,
        trusted_root: Some(dir.join("trusted_root.json")),
        is_rejected: false,
    };
    for input in [path(&case.artifact), &case.digest] {
        let output = open(&case, input);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert!(stdout(&output).contains("seen at 2026-11-20T09:05:00Z"), "{}", stdout(&output));
    }
    let run = |case: &Case, more: &[&str]| {
        portcullis(&[&["open", path(&case.bundle), path(&case.artifact)], &case.flags()[..], more].concat())
    };
    let output = run(&case, &["--insecure-ignore-sct"]);
    assert!(
        code(&output) == 0 && stdout(&output).contains("NOT ASKED a certificate log"),
        "{}",
        stderr(&output)
    );
    assert_eq!(code(&run(&case, &["--insecure-ignore-tlog"])), 2);
    let public = Case { trusted_root: None, ..case.clone() };
    let output = run(&public, &[]);
    assert!(code(&output) == 1 && stderr(&output).contains("is not authentic"), "{}", stderr(&output));
    // cosign has to be told what we read from the trusted root
    if let Some(cosign) = tools::part("cosign", tools::cache("tools/cosign")) {
        let args =
            [&["verify-blob", "--insecure-ignore-sct", "--bundle", path(&case.bundle)], &case.flags()[..]]
                .concat();
        let judged = std::process::Command::new(cosign).args(args).arg(&case.artifact).output().unwrap();
        assert!(judged.status.success(), "{}", stderr(&judged));
    }
}

#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn is_soak() -> bool {
    std::env::var_os("PORTCULLIS_SOAK").is_some()
}

/// Every byte of good bundles, one at a time: in CI a sample, with PORTCULLIS_SOAK all of them. What still opens says
/// the same about the same.
#[test]
fn no_changed_byte_makes_another_truth() {
    let Some(cases) = conformance() else { return };
    let step = if is_soak() { 1 } else { 97 };
    let mut tried = 0;
    for case in cases.iter().filter(|c| !c.is_rejected && c.key.is_none() && c.trusted_root.is_none()) {
        let root = TrustRoot::parse(
            "test",
            &format!(
                "version: 1\nsigstore: {{ public-good: {{ trusted-root: embedded }} }}\nsigners:\n  it:\n    \
             certificate-identities: [{{ identity: \"{}\", issuer: \"{}\" }}]\n",
                case.identity, case.issuer
            ),
        )
        .unwrap();
        let now = "2026-11-23T00:00:00Z".parse().unwrap();
        let good = fs::read(&case.bundle).unwrap();
        let judge = |bytes: &[u8]| {
            let opened = root.open(&Envelope::parse(bytes).ok()?, now).ok()?;
            Some((opened.statement().clone(), opened.certificate()?.clone()))
        };
        let truth = judge(&good).unwrap_or_else(|| panic!("{}", case.name));
        let other = Artifact::new("other", DigestSet::from(Digest::sha256(b"other")));
        for place in (0..good.len()).skip(case.name.len() % step).step_by(step) {
            for flip in [1, 0x20] {
                let mut bad = good.clone();
                bad[place] ^= flip;
                tried += 1;
                if let Some(found) = judge(&bad) {
                    assert!(found == truth, "{} at byte {place} says something else", case.name);
                }
                let opened = Envelope::parse(&bad).ok().and_then(|e| root.open(&e, now).ok());
                assert!(opened.is_none_or(|a| a.about(&other).is_err()), "{} at byte {place}", case.name);
            }
        }
    }
    eprintln!("{tried} changed bundles");
    assert!(tried > 500, "{tried}");
}

/// The same cases, judged by another implementation: how often it agrees, and that no disagreement is new.
#[test]
fn others_judge_the_same_cases() {
    let Some(cases) = conformance() else { return };
    // each release is three processes more: a fifth of them, but for the soak
    let releases = releases().unwrap_or_default().into_iter().step_by(if is_soak() { 1 } else { 5 });
    let all: Vec<Case> = cases.into_iter().chain(releases).chain(rows().unwrap_or_default()).collect();
    for (name, judge) in sigstore::others() {
        let (mut same, mut apart) = (0, Vec::new());
        for case in all.iter().filter(|case| case.is_for(name)) {
            let theirs = judge(case);
            let input = if case.artifact.as_os_str().is_empty() {
                case.digest.clone()
            } else {
                path(&case.artifact).to_owned()
            };
            let ours = code(&open(case, &input)) == 0;
            if ours == theirs { same += 1 } else { apart.push(case.name.clone()) }
        }
        eprintln!("{name}: {same} of {} cases alike", same + apart.len());
        assert!(apart.is_empty(), "{name}: {apart:?}");
    }
}

/// `docs/sigstore.md`: its commands, in a reader's folder.
#[test]
fn the_page_says_what_works() {
    let dir = tempfile::tempdir().unwrap();
    let private = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sigstore/private");
    for (from, to) in [
        ("artifact", "shop"),
        ("bundle.json", "shop.sigstore.json"),
        ("trusted_root.json", "trusted_root.json"),
    ] {
        fs::copy(private.join(from), dir.path().join(to)).unwrap();
    }
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/sigstore.md")).unwrap();
    let yaml = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    fs::write(dir.path().join("trust-root.yaml"), format!("version: 1\n{yaml}")).unwrap();
    let mut commands: Vec<String> = Vec::new();
    for line in page.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push(command.trim_end_matches('\\').to_owned());
        } else if let Some(more) = line.strip_prefix("> ") {
            commands.last_mut().unwrap().push_str(more.trim_end_matches('\\'));
        }
    }
    assert_eq!(commands.len(), 3);
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        let output = tools::portcullis_in(dir.path(), &words);
        assert_eq!(code(&output), 0, "{command}\n{}", stderr(&output));
    }
}
