//! gitsign's signatures: openssl signs under a certificate as Fulcio issues them, and a log of the tests lists it.
//!
//! gitsign itself is in no registry that the tests may use. What it puts together, this does: openssl's own CMS, and the
//! log's entry among the unsigned attributes.

use std::process::Command;

use attest::commit::{CmsError, Commit, CommitError, CommitScheme, Tag};
use attest::sigstore::SigstoreError;
use attest::{Digest, Json, OpenError, Scheme, SecretKey, Signer as _, TrustRoot, pem};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Repository;
use crate::tools::flips;
use der::encode;

mod der;
mod entry;

pub use entry::Entry;

const ISSUER: &str = "https://accounts.acme.example";
const ALICE: &str = "alice@a.example";
const EXTENSIONS: &str = "[ca]\nbasicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n\
    subjectKeyIdentifier=hash\n[leaf]\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=codeSigning\n\
    subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\nsubjectAltName=critical,email:IDENTITY\n\
    1.3.6.1.4.1.57264.1.8=ASN1:UTF8String:https://accounts.acme.example\n[req]\ndistinguished_name=none\n[none]\n";

/// An authority, a log, and whom the authority certified.
struct Instance {
    repository: Repository,
    log: SecretKey,
}

impl Instance {
    fn new(format: &str) -> Self {
        let log = SecretKey::generate(Scheme::P256).unwrap();
        let instance = Self { repository: Repository::new(format), log };
        std::fs::write(instance.repository.ssh.path("openssl.cnf"), EXTENSIONS).unwrap();
        instance.openssl(
            "req -x509 -config openssl.cnf -extensions ca -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
                          -keyout ca.key -out ca.pem -subj /O=acme/CN=sigstore -days 30",
        );
        instance.certify("alice", ALICE, "ec -pkeyopt ec_paramgen_curve:P-256");
        instance
    }

    fn openssl(&self, args: &str) {
        let mut command = Command::new("openssl");
        command.current_dir(self.repository.ssh.folder.path()).args(args.split_whitespace());
        let output = command.output().expect("openssl is installed: cargo xtask setup");
        assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A certificate for a key that this makes.
    fn certify(&self, name: &str, identity: &str, key: &str) {
        let extensions = EXTENSIONS.replace("IDENTITY", identity);
        std::fs::write(self.repository.ssh.path("openssl.cnf"), extensions).unwrap();
        self.openssl(&format!(
            "req -new -config openssl.cnf -newkey {key} -nodes -keyout {name}.key -out {name}.csr -subj /"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile openssl.cnf \
             -extensions leaf -out {name}.pem"
        ));
    }

    /// openssl's signature over some bytes.
    fn cms(&self, content: &[u8], args: &str) -> Vec<u8> {
        std::fs::write(self.repository.ssh.path("content"), content).unwrap();
        self.openssl(&format!(
            "cms -sign -binary -md sha256 -outform DER -in content -out signature.der {args}"
        ));
        std::fs::read(self.repository.ssh.path("signature.der")).unwrap()
    }

    fn certificate(&self, name: &str) -> Vec<u8> {
        let text = std::fs::read_to_string(self.repository.ssh.path(&format!("{name}.pem"))).unwrap();
        pem::decode(&text).unwrap().1
    }

    /// The log's entry for the one signature in a CMS.
    fn entry(&self, cms: &[u8], name: &str, time: i64) -> Entry {
        let (signed, signature) = der::signed(cms);
        let certificate = pem::encode("CERTIFICATE", &self.certificate(name));
        Entry::new(&self.log, &signed, &signature, &certificate, time)
    }

    fn unsigned(&self) -> Vec<u8> {
        self.repository.git(&["commit", "-q", "--allow-empty", "-m", "a change"]);
        self.repository.git(&["cat-file", "commit", "HEAD"])
    }

    /// A commit that alice signed as gitsign does.
    fn commit(&self) -> Signed {
        let content = self.unsigned();
        let cms = self.cms(&content, "-signer alice.pem -inkey alice.key");
        let time = Commit::parse(&content).unwrap().committed().as_second();
        let entry = self.entry(&cms, "alice", time);
        Signed { content, cms, entry, time }
    }

    /// The instance's trusted root.
    fn trusted_root(&self) -> String {
        let (log, authority) = (self.log.public().spki().to_vec(), self.certificate("ca"));
        let window = r#"{"start": "2020-01-01T00:00:00Z"}"#;
        format!(
            r#"{{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1", "tlogs": [{{"baseUrl":
            "https://rekor.acme.example", "hashAlgorithm": "SHA2_256", "publicKey": {{"rawBytes": "{}", "keyDetails":
            "PKIX_ECDSA_P256_SHA_256", "validFor": {window}}}, "logId": {{"keyId": "{}"}}}}], "certificateAuthorities":
            [{{"subject": {{"organization": "acme", "commonName": "sigstore"}}, "uri": "https://fulcio.acme.example",
            "certChain": {{"certificates": [{{"rawBytes": "{}"}}]}}, "validFor": {window}}}], "ctlogs": [],
            "timestampAuthorities": []}}"#,
            STANDARD.encode(&log),
            STANDARD.encode(Digest::sha256(&log).bytes()),
            STANDARD.encode(authority),
        )
    }

    fn root(&self, more: &str) -> TrustRoot {
        let trusted = Json::from(self.trusted_root());
        let text = format!(
            "version: 1\nsigstore: {{ acme: {{ trusted-root: {trusted} }} }}\npeople:\n  alice:\n    identities: [{ALICE}]\n    \
             certificate-identities: [{{ issuer: \"{ISSUER}\", identity: {ALICE}{more} }}]\n"
        );
        TrustRoot::parse("trust-root.yaml", &text).unwrap_or_else(|e| panic!("{e:?}\n{text}"))
    }
}

