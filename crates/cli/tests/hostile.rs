//! Hostile builds: each is stopped for its stated reason, while an honest build beside them stays bit-identical, and
//! nothing of any of them is left.

mod range;
mod tools;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use range::table::{ATTACKS, Attack, Ends};
use range::{Ended, Range, Trusted};

const HONEST: Attack = Attack::new("honest", Ends::Built(&[])).outputs("honest");
const VICTIM: Attack = Attack::new("victim", Ends::Built(&[]));

#[test]
fn every_attack_is_stopped_for_its_stated_reason_and_an_honest_build_beside_them_stays_the_same() {
    if !is_root() {
        skip("limits and users of builds need root");
        return;
    }
    let attacks = ATTACKS.iter().map(|attack| (attack, attack.ends));
    run_all(&attacks.collect::<Vec<_>>(), &["--sandbox", "bubblewrap"]);
}

#[test]
fn gvisor_stops_the_same_attacks() {
    let tools = tools::cache("tools");
    if !is_root() || tools::part("runsc", tools.join("runsc")).is_none() {
        return;
    }
    let attacks = ATTACKS.iter().filter_map(|attack| Some((attack, attack.gvisor?)));
    run_all(&attacks.collect::<Vec<_>>(), &["--sandbox", "gvisor"]);
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n")
}

fn skip(why: &str) {
    eprintln!("\n*** SKIPPED: {why}. This test checked NOTHING ***\n");
}

