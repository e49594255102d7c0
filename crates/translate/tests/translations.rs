//! Drafts load as what they are, refuse until they are finished, and name what they do not say.

#[path = "../../advisory/tests/data/mod.rs"]
mod data;

use attest::dsse::Signature;
use attest::secret::{SecretKey, Signer};
use attest::time::parse_time;
use attest::{Artifact, Digest, Role, Scheme, TrustRoot};
use policy::{Book, Guardrails, Mode, Policy, SourceFile};
use translate::binauthz::{Attestor, Occurrence, translate};
use translate::layout::{Layout, Metadata};
use translate::{Draft, Effect};

fn policies(draft: &Draft) -> Vec<Policy> {
    let parse = |(name, text): &(String, String)| {
        Policy::parse(name, text).unwrap_or_else(|e| panic!("{e:?}\n{text}"))
    };
    draft.policies.iter().map(parse).collect()
}

fn root(draft: &Draft) -> TrustRoot {
    TrustRoot::parse("trust-root.yaml", &draft.trust_root)
        .unwrap_or_else(|e| panic!("{e:?}\n{}", draft.trust_root))
}

fn asked(policy: &Policy) -> Vec<&'static str> {
    policy.require().iter().map(|r| r.rule.name).collect()
}

/// The effect of what is named so at a place that ends so.
fn effect(draft: &Draft, place: &str, what: &str) -> Effect {
    let found = draft.untranslated.iter().find(|u| u.place.ends_with(place) && u.what == what);
    found.unwrap_or_else(|| panic!("{place} {what}: {:#?}", draft.untranslated)).effect
}

fn layout(name: &str) -> Option<Draft> {
    let bytes = std::fs::read(data::data("in-toto")?.join(name)).unwrap();
    let metadata = Metadata::parse(&bytes).unwrap();
    Some(translate::layout::translate(&Layout::read(metadata.unproven()).unwrap()))
}

#[test]
fn a_layout_becomes_a_policy_a_fragment_and_a_list_of_what_is_gone() {
    let Some(draft) = layout("demo.layout") else { return };
    let policies = policies(&draft);
    assert_eq!(asked(&policies[0]), ["built-by", "command", "parameters"]);
    assert!(draft.policies[0].1.contains(r#"command: ["tar", "zcvf", "foo.tar.gz", "foo.py"]"#));
    let root = root(&draft);
    let builder = &root.names_with(Role::Builder);
    assert_eq!(builder.len(), 1);
    let principal = root.principal(builder[0]).unwrap();
    assert_eq!(principal.keys[0].until, parse_time("2030-11-18T16:06:36Z"));
    assert!(principal.builder.as_ref().unwrap().ids[0].starts_with("https://builder.invalid/"));
    assert_eq!(effect(&draft, "step package, expected_materials[1]", "DISALLOW *"), Effect::Looser);
    assert_eq!(effect(&draft, "inspection untar", "run: tar xfz foo.tar.gz"), Effect::Looser);
    assert_eq!(effect(&draft, "step write-code", "cert_constraints"), Effect::Stricter);
    assert_eq!(effect(&draft, "step write-code", "1 of 1 functionaries"), Effect::Looser);
    // every line of the list stands in the policy
    for left in &draft.untranslated {
        assert!(draft.policies[0].1.contains(&format!("#   {left}\n")), "{left}");
    }
}

#[test]
fn a_step_that_leaves_nothing_is_a_test_and_a_threshold_a_quorum() {
    let key = |letter: &str, key: &SecretKey| {
        let public = attest::digest::to_hex(key.public().raw());
        format!(r#""{letter}":{{"keytype":"ed25519","scheme":"ed25519","keyval":{{"public":"{public}"}}}}"#)
    };
    let keys: Vec<SecretKey> = (0..3).map(|_| SecretKey::generate(Scheme::Ed25519).unwrap()).collect();
    let text = format!(
        r#"{{"_type":"layout","expires":"2030-01-01T00:00:00Z","keys":{{{},{},{}}},"inspect":[],"steps":[
        {{"_type":"step","name":"unit: \"quoted\"","pubkeys":["a"],"threshold":1,"expected_command":["make","test"],
          "expected_materials":[],"expected_products":[["DISALLOW","*"]]}},
        {{"_type":"step","name":"sign","pubkeys":["b","c"],"threshold":2,"expected_command":[],"expected_materials":[],"expected_products":[]}}]}}"#,
        key("a", &keys[0]),
        key("b", &keys[1]),
        key("c", &keys[2])
    );
    let attest::Json::Object(object) = attest::json::parse(text.as_bytes()).unwrap() else { panic!() };
    let draft = translate::layout::translate(&Layout::read(&object).unwrap());
    assert_eq!(asked(&policies(&draft)[0]), ["signed-by", "tests"]);
    assert!(draft.policies[0].1.contains("at-least: 2"), "{}", draft.policies[0].1);
    let root = root(&draft);
    assert_eq!((root.names_with(Role::Tester).len(), root.names_with(Role::Signer).len()), (1, 2));
    assert_eq!(effect(&draft, "quoted\"", "expected_command"), Effect::Looser);
}

