//! The disk of the decision log is full.

use std::process::Command;

use super::load::{during, tell};
use super::records::check;
use super::site::{Site, wait};
use crate::kubernetes::manifest::Spec;
use crate::{cluster, images};

/// A disk of this test's own, which goes with it.
struct Disk(String);

impl Disk {
    /// Nothing, said loudly, where nobody may mount one.
    fn mount(at: &str, megabytes: u32) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs", at]).output().unwrap();
        if !mounted.status.success() {
            let why = String::from_utf8_lossy(&mounted.stderr).into_owned();
            eprintln!(
                "\n*** SKIPPED: only root can mount a small disk ({}); NOTHING was filled ***\n",
                why.trim()
            );
            return None;
        }
        Some(Self(at.to_owned()))
    }

    /// Writes until nothing more fits.
    fn fill(&self) {
        use std::io::Write as _;
        let mut file = std::fs::File::create(format!("{}/ballast", self.0)).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(format!("{}/ballast", self.0)).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").args(["--lazy", &self.0]).status().ok();
    }
}

#[test]
fn a_full_disk_refuses_and_loses_nothing_and_goes_on_once_there_is_room() {
    let Some(cluster) = cluster() else { return };
    let site = Site::lay_out(cluster, "full", &[("shop", "prod/shop")]);
    let Some(disk) = Disk::mount(&site.webhook.folder.text("log"), 96) else { return };
    site.webhook.run();
    site.register(&site.webhook.url("validate"), |hook| hook);
    let load = Spec::of(&[&images().good[0]]).pod("load-{n}");
    let answers = during(cluster, "full-shop", &load, |sent| {
        wait("some was sent", || sent() > 40);
        disk.fill();
        // the cause is told to those who can mend it
        site.wait_unready("No space left on device");
        let before = sent();
        wait("more was sent", || sent() > before + 20);
    });
    tell("the log's disk became full", &answers);
    let last = answers.last().unwrap();
    assert!(!last.is_created());
    for words in ["cannot decide", "the log stopped after a failed write", "start the choke point anew"] {
        assert!(last.body.contains(words), "wanted `{words}` in {}", last.body);
    }
    let first = answers.iter().find(|answer| !answer.is_created()).unwrap();
    eprintln!("the first: {}\nthe last: {}", first.body, last.body);
    let said = site.refuses("shop", &["cannot decide", "mend the disk"]);
    eprintln!("{}", said.stderr.trim());
    assert_eq!(site.webhook.terminate(), Some(0));
    // a start without room says so, and does not begin
    let mut process = site.webhook.begin();
    let ended = std::cell::Cell::new(None);
    let process = std::cell::RefCell::new(&mut process);
    wait("it does not begin", || {
        ended.set(process.borrow_mut().ended());
        ended.get().is_some()
    });
    let tail = process.borrow().tail();
    assert!(ended.get().is_some_and(|status| !status.success()) && tail.contains("No space left"), "{tail}");
    eprintln!("{tail}");
    disk.free();
    let start = std::time::Instant::now();
    site.webhook.run();
    site.admits("shop");
    eprintln!("with room, and started anew, it admitted after {:.2?}", start.elapsed());
    let (heard, _) = check(&site, "full-shop");
    for answer in answers.iter().filter(|answer| answer.is_created()) {
        let name = format!("load-{}", answer.number);
        assert!(heard.values().any(|one| one.pod == name), "{name} was created without a record");
    }
}