struct Signed {
    content: Vec<u8>,
    cms: Vec<u8>,
    entry: Entry,
    time: i64,
}

impl Signed {
    fn object(&self) -> Vec<u8> {
        with_signature(&self.content, &der::attach(&self.cms, &[self.entry.protobuf()]))
    }
}

fn armor(der: &[u8]) -> String {
    pem::encode("SIGNED MESSAGE", der)
}

/// A commit with its signature's header, where git puts it.
fn with_signature(content: &[u8], der: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(content).unwrap();
    let (head, message) = text.split_once("\n\n").unwrap();
    let tree = head.lines().next().unwrap().strip_prefix("tree ").unwrap();
    let name = if tree.len() == 40 { "gpgsig" } else { "gpgsig-sha256" };
    let armored = armor(der).trim_end().replace('\n', "\n ");
    format!("{head}\n{name} {armored}\n\n{message}").into_bytes()
}

fn signer(root: &TrustRoot, object: &[u8]) -> Result<String, CommitError> {
    let signer = root.who_signed(&Commit::parse(object)?, crate::NOW)?;
    assert_eq!(signer.scheme, CommitScheme::Cms);
    Ok(signer.name)
}

#[test]
fn what_is_signed_under_a_certificate_and_logged_has_a_signer() {
    for format in ["sha1", "sha256"] {
        let instance = Instance::new(format);
        let root = instance.root("");
        let signed = instance.commit();
        assert_eq!(signer(&root, &signed.object()), Ok("alice".to_owned()), "{format}");
        assert!(root.is_person("alice"));
        let git = &instance.repository;
        git.git(&["tag", "-a", "-m", "one", "v1"]);
        let tag = git.git(&["cat-file", "tag", "v1"]);
        let cms = instance.cms(&tag, "-signer alice.pem -inkey alice.key -certfile ca.pem");
        let cms = der::attach(&cms, &[instance.entry(&cms, "alice", signed.time).protobuf()]);
        let tag = Tag::parse(&[tag, armor(&cms).into_bytes()].concat()).unwrap();
        assert_eq!(root.who_signed_tag(&tag, crate::NOW).unwrap().name, "alice");
    }
}