const POLICY: &str = "\
name: projects/shop/policy
globalPolicyEvaluationMode: ENABLE
updateTime: '2026-01-01T00:00:00Z'
admissionWhitelistPatterns:
- namePattern: gcr.io/google_containers/*
clusterAdmissionRules:
  us-central1-a.prod:
    evaluationMode: REQUIRE_ATTESTATION
    enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG
    requireAttestationsBy:
    - projects/shop/attestors/ci
    - projects/shop/attestors/qa
kubernetesNamespaceAdmissionRules:
  trial:
    evaluationMode: REQUIRE_ATTESTATION
    enforcementMode: DRYRUN_AUDIT_LOG_ONLY
    requireAttestationsBy: [projects/shop/attestors/ci]
istioServiceIdentityAdmissionRules:
  spiffe://x/ns/a/sa/b: { evaluationMode: ALWAYS_ALLOW, enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG }
defaultAdmissionRule:
  evaluationMode: ALWAYS_DENY
  enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG
";

fn attestor(name: &str, key: &SecretKey) -> Attestor {
    let pem = attest::Json::from(key.public().to_pem());
    let text = format!(
        r#"{{"name":"projects/shop/attestors/{name}","userOwnedGrafeasNote":{{"noteReference":"projects/shop/notes/n",
        "publicKeys":[{{"id":"x","pkixPublicKey":{{"publicKeyPem":{pem},"signatureAlgorithm":"ECDSA_P256_SHA256"}}}},
        {{"id":"F00D","asciiArmoredPgpPublicKey":"-----BEGIN PGP PUBLIC KEY BLOCK-----"}}]}}}}"#
    );
    Attestor::parse("attestor.json", &text).unwrap_or_else(|e| panic!("{e:?}"))
}

#[test]
fn a_policy_of_a_project_becomes_a_book_that_loads() {
    let ci = SecretKey::generate(Scheme::P256).unwrap();
    let draft = translate("policy.yaml", POLICY, &[attestor("ci", &ci)]).unwrap();
    let files =
        draft.policies.iter().map(|(name, text)| SourceFile { name: name.clone(), text: text.clone() });
    let book = Book::load(files.collect(), &Guardrails::none()).unwrap_or_else(|e| panic!("{e:?}"));
    let prod = book.select("binauthz/cluster/us-central1-a.prod", "gcr.io/shop/web").unwrap();
    assert_eq!((asked(prod), prod.mode()), (vec!["signed-by"], Mode::Enforce));
    assert!(draft.policies.iter().any(|(_, text)| text.contains("at-least: 2")), "both must attest");
    assert_eq!(book.select("binauthz/namespace/trial", "gcr.io/web").unwrap().mode(), Mode::DryRun);
    assert!(book.select("binauthz/default", "gcr.io/shop/web").is_none(), "what no policy guards is refused");
    assert_eq!(root(&draft).names_with(Role::Signer), ["projects/shop/attestors/ci"]);
    for (place, what, wanted) in [
        ("admissionWhitelistPatterns", "gcr.io/google_containers/*", Effect::Stricter),
        ("globalPolicyEvaluationMode", "images of Google's own list", Effect::Stricter),
        ("istioServiceIdentityAdmissionRules", "spiffe://x/ns/a/sa/b", Effect::Stricter),
        ("us-central1-a.prod", "projects/shop/attestors/qa", Effect::Todo),
        ("us-central1-a.prod", "projects/shop/attestors/ci, key F00D", Effect::Stricter),
    ] {
        assert_eq!(effect(&draft, place, what), wanted);
    }
    assert!(draft.untranslated.iter().all(|u| u.effect != Effect::Looser), "{:#?}", draft.untranslated);
}

#[test]
fn json_is_read_as_yaml_is() {
    let text = r#"{"defaultAdmissionRule":{"evaluationMode":"REQUIRE_ATTESTATION","enforcementMode":"ENFORCED_BLOCK_AND_AUDIT_LOG","requireAttestationsBy":["projects/shop/attestors/ci"]}}"#;
    let draft = translate("policy.json", text, &[]).unwrap();
    assert_eq!(asked(&policies(&draft)[0]), ["signed-by"]);
    assert_eq!(draft.policies[0].0, "binauthz/default.yaml");
}

#[test]
fn what_is_not_understood_is_an_error_with_its_place() {
    for (from, to, why, line) in [
        ("clusterAdmissionRules:", "clusterAdmissionRule:", "unknown key `clusterAdmissionRule`", 6),
        ("ALWAYS_DENY", "ALWAYS_DENI", "wanted REQUIRE_ATTESTATION, ALWAYS_ALLOW or ALWAYS_DENY", 21),
        (
            "DRYRUN_AUDIT_LOG_ONLY",
            "DRYRUN",
            "wanted ENFORCED_BLOCK_AND_AUDIT_LOG or DRYRUN_AUDIT_LOG_ONLY",
            16,
        ),
        (
            "    requireAttestationsBy: [projects/shop/attestors/ci]\n",
            "",
            "needs the key `requireAttestationsBy`",
            15,
        ),
        ("defaultAdmissionRule:\n", "description:\n", "needs the key `defaultAdmissionRule`", 1),
    ] {
        assert!(POLICY.contains(from));
        let errors = translate("policy.yaml", &POLICY.replace(from, to), &[]).unwrap_err();
        let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(
            told.iter().any(|e| e.contains(why) && e.starts_with(&format!("policy.yaml:{line}:"))),
            "{why}: {told:?}"
        );
    }
}

#[test]
fn one_key_of_two_attestors_stays_one_name() {
    let key = SecretKey::generate(Scheme::P256).unwrap();
    let draft = translate("policy.yaml", POLICY, &[attestor("ci", &key), attestor("qa", &key)]).unwrap();
    assert_eq!(root(&draft).names_with(Role::Signer), ["projects/shop/attestors/ci"]);
    assert_eq!(
        effect(&draft, "attestors/qa", "a key that projects/shop/attestors/ci has too"),
        Effect::Stricter
    );
}

fn platform(checks: &str) -> String {
    format!(
        "gkePolicy:\n  checkSets:\n  - displayName: all\n    scope: {{ kubernetesNamespace: shop }}\n    checks:\n{checks}"
    )
}

fn authenticator(key: &SecretKey) -> String {
    let pem = attest::Json::from(key.public().to_pem());
    format!(
        "{{ pkixPublicKeySet: {{ pkixPublicKeys: [{{ publicKeyPem: {pem}, signatureAlgorithm: ECDSA_P256_SHA256 }}] }} }}"
    )
}

#[test]
fn a_check_set_becomes_one_dry_run() {
    let (a, b) = (SecretKey::generate(Scheme::P256).unwrap(), SecretKey::generate(Scheme::P256).unwrap());
    let text = platform(&format!(
        "    - simpleSigningAttestationCheck: {{ attestationAuthenticators: [{}, {}] }}
    - slsaCheck: {{ rules: [{{ trustedBuilder: GOOGLE_CLOUD_BUILD, configBasedBuildRequired: true, trustedSourceRepoPatterns: [github.com/acme/shop] }}] }}
    - imageFreshnessCheck: {{ maxUploadAgeDays: 30 }}
    - vulnerabilityCheck: {{ maximumFixableSeverity: MEDIUM, maximumUnfixableSeverity: HIGH, blockedCves: [CVE-2024-3094], allowedCves: [CVE-2020-1] }}
    - trustedDirectoryCheck: {{ trustedDirPatterns: [us-docker.pkg.dev/acme/*, 'gcr.io/acme/**'] }}
",
        authenticator(&a),
        authenticator(&b)
    ));
    let draft = translate("platform.yaml", &text, &[]).unwrap();
    let policies = policies(&draft);
    assert_eq!(policies.len(), 1);
    assert_eq!(policies[0].mode(), Mode::DryRun);
    assert_eq!(policies[0].environment().text, "binauthz/namespace/shop");
    let text = &draft.policies[0].1;
    for wanted in [
        "at-least: 1, of: [\"key-",
        "built-by: [google-cloud-build]",
        "source: { repository: \"https://github.com/acme/shop\" }",
        "built-within: 30d",
        "scanned: { within: 7d, worst: medium }",
        "artifact: [\"us-docker.pkg.dev/acme/*/*\"]",
    ] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
    assert_eq!(root(&draft).names_with(Role::Signer).len(), 2);
    assert_eq!(effect(&draft, "blockedCves", "CVE-2024-3094"), Effect::Looser);
    assert_eq!(effect(&draft, "allowedCves", "CVE-2020-1"), Effect::Stricter);
    assert_eq!(effect(&draft, "", "gcr.io/acme/**"), Effect::Stricter);
    assert_eq!(effect(&draft, "", "configBasedBuildRequired"), Effect::Looser);
}

