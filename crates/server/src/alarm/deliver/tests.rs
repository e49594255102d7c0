use super::*;

/// A sink that does what the test says, and keeps what it was told.
#[derive(Clone, Default)]
struct Scripted {
    told: Arc<Mutex<Vec<u64>>>,
    refuses: Arc<Mutex<BTreeSet<u64>>>,
    is_down: Arc<std::sync::atomic::AtomicBool>,
    asked: Arc<std::sync::atomic::AtomicUsize>,
}

use std::sync::atomic::Ordering::SeqCst;

impl Tell for Scripted {
    fn tell(&mut self, notice: &Notice) -> Result<(), String> {
        self.asked.fetch_add(1, SeqCst);
        if self.is_down.load(SeqCst) || self.refuses.lock().unwrap().contains(&notice.sequence) {
            return Err("down".to_owned());
        }
        self.told.lock().unwrap().push(notice.sequence);
        Ok(())
    }
}

fn notice(sequence: u64) -> Notice {
    let at = jiff::Timestamp::from_second(1_800_000_000).unwrap();
    Notice { sequence, event: "alarm", ..Notice::test("log.example", at) }
}

struct Setting {
    dir: tempfile::TempDir,
    sink: Scripted,
    /// The sequences of alarms in the log.
    log: Arc<Mutex<Vec<u64>>>,
}

impl Setting {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), sink: Scripted::default(), log: Arc::default() }
    }

    fn start(&self, size: u64, open: &[Notice]) -> Outbox {
        let log = Arc::clone(&self.log);
        let source = Arc::new(move |from: u64| {
            let all = log.lock().unwrap();
            let some: Vec<u64> = all.iter().copied().filter(|n| *n >= from).take(100).collect();
            let next = some.last().map_or(from, |last| last + 1);
            Ok((some.into_iter().map(notice).collect(), next))
        });
        let pace = Pace { least: Duration::from_millis(1), most: Duration::from_millis(20) };
        let (name, tell, metrics) = ("test".to_owned(), Box::new(self.sink.clone()), AlarmMetrics::default());
        let file = self.dir.path().join("told.json");
        Outbox::start(Delivery { name, tell, file, source, metrics, pace }, size, open).unwrap()
    }

    fn push(&self, outbox: &Outbox, sequence: u64) {
        self.log.lock().unwrap().push(sequence);
        outbox.push(&notice(sequence));
    }

    fn wait(&self, wanted: &[u64]) {
        let began = Instant::now();
        loop {
            let mut told = self.sink.told.lock().unwrap().clone();
            told.sort_unstable();
            if told == wanted {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "told {} of {}", told.len(), wanted.len());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn what_was_not_told_is_told_after_a_restart_and_what_was_is_not() {
    let setting = Setting::new();
    let outbox = setting.start(0, &[]);
    setting.push(&outbox, 3);
    setting.wait(&[3]);
    setting.sink.is_down.store(true, SeqCst);
    setting.push(&outbox, 5);
    setting.push(&outbox, 9);
    let began = Instant::now();
    while outbox.failure().is_none() {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(outbox.failure().unwrap(), ("test".to_owned(), "down".to_owned()));
    drop(outbox);
    std::thread::sleep(Duration::from_millis(60));
    setting.sink.is_down.store(false, SeqCst);
    setting.wait(&[3]);
    let outbox = setting.start(20, &[]);
    setting.wait(&[3, 5, 9]);
    // it is kept a moment after it was told
    let file = setting.dir.path().join("told.json");
    while Told::read(&file).unwrap().unwrap().through < 10 {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(outbox);
    let outbox = setting.start(20, &[]);
    setting.push(&outbox, 21);
    setting.wait(&[3, 5, 9, 21]);
}

#[test]
fn one_that_a_sink_never_takes_holds_up_no_other_and_stays_owed() {
    let setting = Setting::new();
    setting.sink.refuses.lock().unwrap().insert(2);
    let outbox = setting.start(0, &[]);
    (1..=6).for_each(|sequence| setting.push(&outbox, sequence));
    setting.wait(&[1, 3, 4, 5, 6]);
    drop(outbox);
    std::thread::sleep(Duration::from_millis(60));
    setting.sink.refuses.lock().unwrap().clear();
    let _outbox = setting.start(7, &[]);
    setting.wait(&[1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_flood_is_bounded_in_memory_and_told_whole_from_the_log() {
    let setting = Setting::new();
    setting.sink.is_down.store(true, SeqCst);
    let outbox = setting.start(0, &[]);
    (0..1500).for_each(|sequence| setting.push(&outbox, sequence));
    assert!(outbox.shared.lock().waiting.len() <= MAX_WAITING);
    setting.sink.is_down.store(false, SeqCst);
    let all: Vec<u64> = (0..1500).collect();
    setting.wait(&all);
    setting.push(&outbox, 1500);
    setting.wait(&[all, vec![1500]].concat());
}

#[test]
fn a_sink_that_was_never_told_anything_is_told_what_is_open() {
    let setting = Setting::new();
    let _outbox = setting.start(50, &[notice(7), notice(30)]);
    setting.wait(&[7, 30]);
}

#[test]
fn a_sink_that_is_down_is_not_asked_all_the_time() {
    let setting = Setting::new();
    setting.sink.is_down.store(true, SeqCst);
    let outbox = setting.start(0, &[]);
    setting.push(&outbox, 1);
    std::thread::sleep(Duration::from_millis(200));
    let asked = setting.sink.asked.load(SeqCst);
    // 1, 2, 4, 8, 16, then 20 ms each
    assert!((2..=20).contains(&asked), "{asked}");
}

#[test]
fn a_file_that_is_not_what_was_written_is_said_and_not_overwritten() {
    let setting = Setting::new();
    let file = setting.dir.path().join("told.json");
    for bad in ["", "{}", "{\"through\":-1,\"beyond\":[]}"] {
        std::fs::write(&file, bad).unwrap();
        assert!(Told::read(&file).is_err(), "{bad}");
    }
}