#[test]
fn nothing_counts_of_which_no_log_of_the_instance_says_when() {
    let instance = Instance::new("sha1");
    let root = instance.root("");
    let Signed { content, cms, entry, time } = instance.commit();
    let refused = |entries: &[Vec<u8>]| {
        signer(&root, &with_signature(&content, &der::attach(&cms, entries))).unwrap_err()
    };
    let bare = signer(&root, &with_signature(&content, &cms)).unwrap_err();
    assert_eq!(bare, CommitError::Cms(CmsError::NotLogged));
    assert!(
        bare.to_string().contains("in a form that is not read: no log entry is in the signature"),
        "{bare}"
    );
    let sigstore = |error: CommitError| match error {
        CommitError::Signer(OpenError::Sigstore(error)) => error,
        other => panic!("{other}"),
    };
    let stranger = SecretKey::generate(Scheme::P256).unwrap();
    let (signed, signature) = der::signed(&cms);
    let certificate = pem::encode("CERTIFICATE", &instance.certificate("alice"));
    let by_stranger = Entry::new(&stranger, &signed, &signature, &certificate, time);
    let error = sigstore(refused(&[by_stranger.protobuf()]));
    assert!(matches!(error, SigstoreError::Log(_)), "{error:?}");
    // the entry of another commit's signature
    let other = instance.commit();
    let error = sigstore(refused(&[other.entry.protobuf()]));
    assert!(matches!(error, SigstoreError::Log(_)), "{error:?}");
    // before the certificate, and long after it
    for time in [time - 86_400, time - 1_000_000] {
        let entry = instance.entry(&cms, "alice", time);
        let error = sigstore(refused(&[entry.protobuf()]));
        assert!(matches!(error, SigstoreError::Certificate(_) | SigstoreError::Time(_)), "{error}");
    }
    // a place in the log is no time; only the promise signs one
    let error = sigstore(refused(&[entry.without_promise()]));
    assert!(matches!(error, SigstoreError::Time(_) | SigstoreError::Log(_)), "{error}");
    let promised = entry.promising(time - 3600);
    let error = sigstore(refused(&[promised]));
    assert!(matches!(error, SigstoreError::Log(_)), "{error:?}");
    assert_eq!(
        refused(&[entry.of_kind("dsse")]),
        CommitError::Cms(CmsError::Unsupported("a log entry of the kind hashedrekord 0.0.1"))
    );
    let twice = CmsError::Malformed("some attributes, each of another type");
    assert_eq!(refused(&[entry.protobuf(), entry.protobuf()]), CommitError::Cms(twice));
    let fields = CmsError::Malformed("a log entry in protobuf, each field once");
    for more in [&b"\x20\x01"[..], b"\x40\x01", b"\x08", b"\x3a\x00", b"\x21\0\0\0\0\0\0\0\0"] {
        let bytes = [&entry.protobuf()[..], more].concat();
        assert_eq!(refused(&[bytes]), CommitError::Cms(fields), "{more:?}");
    }
}

#[test]
fn nothing_counts_that_is_another_signature() {
    let instance = Instance::new("sha1");
    let root = instance.root("");
    instance.certify("mallory", "mallory@a.example", "ec -pkeyopt ec_paramgen_curve:P-256");
    instance.certify("rsa", ALICE, "rsa:2048");
    instance.openssl(
        "req -x509 -config openssl.cnf -extensions leaf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
                      -keyout own.key -out own.pem -subj /O=acme/CN=sigstore -days 30",
    );
    let content = instance.unsigned();
    let time = Commit::parse(&content).unwrap().committed().as_second();
    let refused = |cms: &[u8], content: &[u8], name: &str| {
        let entry = instance.entry(cms, name, time);
        let signed = Signed { content: content.to_vec(), cms: cms.to_vec(), entry, time };
        signer(&root, &signed.object()).unwrap_err()
    };
    let malformed = |wanted| CommitError::Cms(CmsError::Malformed(wanted));
    let alice = "-signer alice.pem -inkey alice.key";
    let other = String::from_utf8(content.clone()).unwrap().replace("a change", "another");
    let cms = instance.cms(&content, alice);
    assert_eq!(refused(&cms, other.as_bytes(), "alice"), CommitError::Cms(CmsError::OtherContent));
    let detached = "detached CMS signed data in DER";
    for (args, name, wanted) in [
        (format!("{alice} -nodetach"), "alice", malformed(detached)),
        (format!("{alice} -nocerts"), "alice", malformed("the signer's certificate in it")),
        (format!("{alice} -keyid"), "alice", malformed(detached)),
        (format!("{alice} -signer mallory.pem -inkey mallory.key"), "alice", malformed("exactly one signer")),
        (
            "-signer rsa.pem -inkey rsa.key".to_owned(),
            "rsa",
            CommitError::Cms(CmsError::Unsupported("ECDSA with SHA-256")),
        ),
    ] {
        assert_eq!(refused(&instance.cms(&content, &args), &content, name), wanted, "{args}");
    }
    let sha512 = instance.cms(&content, &format!("{alice} -md sha512"));
    assert_eq!(refused(&sha512, &content, "alice"), malformed(detached));
    let mallory =
        refused(&instance.cms(&content, "-signer mallory.pem -inkey mallory.key"), &content, "mallory");
    assert!(mallory.to_string().contains("mallory@a.example"), "{mallory}");
    assert!(matches!(mallory, CommitError::Signer(OpenError::UnknownIdentity(_))));
    let own = refused(&instance.cms(&content, "-signer own.pem -inkey own.key"), &content, "own");
    assert!(matches!(own, CommitError::Signer(OpenError::Sigstore(SigstoreError::Authority(_)))), "{own}");
}