#[test]
fn what_cannot_be_said_never_becomes_a_policy_that_lets_more_in() {
    let cases = [
        // no check says who signs
        ("    - imageFreshnessCheck: { maxUploadAgeDays: 30 }\n", 0, "no check that says who signs"),
        ("    - alwaysDeny: true\n", 0, "alwaysDeny"),
        // keys that cannot be used are nobody's
        (
            "    - sigstoreSignatureCheck: { sigstoreAuthorities: [{ publicKeySet: { publicKeys: [{ publicKeyPem: no, keyId: k }] } }] }\n",
            1,
            "an authority, key k",
        ),
        (
            "    - slsaCheck: { rules: [{ trustedBuilder: GOOGLE_CLOUD_BUILD }] }\n    - trustedDirectoryCheck: { trustedDirPatterns: ['gcr.io/**'] }\n",
            1,
            "gcr.io/**",
        ),
    ];
    for (checks, count, what) in cases {
        let checks = checks.replace("publicKeyPem: no", "publicKeyPem: nokey");
        let draft = translate("platform.yaml", &platform(&checks), &[]).unwrap_or_else(|e| panic!("{e:?}"));
        assert_eq!(draft.policies.len(), count, "{what}");
        assert!(draft.untranslated.iter().any(|u| u.what == what), "{what}: {:#?}", draft.untranslated);
        for (_, text) in &draft.policies {
            assert!(
                text.contains("signed-by: [nobody]") || text.contains("artifact: [\"TODO-artifact\"]"),
                "{text}"
            );
        }
    }
}

