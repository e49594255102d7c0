//! `log audit` over files that are good, bad, and none. What it finds in a real cluster: `kubernetes/failures/watched.rs`.

mod tools;

use std::fs;

use attest::note::NoteKey;
use attest::{Digest, Json, SecretKey, Signer as _};
use tlog::{Files, Log};
use tools::{expect, path};

struct Place(tempfile::TempDir);

impl Place {
    /// A log without a record.
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let key = || Box::new(SecretKey::from_ed25519_seed(&[7; 32]).unwrap());
        let log = Log::create(Files::new(&place.0.path().join("log")), "example.org/log", key()).unwrap();
        drop(log);
        let vkey = NoteKey { name: "example.org/log".to_owned(), key: key().public().clone() }.to_vkey();
        place.write("log/log.vkey", &vkey);
        place
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn at(&self, name: &str) -> String {
        path(&self.0.path().join(name)).to_owned()
    }

    fn audit(&self, exit: i32, more: &[&str]) -> String {
        let (audit, log) = (self.at("audit.log"), self.at("log"));
        expect(exit, &[&["log", "audit", "--audit-log", &audit, "--log", &log], more].concat())
    }
}

fn event(namespace: &str, receipt: &str) -> String {
    format!(
        r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"id","stage":"ResponseComplete","requestURI":"/","verb":"create","user":{{"username":"tom"}},"sourceIPs":["10.0.0.9"],"objectRef":{{"resource":"pods","namespace":"{namespace}","name":"web"}},"responseStatus":{{"code":201}},"requestReceivedTimestamp":"2026-11-23T01:00:00Z","stageTimestamp":"2026-11-23T01:00:01Z","annotations":{{"{receipt}":"p=17:{}"}}}}
"#,
        Digest::sha256(b"")
    )
}

#[test]
fn what_does_not_join_is_listed_and_counted() {
    let place = Place::new();
    place.write("audit.log", &event("kube-system", "other.example/receipt"));
    let clean = place.audit(0, &[]);
    assert_eq!(
        clean,
        "1 writes in 1 events: 0 decided, 0 with nothing to judge, 1 where nobody is to decide; 0 do not join\n"
    );
    let silent = event("shop", "other.example/receipt");
    place.write("audit.log", &silent);
    let found = place.audit(1, &[]);
    assert!(
        found.contains("undecided-write  tom from 10.0.0.9 created shop/pods/web: nobody of ours"),
        "{found}"
    );
    assert!(found.ends_with("1 do not join\n"), "{found}");
    place.audit(0, &["--except", "shop"]);
    place.write("audit.log", &event("shop", "fail-closed.portcullis.dev/receipt"));
    let found = attest::json::parse(place.audit(1, &["--format", "json"]).as_bytes()).unwrap();
    let first = found.as_object().unwrap().array("findings").unwrap()[0].as_object().unwrap().clone();
    assert_eq!(first.string("kind").unwrap(), "record-unknown");
    let hours = found.as_object().unwrap().array("hours").unwrap();
    assert_eq!(hours[0].as_object().unwrap().get("from"), Some(&Json::from("2026-11-23T01:00:00Z")));
}

#[test]
fn what_cannot_be_read_is_never_nothing() {
    let place = Place::new();
    assert!(place.audit(2, &[]).contains("cannot read the audit log"));
    fs::create_dir(place.0.path().join("audit.log")).unwrap();
    place.audit(2, &[]);
    fs::remove_dir(place.0.path().join("audit.log")).unwrap();
    place.write("audit.log", &format!("{}noise\n{{\"half", event("kube-system", "x/y")));
    let found = place.audit(1, &[]);
    assert!(found.contains("audit.log:2 of the audit log: the audit event cannot be read"), "{found}");
    place.write("audit.log", "");
    place.audit(0, &[]);
    place.audit(2, &["--config", &place.at("none.yaml")]);
    place.write("bad.yaml", "webhook: 5\n");
    place.audit(2, &["--config", &place.at("bad.yaml")]);
    place.write("log/checkpoint", "nonsense");
    assert!(place.audit(1, &[]).contains("is not what was written"));
}
