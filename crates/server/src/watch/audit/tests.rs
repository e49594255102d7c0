//! What joins, and every way in which something only seems to.

use std::collections::BTreeMap;

use attest::time::{Span, parse_time};
use chokepoint::Position;

use super::*;

const HEX: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

struct Known(BTreeMap<u64, Record>);

impl Records for Known {
    fn find(&mut self, named: &Named) -> Result<Option<Record>, String> {
        if named.index == 99 {
            return Err("the disk is gone".to_owned());
        }
        Ok(self.0.get(&named.index).filter(|_| named.leaf == leaf(named.index)).cloned())
    }
}

fn leaf(index: u64) -> Digest {
    Digest::sha256(&index.to_be_bytes())
}

fn image(fill: char) -> String {
    format!("registry.example/shop@sha256:{}", HEX.replace('a', &fill.to_string()))
}

fn record(fill: char) -> Record {
    let digest = Digest::sha256(b"");
    Record {
        position: Position { writer: "w".to_owned(), epoch: 0, sequence: 0, previous: None },
        at: parse_time("2026-11-23T01:00:00Z").unwrap(),
        decision: "admit".to_owned(),
        basis: "policy".to_owned(),
        outcome: "met".to_owned(),
        environment: "prod/shop".to_owned(),
        artifact: String::new(),
        digest: digest_of(&image(fill)),
        workload: Some("tests/shop/Deployment/web".to_owned()),
        requester: None,
        chokepoint: "kubernetes/tests".to_owned(),
        grant: None,
        rules: Vec::new(),
        trust_root_version: 1,
        case: digest.clone(),
        decided: digest.clone(),
        book: digest,
    }
}

fn event(id: &str, receipts: &[u64], images: &[String]) -> String {
    let receipts: Vec<String> = receipts.iter().map(|index| format!("p={index}:{}", leaf(*index))).collect();
    let containers: Vec<String> = images.iter().map(|i| format!(r#"{{"name":"c","image":"{i}"}}"#)).collect();
    format!(
        r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"{id}","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/shop/pods",
"verb":"create","user":{{"username":"tom"}},"objectRef":{{"resource":"pods","namespace":"shop","name":"web"}},"responseStatus":{{"code":201}},
"responseObject":{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"web"}},"spec":{{"containers":[{}]}}}},
"requestReceivedTimestamp":"2026-11-23T01:00:00Z","stageTimestamp":"2026-11-23T01:00:01Z",
"annotations":{{"fail-closed.portcullis.dev/receipt":"{}"}}}}"#,
        containers.join(","),
        receipts.join(" ")
    )
}

fn join() -> AuditJoin {
    let config =
        WatchConfig { every: Span::seconds(1), grace: Span::seconds(1), except: Vec::new(), audit_log: None };
    AuditJoin::new(Mapping::new("tests"), config)
}

fn known(records: &[(u64, Record)]) -> Known {
    Known(records.iter().cloned().collect())
}

fn found(join: &mut AuditJoin, text: &str, known: &mut Known) -> String {
    let event = AuditEvent::parse(text.as_bytes()).unwrap();
    join.take(&event, known).unwrap().map_or_else(String::new, |f| format!("{} {}", f.kind.name(), f.title))
}

#[test]
fn a_write_with_a_record_for_each_image_joins() {
    let mut records = known(&[(1, record('a')), (2, record('b'))]);
    let mut join = join();
    let text = event("one", &[1, 2], &[image('a'), image('b'), "registry.example/by-tag:1".to_owned()]);
    assert_eq!(found(&mut join, &text, &mut records), "");
    // the same event again, as after a crash
    assert_eq!(found(&mut join, &text, &mut records), "");
    assert_eq!((join.counts().joined, join.counts().wrong), (2, 0));
    let hours: Vec<_> = join.hours().map(|(hour, counts)| (hour.to_string(), counts.writes)).collect();
    assert_eq!(hours, [("2026-11-23T01:00:00Z".to_owned(), 2)]);
}

#[test]
fn a_record_vouches_for_one_write() {
    let mut records = known(&[(1, record('a'))]);
    let mut join = join();
    assert_eq!(found(&mut join, &event("one", &[1], &[image('a')]), &mut records), "");
    let again = found(&mut join, &event("two", &[1], &[image('a')]), &mut records);
    assert!(
        again.starts_with("record-reused tom created shop/pods/web: record 1 was named by the request one"),
        "{again}"
    );
}