#[test]
fn several_signature_checks_need_every_key() {
    let (a, b) = (SecretKey::generate(Scheme::P256).unwrap(), SecretKey::generate(Scheme::P256).unwrap());
    let check = |key| {
        format!(
            "    - simpleSigningAttestationCheck: {{ attestationAuthenticators: [{}] }}\n",
            authenticator(key)
        )
    };
    let draft = translate("platform.yaml", &platform(&(check(&a) + &check(&b))), &[]).unwrap();
    assert!(draft.policies[0].1.contains("at-least: 2"), "{}", draft.policies[0].1);
}

#[test]
fn words_of_the_original_stay_in_their_line() {
    let evil = "a\\nenvironment: prod\\u2028\\u202e";
    let text = POLICY
        .replace("gcr.io/google_containers/*", &format!("\"{evil}\""))
        .replace("attestors/qa", "attestors/q\\\"]");
    let draft = translate("policy.yaml", &text, &[]).unwrap_or_else(|e| panic!("{e:?}"));
    policies(&draft);
    for (_, text) in &draft.policies {
        assert_eq!(text.lines().filter(|l| l.starts_with("environment:")).count(), 1, "{text}");
    }
    assert!(draft.untranslated.iter().all(|u| !u.to_string().contains(['\n', '\u{2028}', '\u{202e}'])));
}

fn occurrence(payload: &[u8], signature: &[u8]) -> Vec<u8> {
    use std::fmt::Write as _;
    let base64 = |bytes: &[u8]| {
        // by way of a DSSE envelope, which writes base64
        let dsse = attest::dsse::Dsse {
            payload_type: String::new(),
            payload: bytes.to_vec(),
            signatures: Vec::new(),
        };
        dsse.to_json().string("payload").unwrap().to_owned()
    };
    let mut out = String::new();
    write!(
        out,
        r#"{{"name":"projects/p/occurrences/o","kind":"ATTESTATION","resourceUri":"https://gcr.io/p/i@sha256:00","noteName":"projects/p/notes/n",
        "attestation":{{"serializedPayload":"{}","signatures":[{{"signature":"{}","publicKeyId":"//cloudkms…"}}]}}}}"#,
        base64(payload),
        base64(signature)
    )
    .unwrap();
    out.into_bytes()
}

