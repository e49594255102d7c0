//! Cases that others wrote, and others who judge them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use attest::digest::to_hex;
use attest::dsse::base64;
use attest::{Digest, Json, Object};

use crate::tools::{cache, data, part, path};

pub const BEACON: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
pub const GITHUB: &str = "https://token.actions.githubusercontent.com";

#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub bundle: PathBuf,
    /// Nothing where only its digest is known.
    pub artifact: PathBuf,
    pub digest: String,
    pub identity: String,
    pub issuer: String,
    pub key: Option<PathBuf>,
    pub trusted_root: Option<PathBuf>,
    pub is_rejected: bool,
}

impl Case {
    pub fn flags(&self) -> Vec<&str> {
        let mut flags = match &self.key {
            Some(key) => vec!["--key", path(key)],
            None => vec!["--certificate-identity", &self.identity, "--certificate-oidc-issuer", &self.issuer],
        };
        flags.extend(
            self.trusted_root.as_deref().map(|root| ["--trusted-root", path(root)]).into_iter().flatten(),
        );
        flags
    }

    /// PEP 740 and npm's lists are no forms that other tools read.
    pub fn is_for(&self, _other: &str) -> bool {
        !self.name.starts_with("npm") && self.bundle.extension().is_none_or(|e| e != "attestation")
    }
}

pub fn digest_of(file: &Path) -> String {
    Digest::sha256(&fs::read(file).unwrap()).to_string()
}

pub fn conformance() -> Option<Vec<Case>> {
    let root = data("sigstore-conformance")?.join("bundle-verify");
    let mut folders: Vec<PathBuf> = fs::read_dir(&root).unwrap().map(|e| e.unwrap().path()).collect();
    folders.retain(|folder| folder.is_dir());
    folders.sort();
    let case = |folder: PathBuf| {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let there = |file: &str| Some(folder.join(file)).filter(|path| path.exists());
        let text = |file: &str, or: &str| {
            there(file).map_or(or.to_owned(), |p| fs::read_to_string(p).unwrap().trim().to_owned())
        };
        let artifact = there("artifact").unwrap_or_else(|| root.join("a.txt"));
        Case {
            is_rejected: name.ends_with("_fail"),
            bundle: folder.join("bundle.sigstore.json"),
            digest: digest_of(&artifact),
            identity: text("identity", BEACON),
            issuer: text("issuer", GITHUB),
            key: there("key.pub"),
            trusted_root: there("trusted_root.json"),
            artifact,
            name,
        }
    };
    Some(folders.into_iter().map(case).collect())
}