#[test]
fn a_record_of_something_else_vouches_for_nothing() {
    let change = |change: &dyn Fn(&mut Record)| {
        let mut record = record('a');
        change(&mut record);
        found(&mut join(), &event("one", &[1], &[image('a')]), &mut known(&[(1, record)]))
    };
    let time = |text: &str| parse_time(text).unwrap();
    for (said, why) in [
        (change(&|r| r.decision = "reject".to_owned()), "record 1 says reject, and it was stored"),
        (change(&|r| r.chokepoint = "kubernetes/other".to_owned()), "record 1 is of kubernetes/other"),
        (
            change(&|r| r.workload = Some("tests/other/Deployment/web".to_owned())),
            "is about tests/other/Deployment/web",
        ),
        (
            change(&|r| r.workload = Some("tests/ClusterRole/shop".to_owned())),
            "is about tests/ClusterRole/shop",
        ),
        (change(&|r| r.workload = None), "is about no workload"),
        (change(&|r| r.at = time("2026-11-23T01:10:00Z")), "record 1 is of 2026-11-23T01:10:00Z"),
        (change(&|r| r.at = time("2026-11-23T00:50:00Z")), "record 1 is of 2026-11-23T00:50:00Z"),
        (
            change(&|r| r.digest = digest_of(&image('b'))),
            "no record that it names is about registry.example/shop@sha256:aaa",
        ),
        (change(&|r| r.digest = None), "no record that it names is about"),
    ] {
        assert!(said.starts_with("record-differs") && said.contains(why), "{why}: {said}");
    }
}

#[test]
fn a_record_that_is_nowhere_is_named_and_a_log_that_cannot_be_read_is_no_absence() {
    let said = found(&mut join(), &event("one", &[7], &[image('a')]), &mut known(&[]));
    assert!(said.starts_with("record-unknown") && said.contains("no log of ours has the record 7"), "{said}");
    // at the same place, another leaf
    let other = event("one", &[1], &[image('a')]).replace(&leaf(1).to_string(), &leaf(2).to_string());
    let said = found(&mut join(), &other, &mut known(&[(1, record('a'))]));
    assert!(said.starts_with("record-unknown"), "{said}");
    let event = AuditEvent::parse(event("one", &[99], &[]).as_bytes()).unwrap();
    let mut join = join();
    assert_eq!(join.take(&event, &mut known(&[])), Err("the disk is gone".to_owned()));
    assert_eq!(join.counts(), Counts::default(), "it is brought again, and counted then");
}

#[test]
fn nobody_of_ours_is_excused_only_where_nobody_is_to_decide() {
    let silent =
        event("one", &[], &[image('a')]).replace("fail-closed.portcullis.dev/receipt", "other/receipt");
    let mut join = join();
    let said = found(&mut join, &silent, &mut known(&[]));
    assert!(
        said.starts_with("undecided-write tom created shop/pods/web: nobody of ours was asked"),
        "{said}"
    );
    let system = silent.replace(r#""namespace":"shop""#, r#""namespace":"kube-system""#);
    assert_eq!(found(&mut join, &system, &mut known(&[])), "");
    assert_eq!((join.counts().wrong, join.counts().excepted), (1, 1));
    // but where one of ours is said to have answered, its records are looked up there, too
    let claimed = event("one", &[7], &[]).replace(r#""namespace":"shop""#, r#""namespace":"kube-system""#);
    assert!(found(&mut join, &claimed, &mut known(&[])).starts_with("record-unknown"));
}

#[test]
fn a_write_that_went_on_without_an_answer_is_a_task_once() {
    let open = event("one", &[], &[image('a')]).replace(
        "fail-closed.portcullis.dev/receipt\":\"",
        "failed-open.validating.webhook.admission.k8s.io/round_0_index_0\":\"fail-open.portcullis.dev",
    );
    let mut join = join();
    let said = found(&mut join, &open, &mut known(&[]));
    assert!(
        said.starts_with("failed-open") && said.contains("fail-open.portcullis.dev did not answer"),
        "{said}"
    );
    let tasks = join.drain();
    assert_eq!((tasks.len(), tasks[0].images.clone()), (1, Some(vec![image('a')])));
    assert!(join.drain().is_empty());
    assert_eq!((join.counts().failed_open, join.counts().wrong), (1, 0));
}