fn payload(digest: &Digest) -> String {
    format!(
        r#"{{"critical":{{"identity":{{"docker-reference":"gcr.io/p/i"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"Google cloud binauthz container signature"}}}}"#
    )
}

#[test]
fn an_attestation_opens_under_its_attestors_key_and_is_about_the_signed_digest() {
    let key = SecretKey::generate(Scheme::P256).unwrap();
    let draft = translate("policy.yaml", POLICY, &[attestor("ci", &key)]).unwrap();
    let root = root(&draft);
    let at = parse_time("2026-11-22T09:00:00Z").unwrap();
    let image = Digest::sha256(b"manifest");
    let text = payload(&image);
    let signature = key.sign(text.as_bytes()).unwrap();
    let words = Occurrence::parse(&occurrence(text.as_bytes(), &signature)).unwrap().open(&root, at);
    let attestation = words[0].opened.as_ref().unwrap();
    assert_eq!(attestation.signers()[0].name, "projects/shop/attestors/ci");
    assert!(attestation.about(&Artifact::new("gcr.io/p/i", image.clone().into())).is_ok());
    let other = Artifact::new("gcr.io/p/i", Digest::sha256(b"other").into());
    assert_eq!(attestation.about(&other).unwrap_err().found, Some(image.clone()));
    // another payload under the same signature, and a stranger's signature over this one
    let changed = payload(&Digest::sha256(b"other"));
    let stranger = SecretKey::generate(Scheme::P256).unwrap().sign(text.as_bytes()).unwrap();
    for (payload, signature) in [(changed.as_str(), &signature), (text.as_str(), &stranger)] {
        let words = Occurrence::parse(&occurrence(payload.as_bytes(), signature)).unwrap().open(&root, at);
        assert_eq!(
            words[0].opened.as_ref().unwrap_err(),
            "no signature on it verifies under a key of the trust root"
        );
    }
    // authentic, and not a payload that says one thing
    let two = text.replace("\"type\"", "\"expires\":\"never\",\"type\"");
    let signature = key.sign(two.as_bytes()).unwrap();
    let words = Occurrence::parse(&occurrence(two.as_bytes(), &signature)).unwrap().open(&root, at);
    assert!(words[0].opened.as_ref().unwrap_err().contains("critical.expires"), "{words:?}");
}

#[test]
fn an_occurrence_without_a_signature_is_not_read() {
    let none = br#"{"kind":"ATTESTATION","attestation":{"serializedPayload":"e30=","signatures":[]}}"#;
    assert!(
        Occurrence::parse(none).unwrap_err().to_string().contains("attestation.signatures: wanted 1 to 64")
    );
    let other = br#"{"kind":"VULNERABILITY","vulnerability":{}}"#;
    assert!(
        Occurrence::parse(other).unwrap_err().to_string().contains("wanted ATTESTATION, found VULNERABILITY")
    );
}

#[test]
fn a_token_that_is_none_of_ours_proves_nothing() {
    let key = SecretKey::generate(Scheme::P256).unwrap();
    let root = root(&translate("policy.yaml", POLICY, &[attestor("ci", &key)]).unwrap());
    let text = br#"{"attestation":{"jwts":[{"compactJwt":"eyJhbGciOiJub25lIn0.e30."}]}}"#;
    let words = Occurrence::parse(text).unwrap().open(&root, parse_time("2026-11-22T09:00:00Z").unwrap());
    assert_eq!(words[0].part, "jwts[0]");
    assert!(words[0].opened.is_err());
}

#[test]
fn a_revoked_key_signs_nothing_in_simple_signing_either() {
    let key = SecretKey::generate(Scheme::P256).unwrap();
    let draft = translate("policy.yaml", POLICY, &[attestor("ci", &key)]).unwrap();
    let text =
        draft.trust_root.trim_end().to_owned() + "\n        revoked: { from: 2026-01-01, reason: stolen }\n";
    let root = TrustRoot::parse("root", &text).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    let payload = payload(&Digest::sha256(b"manifest"));
    let signature = Signature { hint: None, bytes: key.sign(payload.as_bytes()).unwrap() };
    let at = parse_time("2026-11-22T09:00:00Z").unwrap();
    let refused = root.open_simple_signing(payload.as_bytes(), &[signature], at).unwrap_err().to_string();
    assert!(refused.contains("revoked") && refused.contains("stolen"), "{refused}");
}
