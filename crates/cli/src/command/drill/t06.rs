//! T6, a bucket's access list is changed by hand: it is configuration, reviewed like code, and the proxy before the object
//! store sends on no other. The store itself is a stand-in that keeps whatever it is sent; the proxy is the real one.

use std::path::PathBuf;

use attest::Digest;
use server::{Client, ClientTls};

use super::outcome::{Control, Seen, Trial, Wanted};
use super::stage::{Bucket, Process, Stage, word, words_of};
use crate::failure::Failure;
use crate::{input, keys};

const LIST: &str = "/shop-downloads?acl";
const POLICY: &str = "environment: drill/access
artifact: \"s3://shop-downloads?acl\"
mode: enforce
require:
  signed-by: { at-least: 2, of: [bob, release-desk] }
on-outage: reject
";
const PROXY: &str = "
proxies:
  - name: downloads
    kind: s3
    listen: 127.0.0.1:0
    tls: { certificate: tls/server.crt, key: tls/server.key }
    clients: { ca: tls/ca.crt, names: [ci.acme.example] }
    spool: spool
    upstream: { url: \"http://BUCKET\" }
    region: us-east-1
    keys: store.keys
    routes:
      - { names: [\"shop-downloads?*\"], environment: drill/access }
";
/// In the one form of such a document; GRANTS is who may do what beside the owner.
const DOCUMENT: &str = "<AccessControlPolicy xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><AccessControlList><Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\"><ID>shop</ID></Grantee><Permission>FULL_CONTROL</Permission></Grant>GRANTS</AccessControlList><Owner><ID>shop</ID></Owner></AccessControlPolicy>";
const GRANT: &str = "<Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\"><ID>WHO</ID></Grantee><Permission>READ</Permission></Grant>";
/// What is said where a header stands for a document.
const NO_HEADER: &str = "send the document itself";
/// An answer of the proxy's is a page.
const MAX_ANSWER: u64 = 1 << 20;

pub(super) fn stage(stage: &Stage<'_>) -> Result<Vec<Trial>, Failure> {
    let list = |who: &str| DOCUMENT.replace("GRANTS", &GRANT.replace("WHO", who));
    let (private, open, partner) = (DOCUMENT.replace("GRANTS", ""), list("mallory"), list("partner"));
    let shop = Shop::start(stage, &private, POLICY)?;
    let dry_run = Shop::start(stage, &private, &POLICY.replace("enforce", "dry-run"))?;
    let past = Bucket::open(&private)?;
    past.put("/shop-downloads", &open)?;
    let past = Seen { is_let_through: past.list() == open, ..Seen::default() };
    shop.reviewed(stage, &partner)?;
    Ok(vec![
        Trial::Attack {
            what: "the access list of a bucket is changed by hand",
            wanted: Wanted { reasons: &["signed-by"], basis: "HTTP 403" },
            seen: shop.put(&[], &open)?,
            control: Control { off: "the policy in dry run", seen: dry_run.put(&[], &open)? },
        },
        Trial::Attack {
            what: "the same with a header in place of a document",
            wanted: Wanted { reasons: &[NO_HEADER], basis: "HTTP 403" },
            seen: shop.put(&[("x-amz-acl", "public-read")], "")?,
            control: Control { off: "the store reached past the proxy", seen: past },
        },
        Trial::Honest { what: "the reviewed access list goes through", seen: shop.put(&[], &partner)? },
    ])
}

/// A bucket, and the proxy before it.
struct Shop {
    dir: PathBuf,
    bucket: Bucket,
    client: Client,
    _process: Process,
}

impl Shop {
    fn start(stage: &Stage<'_>, list: &str, policy: &str) -> Result<Self, Failure> {
        let dir = stage.fresh("proxy")?.join("deploy");
        stage.portcullis(&["init", &word(&dir)])?.worked()?;
        let bucket = Bucket::open(list)?;
        let file = dir.join("serve.yaml");
        let text = input::text("configuration", &file)?;
        // the files of `init` govern themselves, which is another drill's
        let (before, rest) = text.split_once("guardrails: ").unwrap_or_default();
        let (_, after) = rest.split_once("log: {").unwrap_or_default();
        let text = format!("{before}log: {{{after}{}", PROXY.replace("BUCKET", &bucket.address()));
        let text = text.replace("127.0.0.1:8443", "127.0.0.1:0").replace("127.0.0.1:9464", "127.0.0.1:0");
        keys::write(&file, &text.replacen("log.key }", "log.key, spool: 16MiB }", 1))?;
        std::fs::remove_file(dir.join("book/prod/shop.yaml")).ok();
        keys::write(&dir.join("book/access.yaml"), policy)?;
        keys::write(&dir.join("store.keys"), "access-key-id: shop\nsecret-access-key: the-stores-own\n")?;
        let mut process = stage.start(&["serve", "--config", &word(&file)])?;
        let event = process.event("proxying")?;
        let address = event.string("address").unwrap_or_default();
        let tls = |name: &str| dir.join("tls").join(name);
        let tls = ClientTls { ca: Some(tls("ca.crt")), identity: Some((tls("ci.crt"), tls("ci.key"))) };
        let client = Client::new(&format!("https://{address}"), &tls, None).map_err(|e| unanswered(&e))?;
        Ok(Self { dir, bucket, client, _process: process })
    }

    /// Two who may have signed for a document.
    fn reviewed(&self, stage: &Stage<'_>, document: &str) -> Result<(), Failure> {
        let (digest, store) =
            (Digest::sha256(document.as_bytes()).to_string(), word(&self.dir.join("evidence")));
        let mut attach = vec!["attach".to_owned(), digest.clone(), "--store".to_owned(), store];
        for name in ["bob", "release-desk"] {
            let key = word(&self.dir.join(format!("keys/{name}.key")));
            let out = word(&self.dir.join(format!("{name}.json")));
            let what = ["attest", "release", &digest, "--purl", "pkg:generic/acl@1.0.0", "--for", "drill"];
            stage.portcullis(&[&what[..], &["--key", &key, "--out", &out]].concat())?.worked()?;
            attach.extend(["--bundle".to_owned(), out]);
        }
        let words: Vec<&str> = attach.iter().map(String::as_str).collect();
        stage.portcullis(&words)?.worked().map(drop)
    }

    /// What somebody hears who sends an access list through the proxy.
    fn put(&self, headers: &[(&str, &str)], document: &str) -> Result<Seen, Failure> {
        let before = self.bucket.list();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let (status, message) = runtime.map_err(|e| unanswered(&e))?.block_on(async {
            let body = document.as_bytes().to_vec();
            let answer = self.client.send("PUT", LIST, headers, body).await.map_err(|e| unanswered(&e))?;
            let status = answer.status;
            let body = answer.all(MAX_ANSWER).await.map_err(|e| unanswered(&e))?;
            Ok::<_, Failure>((status, message_of(&String::from_utf8_lossy(&body))))
        })?;
        let is_let_through = status == 200 && self.bucket.list() == document;
        let mut seen = Seen {
            is_let_through,
            reasons: words_of(&message),
            basis: format!("HTTP {status}"),
            message,
            left: Vec::new(),
        };
        if !is_let_through && self.bucket.list() != before {
            seen.left.push("the bucket has another access list".to_owned());
        }
        if seen.reasons.is_empty() && seen.message.contains(NO_HEADER) {
            seen.reasons.push(NO_HEADER.to_owned());
        }
        Ok(seen)
    }
}

fn unanswered(e: &dyn std::fmt::Display) -> Failure {
    Failure::new("the proxy does not answer").line("found", &e.to_string())
}

/// What S3's clients show of a refusal.
fn message_of(answer: &str) -> String {
    let message = answer.split_once("<Message>").and_then(|(_, rest)| rest.split_once("</Message>"));
    let text = message.map_or(answer, |(message, _)| message);
    let marks = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&#xA;", "\n"),
        ("&#10;", "\n"),
        ("&amp;", "&"),
    ];
    marks.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}
