//! Grants are signed by people, for a while, and what cannot hold is not signed.

mod tools;

use std::fs;
use std::path::Path;

use attest::{Digest, Envelope, Json, Predicate, TrustRoot};
use evidence::Store;
use tools::{code, expect, path, portcullis, stderr, stdout};

const AT: &str = "2026-11-22T09:00:00Z";

struct Setting {
    dir: tempfile::TempDir,
}

impl Setting {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        expect(0, &["init", path(&dir.path().join("deploy"))]);
        Self { dir }
    }

    fn at(&self, name: &str) -> String {
        path(&self.dir.path().join(name)).to_owned()
    }

    fn open(&self, key: &str, expires: &str, more: &[&str]) -> std::process::Output {
        let (key, root) = (self.at(&format!("deploy/keys/{key}.key")), self.at("deploy/trust-root.yaml"));
        let what = ["--environment", "prod/shop", "--reason", "checkout is down", "--ticket", "INC-42"];
        let who = ["--expires", expires, "--key", &key, "--trust-root", &root, "--at", AT];
        portcullis(&[&["breakglass", "open"], &what[..], &who[..], more].concat())
    }

    fn list(&self, at: &str, more: &[&str]) -> String {
        let (store, root) = (self.at("deploy/evidence"), self.at("deploy/trust-root.yaml"));
        expect(
            0,
            &[&["breakglass", "list", "--store", &store, "--trust-root", &root, "--at", at], more].concat(),
        )
    }
}

#[test]
fn a_grant_lies_in_the_store_under_the_digest_that_the_annotation_names() {
    let setting = Setting::new();
    let (store, book) = (setting.at("deploy/evidence"), setting.at("deploy/book"));
    let artifact = Digest::sha256(b"shop");
    let named = artifact.to_string();
    let more =
        ["--store", &store, "--book", &book, "--artifact", &named, "--requester", "alice@acme.example"];
    let output = setting.open("bob", "1h", &more);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let store = Store::new(Path::new(&store));
    let digest = store.grants().unwrap().remove(0);
    let text = stdout(&output);
    assert!(text.contains(&format!("portcullis.dev/breakglass: {digest}")), "{text}");
    assert!(text.contains("bob lets sha256:") && text.contains("until 2026-11-22T10:00:00Z"), "{text}");
    assert!(text.contains("sre-oncall (bob), to look at it within"), "{text}");
    // it opens, as the choke point will open it
    let root = fs::read_to_string(setting.at("deploy/trust-root.yaml")).unwrap();
    let root = TrustRoot::parse("trust-root.yaml", &root).unwrap();
    let envelope = Envelope::parse(&store.grant(&digest).unwrap().unwrap()).unwrap();
    let attestation = root.open(&envelope, AT.parse().unwrap()).unwrap();
    let Predicate::Breakglass(grant) = &attestation.statement().predicate else { panic!("no grant") };
    assert_eq!(grant.artifact, Some(artifact));
    assert_eq!(grant.requester.as_deref(), Some("alice@acme.example"));
    assert_eq!((grant.reason.as_str(), grant.ticket.as_str()), ("checkout is down", "INC-42"));
    assert!(attestation.signers().iter().any(|s| s.name == "bob"));
    for (at, word) in [("2026-11-22T08:59:59Z", "to come"), (AT, "holds"), ("2026-11-22T10:00:00Z", "over")] {
        let list = setting.list(at, &[]);
        assert!(list.contains(&format!("{digest}  {word}")) && list.contains("by bob, INC-42"), "{list}");
    }
    let json = attest::json::parse(setting.list(AT, &["--format", "json"]).as_bytes()).unwrap();
    let first = json.as_array().unwrap()[0].as_object().unwrap().clone();
    assert_eq!(first.string("state").unwrap(), "holds");
    assert_eq!(first.object("grant").unwrap().string("environment").unwrap(), "prod/shop");
}

