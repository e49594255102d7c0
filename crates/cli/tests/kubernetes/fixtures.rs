//! Images and what is known of them: real keys, a real trust root and policies, and bundles that `portcullis attest` signs.
//! An image's digest is a SHA-256 of something: no registry is needed.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use attest::bundle::Bundle;
use attest::dsse::{Dsse, IN_TOTO};
use attest::{Digest, Json, Object, Scheme, SecretKey, Signer as _, Statement};
use jiff::Timestamp;

use crate::tools::{expect, path};

pub const REPOSITORY: &str = "https://git.example/acme/shop";
const BUILDER: &str = "https://ci.example/shop/non-isolated";
const COMMIT: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
const ANOTHER: &str = "1111111111111111111111111111111111111111";

/// An image, and the bundles that exist about it.
#[derive(Clone, Debug)]
pub struct Image {
    pub digest: Digest,
    /// `registry.example/shop@sha256:…`
    pub reference: String,
    /// Each a bundle's text.
    pub evidence: Vec<String>,
}

impl Image {
    /// Under another name, or with a tag: `registry.example/shop:1`.
    pub fn called(&self, name: &str) -> Self {
        Self { reference: format!("{name}@{}", self.digest), ..self.clone() }
    }

    /// `portcullis.dev/evidence-digest`.
    pub fn evidence_digests(&self) -> String {
        let digests: Vec<String> = self.evidence.iter().map(|text| stored(text).to_string()).collect();
        digests.join(",")
    }
}

/// The digest under which the store keeps a bundle: of its one spelling.
fn stored(text: &str) -> Digest {
    Digest::sha256(&evidence::compact(text.as_bytes()).unwrap())
}

/// Everything that the cases deploy.
#[derive(Debug)]
pub struct Images {
    /// Reviewed, built by `ci` from the right repository; three of them.
    pub good: [Image; 4],
    /// As good, built by `leaving-ci`, whose key one case revokes.
    pub leaving: Image,
    /// As good, but its key was revoked long ago.
    pub revoked: Image,
    /// Built by `ci` from somebody's fork.
    pub fork: Image,
    /// Built by `ci`, and nobody approved the commit.
    pub unreviewed: Image,
    /// Signed by nobody whom the trust root knows.
    pub stranger: Image,
    /// Nothing is known of it.
    pub unsigned: Image,
    /// All evidence that comes with it is about another image.
    pub misled: Image,
    keys: BTreeMap<&'static str, SecretKey>,
}

const KEYS: [&str; 7] = ["ci", "leaving-ci", "revoked-ci", "forge", "stranger", "sam", "vendor"];

impl Images {
    /// Makes keys, trust root and evidence in a folder.
    pub fn new(folder: &Path) -> Self {
        let key = |name: &'static str| (name, SecretKey::generate(Scheme::Ed25519).unwrap());
        let keys: BTreeMap<&'static str, SecretKey> = KEYS.into_iter().map(key).collect();
        for (name, key) in &keys {
            std::fs::write(folder.join(format!("{name}.key")), key.to_pem(None).unwrap().as_bytes()).unwrap();
        }
        let review = |commit| review(folder, commit);
        let (approved, also) = (review(COMMIT), review(ANOTHER));
        let build = |name: &str, key: &str, repository: &str, commit: &str, more: &[&String]| {
            let (digest, provenance) = attest(folder, name, key, repository, commit);
            let evidence =
                std::iter::once(provenance).chain(more.iter().map(|text| (*text).clone())).collect();
            Image { reference: format!("registry.example/shop@{digest}"), digest, evidence }
        };
        let good =
            ["one", "two", "three", "four"].map(|name| build(name, "ci", REPOSITORY, COMMIT, &[&approved]));
        let none = |name: &str| {
            let digest = Digest::sha256(name.as_bytes());
            Image { reference: format!("registry.example/shop@{digest}"), digest, evidence: Vec::new() }
        };
        Self {
            leaving: build("leaving", "leaving-ci", REPOSITORY, COMMIT, &[&approved]),
            revoked: build("revoked", "revoked-ci", REPOSITORY, COMMIT, &[&approved]),
            fork: build("fork", "ci", "https://git.example/mallory/shop", ANOTHER, &[&also]),
            unreviewed: build("unreviewed", "ci", REPOSITORY, COMMIT, &[]),
            stranger: build("stranger", "stranger", REPOSITORY, COMMIT, &[&approved]),
            unsigned: none("unsigned"),
            misled: Image { evidence: good[0].evidence.clone(), ..none("misled") },
            good,
            keys,
        }
    }

