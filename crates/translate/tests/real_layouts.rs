//! The layouts and links of in-toto-golang's own tests, in the old form and in DSSE.

#[path = "../../advisory/tests/data/mod.rs"]
mod data;

use attest::digest::DigestSet;
use attest::time::parse_time;
use attest::{Digest, PublicKey};
use translate::layout::{Given, Links, Report, Unpacked, unpacks, verify};

use data::data;

struct World {
    layout: Vec<u8>,
    keys: Vec<PublicKey>,
    links: Links,
}

fn world(layout: &str) -> Option<World> {
    let dir = data("in-toto")?;
    let mut links = Links::new();
    for entry in std::fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        links.insert(name, std::fs::read(&path).unwrap());
    }
    let pem = std::fs::read_to_string(dir.join("alice.pub")).unwrap();
    let keys = vec![PublicKey::from_pem(&pem).unwrap()];
    Some(World { layout: std::fs::read(dir.join(layout)).unwrap(), keys, links })
}

impl World {
    fn verify(&self, artifact: Option<&DigestSet>, at: &str) -> Report {
        self.verify_with(artifact, None, at)
    }

    fn verify_with(&self, artifact: Option<&DigestSet>, unpacked: Option<&Unpacked>, at: &str) -> Report {
        let at = parse_time(at).unwrap();
        let given = Given { keys: &self.keys, links: &self.links, artifact, unpacked, at };
        verify(&self.layout, given).unwrap()
    }
}

const NOW: &str = "2026-11-22T09:00:00Z";

fn foo() -> DigestSet {
    Digest::sha256(&std::fs::read(data("in-toto").unwrap().join("foo.tar.gz")).unwrap()).into()
}

#[test]
fn both_forms_of_the_demo_hold_but_for_the_inspection_that_is_not_run() {
    for name in ["demo.layout", "demo.dsse.layout"] {
        let Some(world) = world(name) else { return };
        let report = world.verify(Some(&foo()), NOW);
        assert_eq!(report.findings, [], "{name}");
        let steps: Vec<&str> = report.steps.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(steps, ["write-code", "package"]);
        assert_eq!(report.undecided.len(), 1);
        assert_eq!(report.undecided[0].place, "inspection untar");
        assert!(report.undecided[0].why.contains("tar xfz foo.tar.gz"), "{:?}", report.undecided);
        assert!(!report.is_met());
    }
}

/// What somebody found in the archive who has read it.
fn unpacked(name: &str, archive: DigestSet, files: &[(&str, &str)]) -> Unpacked {
    let file = |(path, digest): &(&str, &str)| {
        ((*path).to_owned(), DigestSet::from(Digest::parse(&format!("sha256:{digest}")).unwrap()))
    };
    Unpacked { name: name.to_owned(), digests: archive, files: files.iter().map(file).collect() }
}

#[test]
fn an_inspection_that_only_unpacks_is_read_and_its_rules_hold_or_do_not() {
    const FOO: &str = "74dc3727c6e89308b39e4dfedf787e37841198b1fa165a27c013544a60502549";
    let other = "0".repeat(64);
    for name in ["demo.layout", "demo.dsse.layout"] {
        let Some(world) = world(name) else { return };
        let with = |u: Unpacked| world.verify_with(Some(&foo()), Some(&u), NOW);
        let report = with(unpacked("foo.tar.gz", foo(), &[("foo.py", FOO)]));
        assert!(report.is_met(), "{name}: {report:?}");
        let report = with(unpacked("foo.tar.gz", foo(), &[("foo.py", &other)]));
        assert_eq!(report.findings[0].rule, "artifact-rules", "{report:?}");
        assert!(report.findings[0].found.contains("foo.py"), "{report:?}");
        // another name, or the content of another archive, is not what would be unpacked
        let elsewhere = with(unpacked("bar.tar.gz", foo(), &[("foo.py", FOO)]));
        let swapped = with(unpacked("foo.tar.gz", Digest::sha256(b"x").into(), &[("foo.py", FOO)]));
        for report in [elsewhere, swapped] {
            assert_eq!((report.findings.len(), report.undecided.len()), (0, 1), "{report:?}");
        }
    }
}

#[test]
fn only_a_command_that_unpacks_and_nothing_else_is_read() {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    for (command, archive) in [
        ("tar xfz foo.tar.gz", Some("foo.tar.gz")),
        ("tar -xvf foo.tar", Some("foo.tar")),
        ("tar cf foo.tar", None),
        ("tar xf ../foo.tar", None),
        ("tar xf --to-command=sh", None),
        ("tar xf foo.tar foo.py", None),
        ("tar --to-command=sh -xf foo.tar", None),
        ("tarx xf foo.tar", None),
        ("unzip foo.zip", None),
    ] {
        assert_eq!(unpacks(&words(command)), archive, "{command}");
    }
}

#[test]
fn a_layout_without_inspections_is_met() {
    let Some(world) = world("dsse-only.root.layout") else { return };
    let report = world.verify(None, NOW);
    assert!(report.is_met(), "{report:?}");
    let product = "0c5c56be1f4d8707fe981f07b0d35a4a1a50e898e3ebc8b1fa12c7c6f364bb7b";
    let product = DigestSet::from(Digest::parse(&format!("sha256:{product}")).unwrap());
    assert!(world.verify(Some(&product), NOW).is_met());
    let report = world.verify(Some(&foo()), NOW);
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].rule, "artifact-produced");
    assert!(report.findings[0].found.contains("demo-project.tar.gz"), "{:?}", report.findings);
}

#[test]
fn a_layout_counts_until_it_expires_and_not_at_that_moment() {
    let Some(world) = world("dsse-only.root.layout") else { return };
    assert!(world.verify(None, "2030-06-03T13:25:19Z").is_met());
    let report = world.verify(None, "2030-06-03T13:25:20Z");
    assert_eq!(report.findings[0].rule, "layout-current");
    assert!(report.findings[0].wanted.contains("2030-06-03T13:25:20Z"));
}

#[test]
fn every_owner_must_have_signed() {
    let Some(mut world) = world("demo.layout") else { return };
    let carol = std::fs::read_to_string(data("in-toto").unwrap().join("carol.pub")).unwrap();
    world.keys.push(PublicKey::from_pem(&carol).unwrap());
    let report = world.verify(None, NOW);
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].rule, "layout-signed");
    assert!(report.findings[0].wanted.contains(&world.keys[1].id()), "{:?}", report.findings);
    assert!(report.steps.is_empty() && report.undecided.is_empty(), "an unsigned layout says nothing");
    world.keys.clear();
    assert_eq!(world.verify(None, NOW).findings[0].rule, "layout-signed");
}

#[test]
fn any_changed_byte_of_a_layout_or_link_is_noticed() {
    let Some(mut world) = world("dsse-only.root.layout") else { return };
    let link = "package-dsse.2f89b927.link";
    let good = world.links[link].clone();
    let mut noticed = 0;
    for at in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        world.links.insert(link.to_owned(), bad);
        let report = world.verify(None, NOW);
        // what only names the key is a hint, and may be changed
        let text = String::from_utf8_lossy(&good);
        let hint = text.find("\"keyid\"").unwrap();
        if (hint..hint + 76).contains(&at) {
            continue;
        }
        assert_eq!(report.findings.first().map(|f| f.rule), Some("links-signed"), "byte {at}");
        assert!(report.ignored.iter().any(|why| why.starts_with(link)), "byte {at}");
        noticed += 1;
    }
    assert!(noticed > 100);
}