#[test]
fn the_file_and_the_store_have_the_same_bytes() {
    let setting = Setting::new();
    let (store, out) = (setting.at("deploy/evidence"), setting.at("grant.json"));
    let output = setting.open("bob", "30m", &["--store", &store, "--out", &out, "--format", "json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let said = attest::json::parse(stdout(&output).as_bytes()).unwrap();
    let said = said.as_object().unwrap();
    let digest = Digest::sha256(&fs::read(&out).unwrap());
    assert_eq!(said.string("digest").unwrap(), digest.to_string());
    assert_eq!(said.string("person").unwrap(), "bob");
    assert_eq!(said.object("annotation").unwrap().string("value").unwrap(), digest.to_string());
    assert_eq!(Store::new(Path::new(&store)).grants().unwrap(), vec![digest]);
    // two grants for the same thing are two
    let output = setting.open("bob", "30m", &["--store", &store]);
    assert_eq!(code(&output), 0);
    assert_eq!(Store::new(Path::new(&store)).grants().unwrap().len(), 2);
    let output = setting.open("bob", "30m", &["--out", &out]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("is there already"), "{}", stderr(&output));
}

#[test]
fn what_would_not_hold_is_not_signed() {
    let setting = Setting::new();
    let (store, book) = (setting.at("deploy/evidence"), setting.at("deploy/book"));
    let with_book = ["--store", store.as_str(), "--book", &book];
    expect(0, &["keygen", "--no-passphrase", &setting.at("deploy/keys/stranger")]);
    for (exit, key, expires, more, words) in [
        (2, "official-ci", "1h", vec![], "the key is no person's"),
        (2, "stranger", "1h", vec![], "the key is no person's"),
        (1, "bob", "5h", with_book.to_vec(), "hold for too long"),
        (
            1,
            "bob",
            "1h",
            [&with_book[..], &["--environment", "prod/other"]].concat(),
            "no policy for prod/other allows",
        ),
        (2, "bob", "soon", vec![], "wanted a span of time"),
        (2, "bob", "0h", vec![], "wanted a span of time"),
        (2, "bob", "1h", vec!["--artifact", "noise"], "a digest is written"),
        (2, "bob", "1h", vec!["--reason", " "], "reason"),
        (2, "bob", "1h", vec!["--ticket", " "], "ticket"),
        (2, "bob", "1h", vec!["--environment", ""], "environment"),
        (2, "absent", "1h", vec![], "cannot read the private key"),
    ] {
        // what stands later replaces what stands before
        let base = ["--environment", "prod/shop", "--reason", "x", "--ticket", "INC-42"];
        let given = |name: &&str| more.contains(name);
        let base: Vec<&str> = base.chunks(2).filter(|pair| !given(&pair[0])).flatten().copied().collect();
        let (key, root) =
            (setting.at(&format!("deploy/keys/{key}.key")), setting.at("deploy/trust-root.yaml"));
        let who = ["--expires", expires, "--key", &key, "--trust-root", &root, "--at", AT];
        let store = if more.contains(&"--store") { vec![] } else { vec!["--store", store.as_str()] };
        let output =
            portcullis(&[&["breakglass", "open"], &base[..], &who[..], &more[..], &store[..]].concat());
        assert_eq!(code(&output), exit, "{more:?} {words}: {}{}", stdout(&output), stderr(&output));
        assert!(stderr(&output).contains(words), "{more:?} {words}: {}", stderr(&output));
    }
    let output = setting.open("bob", "1h", &[]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("nothing says where the grant goes"), "{}", stderr(&output));
    assert!(Store::new(Path::new(&store)).grants().unwrap().is_empty());
}

#[test]
fn somebody_who_is_in_no_group_is_told_whom_to_ask() {
    let setting = Setting::new();
    let root = setting.at("deploy/trust-root.yaml");
    let text = fs::read_to_string(&root).unwrap().replace("sre-oncall: [bob]", "sre-oncall: [alice]");
    fs::write(&root, text).unwrap();
    let (store, book) = (setting.at("deploy/evidence"), setting.at("deploy/book"));
    let output = setting.open("bob", "1h", &["--store", &store, "--book", &book]);
    assert_eq!(code(&output), 1);
    let words = stderr(&output);
    assert!(words.contains("bob may not give a grant for prod/shop"), "{words}");
    assert!(words.contains("somebody in sre-oncall, for at most 4h"), "{words}");
}

#[test]
fn what_lies_among_grants_and_is_none_is_shown_as_none() {
    let setting = Setting::new();
    let path_of = setting.at("deploy/evidence");
    let store = Store::new(Path::new(&path_of));
    fs::write(setting.at("shop"), "x").unwrap();
    let (shop, key, out) =
        (setting.at("shop"), setting.at("deploy/keys/ci-tests.key"), setting.at("test.json"));
    expect(
        0,
        &["attest", "test", &shop, "--name", "unit", "--result", "passed", "--key", &key, "--out", &out],
    );
    let fact = store.put_grant(&fs::read(&out).unwrap()).unwrap();
    // a stranger's grant: the same words, under a trust root that does not know the key
    let stranger = Setting::new();
    let theirs = stranger.at("grant.json");
    assert_eq!(code(&stranger.open("bob", "1h", &["--out", &theirs])), 0);
    let forged = store.put_grant(&fs::read(&theirs).unwrap()).unwrap();
    let list = setting.list(AT, &[]);
    assert!(list.contains(&format!("{fact}  no grant: a test result, and no grant")), "{list}");
    assert!(list.contains(&format!("{forged}  no grant: ")) && !list.contains("by bob"), "{list}");
}

#[test]
fn what_a_log_let_through_by_a_grant_is_listed() {
    let setting = Setting::new();
    let log = setting.at("deploy/log");
    let text = expect(0, &["breakglass", "list", "--log", &log]);
    assert_eq!(text, "nothing was let through by a grant\n");
    let json = expect(0, &["breakglass", "list", "--log", &log, "--format", "json"]);
    assert_eq!(attest::json::parse(json.as_bytes()).unwrap(), Json::Array(Vec::new()));
    expect(2, &["breakglass", "list", "--log", &setting.at("absent")]);
    expect(2, &["breakglass", "list"]);
}

#[test]
fn a_folder_that_is_no_store_does_not_hold_no_grants() {
    let setting = Setting::new();
    let root = setting.at("deploy/trust-root.yaml");
    let list = |store: &str, exit| {
        expect(
            exit,
            &["breakglass", "list", "--store", &setting.at(store), "--trust-root", &root, "--at", AT],
        )
    };
    for (store, found) in [
        ("deploy/evidnce", "no such folder"),
        ("deploy/book", "other things in it"),
        ("deploy/serve.yaml", "a file"),
    ] {
        let said = list(store, 2);
        let wanted = format!("there is no evidence store in {}", setting.at(store));
        assert!(said.contains(&wanted) && said.contains(found), "{said}");
    }
    // what init makes, and what a new volume is
    assert_eq!(list("deploy/evidence", 0), "no grants\n");
    fs::create_dir(setting.at("deploy/evidence/lost+found")).unwrap();
    assert_eq!(list("deploy/evidence", 0), "no grants\n");
}

/// A log in which bob's grant let dora's deployment in.
fn let_in(setting: &Setting, seconds: i64) {
    let out = setting.at("grant.json");
    if !Path::new(&out).exists() {
        assert_eq!(code(&setting.open("bob", "4h", &["--out", &out])), 0);
    }
    let book = "environment: prod/shop\nartifact: shop\nmode: enforce\nbreakglass: { group: sre-oncall, expires: 4h, reviewed-within: 24h }\nrequire: { signed-by: [official-ci] }\n";
    let file = policy::SourceFile { name: "book/shop.yaml".to_owned(), text: book.to_owned() };
    let book = policy::Book::load(vec![file], &policy::Guardrails::none()).unwrap();
    let root = fs::read_to_string(setting.at("deploy/trust-root.yaml")).unwrap();
    let root = TrustRoot::parse("trust-root.yaml", &root).unwrap();
    let pem = fs::read_to_string(setting.at("deploy/keys/log.key")).unwrap();
    let signer = Box::new(attest::SecretKey::from_pem(&pem, None).unwrap());
    let files = tlog::Files::new(Path::new(&setting.at("deploy/log")));
    let origin = fs::read_to_string(setting.at("deploy/log/log.vkey")).unwrap();
    let log = tlog::Log::open(files, origin.split('+').next().unwrap(), signer).unwrap();
    let point = chokepoint::Chokepoint::open(book, root, log).unwrap();
    let artifact = attest::Artifact::new("shop", Digest::sha256(&seconds.to_le_bytes()).into());
    let mut request = policy::DeploymentRequest::new(artifact, "prod/shop", "test");
    request.grant = Some(policy::Submitted { name: "grant".to_owned(), bytes: fs::read(&out).unwrap() });
    request.requester = Some("dora@acme.example".to_owned());
    let at: jiff::Timestamp = AT.parse().unwrap();
    let at = at.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
    assert!(point.decide(request, at).unwrap().is_admitted());
    point.settle().unwrap();
}

/// Another person, with a key.
fn with(setting: &Setting, name: &str) {
    expect(0, &["keygen", "--no-passphrase", &setting.at(&format!("deploy/keys/{name}"))]);
    let root = setting.at("deploy/trust-root.yaml");
    let text = fs::read_to_string(&root).unwrap();
    let pem = fs::read_to_string(setting.at(&format!("deploy/keys/{name}.pub"))).unwrap();
    let pem: String = pem.lines().map(|line| format!("          {line}\n")).collect();
    let person = format!(
        "people:\n  {name}:\n    identities: [{name}@acme.example]\n    keys:\n      - key: |\n{pem}"
    );
    assert!(text.contains("people:\n"));
    fs::write(&root, text.replacen("people:\n", &person, 1)).unwrap();
}

#[test]
fn what_a_grant_let_in_is_flagged_until_a_second_person_has_reviewed_it() {
    let setting = Setting::new();
    ["carol", "dora"].iter().for_each(|name| with(&setting, name));
    let_in(&setting, 60);
    let (log, root) = (setting.at("deploy/log"), setting.at("deploy/trust-root.yaml"));
    let list =
        |exit, at| expect(exit, &["breakglass", "list", "--log", &log, "--trust-root", &root, "--at", at]);
    let due = list(0, "2026-11-22T10:00:00Z");
    assert!(due.starts_with("due 2026-11-23T09:01:00Z  prod/shop  bg-"), "{due}");
    assert!(
        due.contains("by bob, INC-42: checkout is down; it holds still")
            && due.contains("nobody has reviewed it"),
        "{due}"
    );
    assert!(list(1, "2026-11-23T09:01:00Z").starts_with("overdue 2026-11-23T09:01:00Z"));
    let own = setting.at("deploy/keys/log.key");
    let review = |exit, key: &str, more: &[&str]| {
        let key = setting.at(&format!("deploy/keys/{key}.key"));
        let what =
            ["breakglass", "review", "2", "--verdict", "justified", "--comment", "the rollback was right"];
        let who = ["--key", &key, "--trust-root", &root, "--log", &log, "--at", "2026-11-22T12:00:00Z"];
        expect(exit, &[&what[..], &who[..], more].concat())
    };
    let here = ["--log-signing-key", own.as_str()];
    assert!(review(1, "bob", &here).contains("bob gave the grant; somebody else reviews it"));
    assert!(review(1, "dora", &here).contains("dora deployed under the grant; somebody else reviews it"));
    assert!(review(1, "official-ci", &here).contains("a person reviews, and no machine"));
    let lock = tlog::Files::new(Path::new(&log)).lock().unwrap();
    assert!(review(2, "carol", &here).contains("send it there: --server URL"));
    // closing alone would not do: a program that another test starts at this moment holds the file too, until it runs
    lock.unlock().unwrap();
    assert!(review(0, "carol", &here).starts_with("carol reviewed grant bg-"));
    assert!(review(1, "carol", &here).contains("on record already, at 4"));
    let reviewed = list(0, "2027-01-01T00:00:00Z");
    assert!(reviewed.starts_with("reviewed  prod/shop"), "{reviewed}");
    assert!(reviewed.contains("carol says justified: the rollback was right"), "{reviewed}");
    expect(0, &["log", "verify", &log]);
    // without a trust root nobody knows whose word it is
    let unproven = expect(1, &["breakglass", "list", "--log", &log, "--at", "2027-01-01T00:00:00Z"]);
    assert!(unproven.contains("a review that does not count: no trust root says whose it is"), "{unproven}");
    let_in(&setting, 3 * 3600);
    assert!(list(0, "2026-11-22T13:00:00Z").starts_with("due 2026-11-23T12:00:00Z"));
    assert!(expect(0, &["alarms", "list", "--log", &log]).contains("no alarm is open"));
    let close =
        ["alarms", "close", "writer-gap-1", "--reason", "seen", "--log", &log, "--log-signing-key", &own];
    assert!(expect(2, &close).contains("no open alarm is called writer-gap-1"));
}
