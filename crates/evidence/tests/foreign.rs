//! Real attestations of several producers: what is read of them, and that nothing of them can be changed or claimed.

#[path = "../../attest/tests/data/mod.rs"]
mod data;
mod layout;

use attest::{Attestation, Envelope, OpenError, Predicate, Provenance, TrustRoot};
use evidence::unpack;
use jiff::Timestamp;
use layout::from_layout;
use policy::{Beside, Book, Case, DeploymentRequest, Frame, Guardrails, Outcome, SourceFile, Submitted};

const GITHUB: &str = "https://token.actions.githubusercontent.com";

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

/// A trust root in which every workflow of GitHub is one builder's.
fn everybody() -> TrustRoot {
    let text = format!(
        "version: 1\nsigstore: {{ public-good: {{ trusted-root: embedded }} }}\nbuilders:\n  any:\n    ids: [\"https://github.com/**\"]\n    certificate-identities:\n      - {{ issuer: \"{GITHUB}\", identity-matching: \"https://github.com/**\" }}\n"
    );
    TrustRoot::parse("trust-root.yaml", &text).unwrap_or_else(|e| panic!("{e:?}"))
}

fn open(bytes: &[u8]) -> Result<Attestation, OpenError> {
    everybody().open(&Envelope::parse(bytes).unwrap(), now())
}

/// The provenance of a file of the suite, opened.
fn opened(file: &str) -> Option<(Attestation, Provenance)> {
    let path = data::data("slsa-verifier")?.join(file);
    let pieces = if path.is_dir() {
        from_layout(&path).unwrap()
    } else {
        unpack(&std::fs::read(&path).unwrap(), file).unwrap()
    };
    for piece in pieces {
        let Ok(attestation) = open(&piece.bytes) else { continue };
        if let Predicate::Provenance(provenance) = &attestation.statement().predicate {
            let provenance = (**provenance).clone();
            return Some((attestation, provenance));
        }
    }
    panic!("nothing opens in {file}");
}

const FILES: [&str; 8] = [
    "bcr/MODULE.bazel.intoto.jsonl",
    "gha_go/v2.1.0/binary-linux-amd64-push-v14.2.intoto.jsonl",
    "gha_delegator/v2.0.0/binary-linux-amd64-push-v14.build.slsa",
    "gha_maven/v2.1.0/binary-linux-amd64-workflow_dispatch.build.slsa",
    "gha_container-based/v1.7.0/binary-linux-amd64-workflow_dispatch.intoto.sigstore",
    "gha_generic_container/v1.4.0/container_workflow_dispatch",
    "npm/gha/supreme-googles-cli-v02-tag.tgz.json",
    "npm/gha/provenance-npm-test-cli-v1-prega.tgz.json",
];

#[test]
fn every_producer_says_where_it_came_from_what_was_built_and_what_began_it() {
    for file in FILES {
        let Some((attestation, provenance)) = opened(file) else { return };
        let certificate = attestation.certificate().unwrap();
        let source = provenance.source.as_ref().unwrap_or_else(|| panic!("{file}: no source"));
        assert_eq!(Some(source.repository.as_str()), certificate.source_repository(), "{file}");
        assert_eq!(source.reference.as_deref(), certificate.source_ref(), "{file}");
        assert_eq!(source.commit().map(|c| c.hex()).as_deref(), certificate.source_digest(), "{file}");
        assert_eq!(provenance.trigger.as_deref(), certificate.trigger(), "{file}");
        assert!(
            provenance.target.as_deref().is_some_and(|t| t.starts_with(".github/")),
            "{file}: {:?}",
            provenance.target
        );
        assert_eq!(attestation.disagreements(), [], "{file}");
        for name in ["workflow", "source", "inputs", "vars", "configPath", "builderImage"] {
            assert!(provenance.parameters.get(name).is_none(), "{file}: {name} is not consumed");
        }
        let again =
            |d: &attest::provenance::Dependency| d.uri.starts_with(&format!("git+{}@", source.repository));
        assert!(!provenance.dependencies.iter().any(again), "{file}: the source is no dependency");
    }
}