#[test]
fn an_identity_counts_in_its_window_by_the_time_of_the_log() {
    let instance = Instance::new("sha1");
    let signed = instance.commit();
    let object = signed.object();
    let at = |seconds: i64| jiff::Timestamp::from_second(signed.time + seconds).unwrap();
    let revoked = |from| format!(", revoked: {{ from: \"{from}\", reason: stolen }}");
    assert_eq!(signer(&instance.root(&revoked(at(60))), &object), Ok("alice".to_owned()));
    let error = signer(&instance.root(&revoked(at(-60))), &object).unwrap_err();
    assert!(matches!(error, CommitError::Signer(OpenError::Revoked { .. })), "{error}");
    let error = signer(&instance.root(&format!(", from: \"{}\"", at(60))), &object).unwrap_err();
    assert!(matches!(error, CommitError::Signer(OpenError::OutsideWindow { .. })), "{error}");
    let nobody = instance.repository.root();
    assert_eq!(signer(&nobody, &object), Err(CommitError::Signer(OpenError::NoInstance)));
}

#[test]
fn no_bit_of_a_signature_can_be_another() {
    let instance = Instance::new("sha1");
    let root = instance.root("");
    let Signed { content, cms, entry, .. } = instance.commit();
    let signature = der::attach(&cms, &[entry.protobuf()]);
    // the name beside a checkpoint's signature is a hint that nothing signs, and nothing reads
    let hint = "\u{2014} rekor.acme.example".as_bytes();
    let hint = signature.windows(hint.len()).position(|w| w == hint).map(|at| at..at + hint.len()).unwrap();
    for (bit, flipped) in
        flips(&signature).enumerate().step_by(5).filter(|(bit, _)| !hint.contains(&(bit / 8)))
    {
        let object = with_signature(&content, &flipped);
        assert!(signer(&root, &object).is_err(), "bit {bit} of {signature:?}");
    }
    assert!(signer(&root, &with_signature(&content, &[signature.clone(), vec![0]].concat())).is_err());
    assert!(signer(&root, &with_signature(&content, &encode(0x30, &[]))).is_err());
}

#[test]
fn a_statement_about_a_commit_alone_is_refused_by_name_under_a_certificate() {
    let instance = Instance::new("sha1");
    let certificate = STANDARD.encode(instance.certificate("alice"));
    let payload = STANDARD.encode(format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"digest":{{"gitCommit":"{}"}}}}],"predicateType":"https://slsa.dev/verification_summary/v1","predicate":{{"verifier":{{"id":"https://gate.example/eu"}},"resourceUri":"git+https://git.example/shop","policy":{{"uri":"https://gate.example/p"}},"verificationResult":"PASSED","verifiedLevels":["SLSA_SOURCE_LEVEL_3"]}}}}"#,
        "1f".repeat(20)
    ));
    let bundle = format!(
        r#"{{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{{"certificate":{{"rawBytes":"{certificate}"}},"tlogEntries":[]}},"dsseEnvelope":{{"payload":"{payload}","payloadType":"application/vnd.in-toto+json","signatures":[{{"sig":"AAAA"}}]}}}}"#
    );
    let envelope = attest::Envelope::parse(bundle.as_bytes()).unwrap();
    let error = instance.root("").open(&envelope, crate::NOW).unwrap_err();
    let wanted =
        SigstoreError::Unsupported("a subject named by gitCommit alone; a key may sign for it".to_owned());
    assert_eq!(error, OpenError::Sigstore(wanted));
}