fn json(file: &Path) -> Json {
    attest::json::parse(&fs::read(file).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// Bundles of releases, written to files of their own for this process.
pub fn releases() -> Option<Vec<Case>> {
    let root = data("cpython-releases")?;
    let identities = json(&root.join("signing-identities.json"));
    let out = tempfile::tempdir().unwrap().keep();
    let mut cases = Vec::new();
    let mut files: Vec<PathBuf> =
        fs::read_dir(root.join("versions")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for file in files {
        let version = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let line: Vec<&str> = version.splitn(3, '.').take(2).collect();
        let line = line.join(".");
        let all = identities.as_array().unwrap().iter().map(|i| i.as_object().unwrap());
        let who = all.into_iter().find(|i| i.string("Release") == Ok(&line)).unwrap();
        for entry in json(&file).as_array().unwrap() {
            let entry = entry.as_object().unwrap();
            let bundle = out.join(format!("{}.json", cases.len()));
            fs::write(&bundle, entry.object("raw").unwrap().object("sigstore").unwrap().to_string()).unwrap();
            cases.push(Case {
                name: entry.string("url").unwrap().to_owned(),
                bundle,
                artifact: PathBuf::new(),
                digest: format!("sha256:{}", entry.string("sha256").unwrap()),
                identity: who.string("Release manager").unwrap().to_owned(),
                issuer: who.string("OIDC Issuer").unwrap().to_owned(),
                key: None,
                trusted_root: None,
                is_rejected: false,
            });
        }
    }
    Some(cases)
}

/// Attestations of other projects' own tests; npm's are two in a file.
pub fn rows() -> Option<Vec<Case>> {
    let root = data("real-attestations")?;
    let rows = json(&root.join("rows.json"));
    let rows = rows.as_array().unwrap().iter().map(|r| r.as_object().unwrap());
    let case = |row: &Object| {
        let text = |name: &str| row.string(name).unwrap().to_owned();
        let file = |name: &str| root.parent().unwrap().join(text(name));
        Case {
            name: text("name"),
            bundle: file("bundle"),
            digest: digest_of(&file("artifact")),
            artifact: file("artifact"),
            identity: text("identity"),
            issuer: text("issuer"),
            key: None,
            trusted_root: Some(file("trusted_root")),
            is_rejected: text("expect") == "reject",
        }
    };
    Some(rows.map(case).collect())
}

type Judge = Box<dyn Fn(&Case) -> bool>;

/// Other implementations that are installed.
pub fn others() -> Vec<(&'static str, Judge)> {
    let mut others: Vec<(&'static str, Judge)> = Vec::new();
    let root = || data("trusted-roots").map(|d| d.join("public-good.json"));
    if let (Some(cosign), Some(root)) = (part("cosign", cache("tools/cosign")), root()) {
        others.push((
            "cosign",
            Box::new(move |case| {
                // without being told, cosign does not look at timestamps at all
                let is_stamped =
                    fs::read_to_string(&case.bundle).is_ok_and(|b| b.contains("signedTimestamp"));
                let stamps = format!("--use-signed-timestamps={is_stamped}");
                judge(&[path(&cosign), "verify-blob", &stamps, "--bundle"], case, &root)
            }),
        ));
    }
    if let (Some(ours), Some(root)) =
        (part("sigstore-go", cache("sigstore-interop/sigstore-interop")), root())
    {
        others.push(("sigstore-go", Box::new(move |case| judge(&[path(&ours), "--bundle"], case, &root))));
    }
    others
}

fn judge(program: &[&str], case: &Case, root: &Path) -> bool {
    let case = Case {
        trusted_root: Some(case.trusted_root.clone().unwrap_or_else(|| root.to_owned())),
        ..case.clone()
    };
    let input = if case.artifact.as_os_str().is_empty() { &case.digest } else { path(&case.artifact) };
    let args = [&program[1..], &[path(&case.bundle)], &case.flags()[..], &[input]].concat();
    Command::new(program[0]).args(args).output().unwrap().status.success()
}

/// A bundle in the pieces of before.
#[derive(Clone, Debug)]
pub struct Pieces {
    pub certificate: String,
    pub signature: String,
    pub rekor: Object,
}

pub fn pieces(bundle: &[u8]) -> Pieces {
    let bundle = attest::json::parse(bundle).unwrap();
    let bundle = bundle.as_object().unwrap();
    let material = bundle.object("verificationMaterial").unwrap();
    let chain = material.object("x509CertificateChain").unwrap().array("certificates").unwrap();
    let der = base64(chain[0].as_object().unwrap().string("rawBytes").unwrap()).unwrap();
    let entry = material.array("tlogEntries").unwrap()[0].as_object().unwrap();
    let number = |name: &str| entry.string(name).unwrap().parse::<i64>().unwrap();
    let log = base64(entry.object("logId").unwrap().string("keyId").unwrap()).unwrap();
    let payload = Object::new()
        .with("body", entry.string("canonicalizedBody").unwrap())
        .with("integratedTime", number("integratedTime"))
        .with("logIndex", number("logIndex"))
        .with("logID", to_hex(&log));
    let promise = entry.object("inclusionPromise").unwrap().string("signedEntryTimestamp").unwrap();
    Pieces {
        certificate: attest::pem::encode("CERTIFICATE", &der),
        signature: bundle.object("messageSignature").unwrap().string("signature").unwrap().to_owned(),
        rekor: Object::new().with("SignedEntryTimestamp", promise).with("Payload", payload),
    }
}

impl Pieces {
    /// cosign 2's bundle for files.
    pub fn legacy(&self) -> String {
        let certificate = attest_base64(self.certificate.as_bytes());
        self.bundle().with("cert", certificate).to_string()
    }

    pub fn without_certificate(&self) -> String {
        self.bundle().to_string()
    }

    fn bundle(&self) -> Object {
        Object::new().with("base64Signature", self.signature.as_str()).with("rekorBundle", self.rekor.clone())
    }
}

fn attest_base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