/// A change of one claim, and what of the provenance then contradicts the certificate.
type Claim = (fn(&mut Provenance), &'static str);

#[test]
fn a_predicate_that_claims_something_else_than_its_certificate_is_seen() {
    let claims: [Claim; 7] = [
        (
            |p| p.builder_id = "https://github.com/evil/builder/.github/workflows/b.yml@refs/tags/v1".into(),
            "builder",
        ),
        (|p| p.source.as_mut().unwrap().repository.push('A'), "source repository"),
        (|p| p.source.as_mut().unwrap().reference = Some("refs/tags/v99".into()), "ref"),
        (|p| p.source.as_mut().unwrap().digests = commit(), "commit"),
        // a tree would borrow the reviews of that tree, alone or beside the true commit
        (|p| p.source.as_mut().unwrap().digests = tree().into(), "commit"),
        (
            |p| {
                let source = p.source.as_mut().unwrap();
                source.digests = source.digests.iter().chain([tree()]).collect();
            },
            "commit",
        ),
        (|p| p.trigger = Some("release_by_hand".into()), "trigger"),
    ];
    for file in FILES {
        let Some((attestation, provenance)) = opened(file) else { return };
        let delegated = file.contains("delegator") || file.contains("maven");
        for (change, what) in claims.iter().filter(|(_, what)| !(delegated && *what == "builder")) {
            let mut claimed = provenance.clone();
            change(&mut claimed);
            let found = claimed.disagreements(attestation.certificate().unwrap());
            let found: Vec<&str> = found.iter().map(|d| d.what).collect();
            assert_eq!(found, [*what], "{file}");
        }
        // only a delegator may sign what says that it is delegated
        let mut claimed = provenance.clone();
        claimed.build_type =
            "https://github.com/slsa-framework/slsa-github-generator/delegator-generic@v0".into();
        claimed.builder_id = "https://github.com/acme/trw/.github/workflows/b.yml@refs/tags/v1".into();
        assert_eq!(claimed.disagreements(attestation.certificate().unwrap()).is_empty(), delegated, "{file}");
    }
}

#[test]
fn a_predicate_that_claims_another_workflow_than_its_certificate_is_seen() {
    let mut compared = 0;
    for file in FILES {
        let Some((attestation, mut provenance)) = opened(file) else { return };
        let certificate = attestation.certificate().unwrap();
        if certificate.workflow().is_none() || file.contains("container-based") {
            continue;
        }
        provenance.target = Some(".github/workflows/reviewed.yml".to_owned());
        let found = provenance.disagreements(certificate);
        assert_eq!(found.iter().map(|d| d.what).collect::<Vec<_>>(), ["workflow"], "{file}");
        compared += 1;
    }
    assert!(compared >= 4, "{compared}");
}

#[test]
fn which_branch_a_tag_was_on_only_the_generator_may_say() {
    for (file, is_generator) in [(FILES[1], true), (FILES[0], false), (FILES[7], false)] {
        let Some((attestation, mut provenance)) = opened(file) else { return };
        // what an own workflow can write: the generator's words, under its own certificate
        let source = provenance.source.as_mut().unwrap();
        source.reference = Some("refs/tags/v9".to_owned());
        source.tagged_branch = Some("refs/heads/main".to_owned());
        let source = provenance.under(attestation.certificate().unwrap()).source.unwrap();
        assert_eq!(source.branch(), is_generator.then_some("main"), "{file}");
    }
}

fn tree() -> attest::Digest {
    attest::Digest::from_hex(attest::Algorithm::GitTree, &"b".repeat(40)).unwrap()
}

fn commit() -> attest::DigestSet {
    attest::Digest::from_hex(attest::Algorithm::GitCommit, &"a".repeat(40)).unwrap().into()
}

#[test]
fn an_old_promise_of_rekor_holds_for_its_own_entry_and_nothing_else() {
    let Some(dir) = data::data("slsa-verifier") else { return };
    let layout = dir.join("gha_generic_container/v1.4.0/container_workflow_dispatch");
    let bytes = from_layout(&layout).unwrap().remove(0).bytes;
    let attestation = open(&bytes).unwrap();
    assert_eq!(attestation.time().unwrap().to_string(), "2023-01-11T16:52:57Z");
    assert_eq!(attestation.logged()[0].log, "public-good");
    let text = String::from_utf8(bytes).unwrap();
    let field = |key: &str| {
        let from = text.find(&format!("\"{key}\":\"")).unwrap() + key.len() + 4;
        text[from..].split('"').next().unwrap().to_owned()
    };
    let (time, index, promise) = (field("integratedTime"), field("logIndex"), field("signedEntryTimestamp"));
    let later = (time.parse::<i64>().unwrap() + 1).to_string();
    let next = (index.parse::<i64>().unwrap() + 1).to_string();
    let flipped = format!("{}{}", &promise[..20], promise[20..].replacen('A', "B", 1));
    assert_ne!(flipped, promise);
    for (what, from, to) in [("time", time, later), ("index", index, next), ("promise", promise, flipped)] {
        let changed = text.replacen(&format!("\"{from}\""), &format!("\"{to}\""), 1);
        assert_ne!(changed, text, "{what}");
        match open(changed.as_bytes()) {
            Err(OpenError::Sigstore(e)) => assert!(e.to_string().contains("promise"), "{what}: {e}"),
            other => panic!("{what}: {other:?}"),
        }
    }
    // an entry about another envelope, or about another certificate, is none about this one
    let other =
        from_layout(&dir.join("gha_generic_container/v1.6.0/container_workflow_dispatch")).unwrap().remove(0);
    let other = String::from_utf8(other.bytes).unwrap();
    let entry = |text: &str| {
        let from = text.find("\"tlogEntries\":").unwrap();
        let to = text.find(",\"dsseEnvelope\":").unwrap();
        text[from..to].to_owned()
    };
    let swapped = text.replacen(&entry(&text), &entry(&other), 1);
    let error = Envelope::parse(swapped.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("the hash of this bundle's envelope"), "{error}");
    let certificate = |text: &str| {
        let from = text.find("\"rawBytes\":\"").unwrap();
        text[from..].split_inclusive('"').take(4).collect::<String>()
    };
    let swapped = text.replacen(&certificate(&text), &certificate(&other), 1);
    let error = Envelope::parse(swapped.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("this bundle's certificate"), "{error}");
}

/// What the engine says of a row of the real attestations, under the identity and issuer that are given.
fn judge(row: &attest::Object, identity: &str, issuer: &str, artifact: &[u8]) -> Vec<String> {
    let dir = data::data("real-attestations").unwrap();
    let data = dir.parent().unwrap();
    let npm = std::fs::read_to_string(data.join("trusted-roots/npm-publish-key.pub")).unwrap();
    let npm: String = npm.lines().map(|line| format!("          {line}\n")).collect();
    let instance = row.string("trusted_root").unwrap().rsplit('/').next().unwrap().trim_end_matches(".json");
    let root = format!(
        "version: 1\nsigstore: {{ {instance}: {{ trusted-root: embedded }} }}\nsigners:\n  expected:\n    certificate-identities:\n      - {{ issuer: \"{issuer}\", identity: \"{identity}\" }}\nreleasers:\n  npmjs:\n    keys:\n      - key: |\n{npm}"
    );
    let root = TrustRoot::parse("trust-root.yaml", &root).unwrap_or_else(|e| panic!("{e:?}\n{root}"));
    let text = "environment: prod/real\nartifact: registry.example/real\nrequire:\n  signed-by: [expected]\n";
    let file = SourceFile { name: "real.yaml".to_owned(), text: text.to_owned() };
    let book = Book::load(vec![file], &Guardrails::none()).unwrap();
    let bundle = data.join(row.string("bundle").unwrap());
    let pieces = unpack(&std::fs::read(&bundle).unwrap(), "bundle").unwrap();
    let mut hasher = attest::digest::Hasher::new(&[attest::Algorithm::Sha512]);
    hasher.update(artifact);
    let artifact = attest::Artifact::new("registry.example/real", hasher.finish());
    let mut request = DeploymentRequest::new(artifact, "prod/real", "test");
    request.envelopes = pieces.into_iter().map(|p| Submitted { name: p.name, bytes: p.bytes }).collect();
    let frame = Frame {
        at: now(),
        last_seen: None,
        book: book.digest().clone(),
        trust_root: root.digest().clone(),
        trust_root_version: 1,
        beside: Beside::default(),
        engine: "test".to_owned(),
    };
    let verdict = policy::evaluate(&Case::open(request, frame), &book, &root);
    assert!(!matches!(verdict.outcome(), Outcome::CannotDecide(_)), "{:?}", verdict.outcome());
    verdict.findings().iter().map(|f| f.rule.to_string()).collect()
}

#[test]
fn real_attestations_are_decided_as_they_should_be() {
    let Some(dir) = data::data("real-attestations") else { return };
    let rows = data::json(&dir.join("rows.json"));
    for row in rows.as_array().unwrap() {
        let row = row.as_object().unwrap();
        let text = |key: &str| row.string(key).unwrap();
        let artifact = std::fs::read(dir.parent().unwrap().join(text("artifact"))).unwrap();
        let found = judge(row, text("identity"), text("issuer"), &artifact);
        match text("expect") {
            "accept" => assert_eq!(found, Vec::<String>::new(), "{}", text("name")),
            _ => {
                assert_eq!(found.first().map(String::as_str), Some("evidence-authentic"), "{}", text("name"))
            }
        }
        let other = judge(row, &format!("{}x", text("identity")), text("issuer"), &artifact);
        assert_eq!(other.first().map(String::as_str), Some("evidence-authentic"), "{}", text("name"));
        let other = judge(row, text("identity"), "https://issuer.example", &artifact);
        assert_eq!(other.first().map(String::as_str), Some("evidence-authentic"), "{}", text("name"));
        if text("expect") == "accept" {
            let other = judge(row, text("identity"), text("issuer"), b"another file");
            assert!(other.iter().any(|rule| rule == "evidence-applies"), "{}: {other:?}", text("name"));
        }
    }
}

#[test]
fn a_publish_attestation_of_pypi_says_what_its_certificate_says() {
    let Some(dir) = data::data("real-attestations") else { return };
    let root = "version: 1\nsigstore: { public-good: { trusted-root: embedded } }\nbuilders:\n  lab:\n    ids: [\"https://gitlab.com/facutuesca/**\"]\n    certificate-identities:\n      - { issuer: \"https://gitlab.com\", identity-matching: \"https://gitlab.com/facutuesca/**\" }\n";
    let root = TrustRoot::parse("trust-root.yaml", root).unwrap();
    let bytes = std::fs::read(dir.join("gitlab_oidc_project-0.0.3.tar.gz.publish.attestation")).unwrap();
    let attestation = root.open(&Envelope::parse(&bytes).unwrap(), now()).unwrap();
    let Predicate::Provenance(provenance) = &attestation.statement().predicate else {
        panic!("no provenance")
    };
    let source = provenance.source.as_ref().unwrap();
    assert_eq!(source.repository, "https://gitlab.com/facutuesca/gitlab-oidc-project");
    assert_eq!(source.reference.as_deref(), Some("refs/heads/main"));
    assert_eq!(provenance.target.as_deref(), Some(".gitlab-ci.yml"));
    let digests = attestation.statement().subjects[0].digests.clone();
    let packages = attestation.statement().packages(&attest::Artifact::new("x", digests));
    assert_eq!(packages, ["pkg:pypi/gitlab-oidc-project@0.0.3"]);
    assert!(
        attestation.disagreements().is_empty()
            && attestation.may_be_said_by(root.principal("lab").unwrap().builder.as_ref().unwrap())
    );
}