    /// Who may say what. With `revoke_leaving`, the key of `leaving-ci` is revoked, and the version one higher.
    pub fn trust_root(&self, revoke_leaving: bool) -> String {
        let key = |name: &str| {
            let pem = self.keys[name].public().to_pem().replace('\n', "\n          ");
            format!("    keys:\n      - key: |\n          {}\n", pem.trim_end())
        };
        let revoked = "        revoked: { from: 2026-01-01T00:00:00Z, reason: \"lost laptop\" }\n";
        let leaving = if revoke_leaving { revoked } else { "" };
        let builder =
            |name: &str, more: &str| format!("  {name}:\n    ids: [\"{BUILDER}\"]\n{}{more}", key(name));
        format!(
            "version: {}\nbuilders:\n{}{}{}review-authorities:\n  forge:\n{}signers:\n  vendor:\n{}people:\n{}",
            if revoke_leaving { 2 } else { 1 },
            builder("ci", ""),
            builder("leaving-ci", leaving),
            builder("revoked-ci", revoked),
            key("forge"),
            key("vendor"),
            self.people(&key),
        )
    }

    fn people(&self, key: &dyn Fn(&str) -> String) -> String {
        format!(
            "  alice:\n    identities: [alice@acme.example]\n  bob:\n    identities: [bob@acme.example]\n    roles: [reviewer]\n  \
             nadia:\n    identities: [nadia@acme.example]\n  tom:\n    identities: [tom@acme.example]\n  \
             sam:\n    identities: [sam@acme.example]\n{}\
             groups:\n  release-managers: [nadia]\n  sre-oncall: [sam]\n",
            key("sam")
        )
    }

    /// A bundle about a configuration object, by its canonical digest.
    pub fn vendor_signature(&self, digest: &Digest) -> String {
        self.sign("vendor", digest, "https://portcullis.dev/signature/v1", Object::new())
    }

    /// A breakglass grant for an environment, signed by `who`, as `portcullis breakglass open` writes one.
    pub fn grant(
        &self,
        who: &str,
        id: &str,
        environment: &str,
        issued: Timestamp,
        expires: Timestamp,
    ) -> String {
        let grant = Object::new()
            .with("id", id)
            .with("environment", environment)
            .with("reason", "the shop is down")
            .with("ticket", "INC-1")
            .with("issuedOn", issued.to_string())
            .with("expiresOn", expires.to_string());
        self.sign(who, &Digest::sha256(id.as_bytes()), "https://portcullis.dev/breakglass/v1", grant)
    }

    fn sign(&self, who: &str, digest: &Digest, kind: &str, predicate: Object) -> String {
        let statement = Statement::write("subject", &digest.clone().into(), kind, predicate);
        let key = &self.keys[who];
        let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[key]).unwrap();
        Bundle::write(&dsse, &key.public().id(), &[]).to_string()
    }
}

fn attest(folder: &Path, name: &str, key: &str, repository: &str, commit: &str) -> (Digest, String) {
    let file = folder.join(name);
    let bytes = format!("the image {name}\n");
    std::fs::write(&file, &bytes).unwrap();
    let out = folder.join("bundles");
    let key = folder.join(format!("{key}.key"));
    let about = ["--repository", repository, "--ref", "refs/heads/main", "--commit", commit];
    let by = ["--builder-id", BUILDER, "--key", path(&key), "--out", path(&out)];
    expect(0, &[&["attest", "build", path(&file)], &about[..], &by[..]].concat());
    let bundle = std::fs::read_to_string(out.join(format!("{name}.sigstore.json"))).unwrap();
    (Digest::sha256(bytes.as_bytes()), bundle)
}

fn review(folder: &Path, commit: &str) -> String {
    let (out, key) = (folder.join(format!("review-{commit}.json")), folder.join("forge.key"));
    let repository = if commit == COMMIT { REPOSITORY } else { "https://git.example/mallory/shop" };
    let who = ["--author", "alice@acme.example", "--reviewer", "bob@acme.example"];
    let subject = format!("gitCommit:{commit}");
    let args =
        ["attest", "review", &subject, "--repository", repository, "--key", path(&key), "--out", path(&out)];
    expect(0, &[&args[..], &who[..]].concat());
    std::fs::read_to_string(out).unwrap()
}

/// `portcullis.dev/evidence` for these bundles.
pub fn inline(bundles: &[String]) -> String {
    // what stands there twice is refused
    let bundles: std::collections::BTreeSet<&String> = bundles.iter().collect();
    let values = bundles.iter().map(|text| attest::json::parse(text.as_bytes()).unwrap()).collect();
    squeezed(Json::Array(values).to_string().as_bytes())
}

/// Base64 of gzip.
pub fn squeezed(bytes: &[u8]) -> String {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    base64(&encoder.finish().unwrap())
}

pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |w, b| (w << 8) | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let is_there = i <= chunk.len();
            out.push(if is_there { char::from(ALPHABET[(word >> (18 - 6 * i)) as usize & 63]) } else { '=' });
        }
    }
    out
}
