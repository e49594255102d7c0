//! What is told, what is brought again, and what is kept.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use attest::time::{Span, parse_time};
use chokepoint::Record;
use kubernetes::audit_event::Named;

use super::*;

struct Nowhere;

impl Records for Nowhere {
    fn find(&mut self, _: &Named) -> Result<Option<Record>, String> {
        Ok(None)
    }
}

/// One that counts what it is told, and takes tasks only when it is willing.
struct Desk {
    watch: AuditWatch,
    told: Arc<Mutex<Vec<Told>>>,
    tasks: Arc<AtomicUsize>,
    is_willing: Arc<AtomicBool>,
}

impl Desk {
    fn new() -> Self {
        let told = Arc::new(Mutex::new(Vec::new()));
        let (tasks, is_willing) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (heard, count, willing) = (Arc::clone(&told), Arc::clone(&tasks), Arc::clone(&is_willing));
        let config = WatchConfig {
            every: Span::seconds(1),
            grace: Span::seconds(1),
            except: Vec::new(),
            audit_log: None,
        };
        let watch = AuditWatch::new(
            config,
            Mapping::new("eu"),
            Box::new(Nowhere),
            Arc::new(move |one| {
                heard.lock().unwrap().push(one);
                Ok(())
            }),
            Arc::new(move |new| match willing.load(Ordering::SeqCst) {
                true => {
                    count.fetch_add(new.len(), Ordering::SeqCst);
                    Ok(())
                }
                false => Err("the queue is full".to_owned()),
            }),
            Arc::new(|| parse_time("2026-11-23T01:00:00Z").unwrap()),
        );
        Self { watch, told, tasks, is_willing }
    }

    fn told(&self) -> Vec<String> {
        let shown = |told: &Told| match told {
            Told::Raised(finding) => finding.kind.name().to_owned(),
            Told::Over(identity) => format!("over {identity}"),
            Told::Whole(..) => "whole".to_owned(),
        };
        self.told.lock().unwrap().iter().map(shown).collect()
    }
}

fn event(id: &str) -> String {
    format!(
        r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"{id}","stage":"ResponseComplete","requestURI":"/","verb":"create","user":{{"username":"tom"}},"objectRef":{{"resource":"pods","namespace":"shop","name":"web"}},"responseStatus":{{"code":201}},"requestReceivedTimestamp":"2026-11-23T01:00:00Z","stageTimestamp":"2026-11-23T01:00:01Z","annotations":{{"failed-open.validating.webhook.admission.k8s.io/round_0_index_0":"fail-open.portcullis.dev"}}}}"#
    )
}

#[test]
fn a_batch_is_taken_only_with_its_tasks() {
    let desk = Desk::new();
    let list = format!(
        r#"{{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[{},{}]}}"#,
        event("one"),
        event("two")
    );
    assert!(matches!(desk.watch.take_batch(b"{}"), Err(NotTaken::Malformed(_))));
    let refused = desk.watch.take_batch(list.as_bytes());
    assert!(matches!(refused, Err(NotTaken::Unavailable(why)) if why == "the queue is full"));
    assert!(desk.told().is_empty());
    desk.is_willing.store(true, Ordering::SeqCst);
    desk.watch.take_batch(list.as_bytes()).unwrap();
    assert_eq!((desk.tasks.load(Ordering::SeqCst), desk.told()), (2, vec!["failed-open".to_owned(); 2]));
}

#[test]
fn a_file_is_read_on_once_its_tasks_are_taken_and_what_hides_in_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (path, kept) = (folder.path().join("audit.log"), folder.path().join("position"));
    std::fs::write(&path, format!("{}\nno event\n", event("one"))).unwrap();
    let desk = Desk::new();
    let (stop, stopped) = watch::channel(false);
    std::thread::scope(|scope| {
        scope.spawn(|| desk.watch.follow(&path, &kept, &stopped));
        let until = |what: &dyn Fn() -> bool| {
            let start = Instant::now();
            while !what() {
                assert!(start.elapsed() < Duration::from_secs(20), "{:?}", desk.told());
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        until(&|| desk.told() == ["blind"]);
        assert!(!kept.exists(), "nothing of it was seen to");
        desk.is_willing.store(true, Ordering::SeqCst);
        until(&|| desk.told().len() == 4);
        stop.send(true).unwrap();
    });
    let told = desk.told();
    assert_eq!(told, ["blind", "failed-open", "unreadable", "over blind/eu/audit-log"]);
    assert_eq!(desk.tasks.load(Ordering::SeqCst), 1);
    assert!(kept.exists());
}