/// All attacks, two at a time, and the honest build beside them for as long.
fn run_all(attacks: &[(&Attack, Ends)], sandbox: &[&str]) {
    // one at a time: each has builds beside it already
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let start = Instant::now();
    let range = Range::new();
    let honest = range.build(&HONEST, sandbox);
    assert_eq!((honest.code, honest.published.len()), (0, 2), "{}", honest.said);
    let trusted = range.trusted();
    let (next, is_over, wrong) = (Mutex::new(attacks.iter()), AtomicBool::new(false), Mutex::new(Vec::new()));
    let attack = || {
        loop {
            let Some((attack, ends)) = next.lock().unwrap().next() else { break };
            let begun = Instant::now();
            let found = if attack.name == "spy" {
                spy(&range, attack, sandbox)
            } else {
                Ok(range.build(attack, sandbox))
            };
            let found = found.and_then(|ended| judge(attack, *ends, &ended));
            eprintln!(
                "{:>22} {:>5} ms  {}",
                attack.name,
                begun.elapsed().as_millis(),
                found.as_ref().map_or("WRONG", |()| "stopped")
            );
            wrong.lock().unwrap().extend(found.err().map(|why| format!("{}: {why}", attack.name)));
        }
    };
    let beside = std::thread::scope(|scope| {
        let attackers = [scope.spawn(attack), scope.spawn(attack)];
        let beside = scope.spawn(|| {
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) {
                let again = range.build(&HONEST, sandbox);
                if again.code != 0 || again.report != honest.report {
                    wrong.lock().unwrap().push(format!("the honest build fails or differs: {}", again.said));
                }
                count += 1;
            }
            count
        });
        for attacker in attackers {
            attacker.join().unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        beside.join().unwrap()
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {} attacks:\n{}", wrong.len(), attacks.len(), wrong.join("\n"));
    nothing_is_left(&range);
    only_outputs_are_added(&trusted, &range.trusted());
    eprintln!("{} attacks, {beside} honest builds beside them, {:?}", attacks.len(), start.elapsed());
}

/// The same as every attack, with a build beside it that is worth a look.
fn spy(range: &Range, attack: &Attack, sandbox: &[&str]) -> Result<Ended, String> {
    let log = range.at("victim.log");
    std::thread::scope(|scope| {
        let victim = scope.spawn(|| range.build(&VICTIM, &[sandbox, &["--log", &log]].concat()));
        let start = Instant::now();
        while !fs::read_to_string(&log).is_ok_and(|said| said.contains("ready")) {
            if start.elapsed() > Duration::from_secs(20) {
                return Err(format!("the victim is not there: {}", victim.join().unwrap().said));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let ended = range.build(attack, sandbox);
        let is_there = !victim.is_finished();
        let victim = victim.join().unwrap();
        match (is_there, victim.report == "portcullis-hostile-mark") {
            (true, true) => Ok(ended),
            (false, _) => Err("the victim was over before the spy was: this shows nothing".to_owned()),
            (_, false) => Err(format!("the victim lost its mark: {:?} {}", victim.report, victim.said)),
        }
    })
}

/// What is wrong with the way an attack ended.
fn judge(attack: &Attack, ends: Ends, ended: &Ended) -> Result<(), String> {
    let all = format!(
        "exit {}, published {:?}\nreport:\n{}\nsaid:\n{}",
        ended.code, ended.published, ended.report, ended.said
    );
    if let Some(c) = ended.said.chars().find(|c| is_steering(*c)) {
        return Err(format!("{c:?} reaches the terminal; {all}"));
    }
    if ended.report.contains("DONE") {
        return Err(format!("it could do what it tried; {all}"));
    }
    let has =
        |text: &str, wanted: &[&str]| wanted.iter().find(|w| !text.contains(**w)).map(|w| (*w).to_owned());
    let lines = |wanted: &[&str]| {
        wanted.iter().find(|w| !ended.report.lines().any(|l| l == **w)).map(|w| (*w).to_owned())
    };
    let record = format!("{}.failed.sigstore.json", attack.name);
    let (code, missing, published) = match ends {
        Ends::Built(wanted) => (0, lines(wanted), None),
        Ends::Either(wanted, _) if ended.code == 0 => (0, lines(wanted), None),
        Ends::Either(_, wanted) | Ends::Refused(wanted) => {
            // a command that ran and whose outputs are refused leaves the record of that, and nothing else
            (
                2,
                has(&ended.said, wanted),
                Some(ended.published.iter().filter(|p| **p == record).cloned().collect()),
            )
        }
        Ends::Stopped(wanted) => (2, has(&ended.said, wanted), Some(vec![record.clone()])),
    };
    if ended.code != code {
        return Err(format!("wanted exit {code}; {all}"));
    }
    if let Some(missing) = missing {
        return Err(format!("nothing says `{missing}`; {all}"));
    }
    match published {
        Some(published) if published != ended.published => Err(format!("wanted only {published:?}; {all}")),
        _ => Ok(()),
    }
}

/// Whether a character moves the cursor, or turns what is read around.
fn is_steering(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What later builds trust is as it was, and what the orchestrator added bears the name of its content.
fn only_outputs_are_added(before: &Trusted, after: &Trusted) {
    for (path, digest) in before {
        assert_eq!(after.get(path), Some(digest), "{} has changed", path.display());
    }
    for (path, digest) in after.iter().filter(|(path, _)| !before.contains_key(*path)) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let is_content = path.parent().unwrap().ends_with("store/outputs") && digest.ends_with(name);
        assert!(is_content, "{} was added: {digest}", path.display());
    }
}

fn nothing_is_left(range: &Range) {
    let mut left = Vec::new();
    // a killed process takes a moment to be gone, on a loaded machine a long one
    for _ in 0..500 {
        left = range.left_over();
        if left.is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("left of a build: {left:?}");
}

#[test]
fn the_table_in_the_docs_names_exactly_the_attacks_that_run_and_every_file_says_what_stops_it() {
    let attacks: BTreeSet<&str> = ATTACKS.iter().map(|a| a.name).collect();
    assert!(attacks.len() == ATTACKS.len() && attacks.len() >= 25);
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/hostile-builds.md");
    let docs = fs::read_to_string(docs).unwrap();
    let rows = docs.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let rows: Vec<&str> = rows.collect();
    assert_eq!(rows.iter().copied().collect::<BTreeSet<_>>(), attacks);
    assert_eq!(rows.len(), attacks.len(), "an attack stands twice in the table");
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(range::ATTACKS).unwrap() {
        let path = entry.unwrap().path();
        let (name, text) =
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap());
        if !["attack", "honest", "victim"].contains(&name.as_str()) {
            assert!(
                text.contains("Tries: ") && text.contains("Stopped by: "),
                "{name} does not say what it is"
            );
            files.insert(name);
        }
    }
    assert_eq!(files.iter().map(String::as_str).collect::<BTreeSet<_>>(), attacks);
}
