//! Real OSV records, and those that were broken on purpose.

mod data;

use std::collections::BTreeMap;

use advisory::{Certainty, Component, Database, Ecosystem, Record, Unread};
use attest::claims::Severity;

fn records() -> Option<BTreeMap<String, Result<Record, Box<Unread>>>> {
    let dir = data::data("osv-records")?;
    let mut records = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name != "schema" {
            records.insert(name, Record::parse(&std::fs::read(&path).unwrap()));
        }
    }
    println!("{} records", records.len());
    Some(records)
}

#[test]
fn real_records_are_read_and_broken_ones_say_why() {
    let Some(records) = records() else { return };
    let mut good = 0;
    for (name, record) in &records {
        let why = record.as_ref().err().map(ToString::to_string);
        match name.as_str() {
            "nointroduced-CVE-2023-41045" => {
                let why = why.unwrap();
                assert!(
                    why.contains("affected[0].ranges[0].events: wanted a version that introduced it"),
                    "{why}"
                );
            }
            "nondistinct-CVE-2018-5407" => {
                let why = why.unwrap();
                assert!(why.contains("which introduced and fixed it"), "{why}");
                let unread = record.as_ref().unwrap_err();
                assert!(unread.packages.iter().any(|p| p.name == "openssl"), "its packages are known");
            }
            _ => {
                assert_eq!(why, None, "{name}");
                good += 1;
            }
        }
    }
    println!("{good} read, {} refused", records.len() - good);
    assert!(good >= 9);
    let severity = |name: &str| {
        let record = records[name].as_ref().unwrap();
        record.affected.first().and_then(|a| a.severity)
    };
    assert_eq!(severity("CVE-2018-5407"), Some(Severity::Medium));
    assert_eq!(severity("GHSA-9v2f-6vcg-3hgv"), Some(Severity::Critical));
    assert_eq!(severity("GO-2024-2963"), None);
}

#[test]
fn real_records_match_what_they_say() {
    let Some(records) = records() else { return };
    let good = records.into_iter().filter(|(name, _)| !name.contains("non")).map(|(_, record)| record);
    let database = Database::load(good).unwrap();
    let found = |component: &Component| {
        let matches = database.affecting(component);
        matches.into_iter().map(|m| (m.id, m.certainty, m.fixed)).collect::<Vec<_>>()
    };
    let certain =
        |id: &str, fixed: Option<&str>| vec![(id.to_owned(), Certainty::Affected, fixed.map(str::to_owned))];
    let go = |version: &str| Component::package("Go", "github.com/gin-gonic/gin", version);
    assert_eq!(found(&go("v1.5.0")), certain("GO-2020-0001", Some("1.6.0")));
    assert_eq!(found(&go("v1.6.0")), []);
    let std = |version: &str| Component::package("Go", "stdlib", version);
    assert_eq!(found(&std("go1.21.11")).len(), 1, "go's own version");
    assert_eq!(found(&std("go1.23.0")), []);
    assert_eq!(found(&Component::package("PyPI", "gradio", "4.36.1")), certain("GHSA-9v2f-6vcg-3hgv", None));
    assert_eq!(
        found(&Component::package("PyPI", "GRADIO", "4.36.1.0")),
        certain("GHSA-9v2f-6vcg-3hgv", None)
    );
    assert_eq!(found(&Component::package("PyPI", "gradio", "4.36.2")), []);
    assert_eq!(found(&Component::package("PyPI", "123bla", "0.0.1")), certain("MAL-2024-10238", None));
    let alpine = |release: Option<&str>, version: &str| Component {
        ecosystem: Some(Ecosystem { family: "Alpine".to_owned(), release: release.map(str::to_owned) }),
        ..Component::package("Alpine", "openssl", version)
    };
    assert_eq!(
        found(&alpine(Some("alpine-3.7.1"), "1.0.2p-r0")),
        certain("CVE-2018-5407", Some("1.0.2q-r0"))
    );
    assert_eq!(found(&alpine(Some("3.7"), "1.0.2q-r0")), []);
    assert_eq!(found(&alpine(Some("3.20"), "1.0.2p-r0")), [], "of this release nothing is said");
    assert_eq!(found(&alpine(None, "1.0.2p-r0")).len(), 1, "an unknown release may be any");
    // what cannot be compared is never "not affected"
    assert!(matches!(found(&alpine(Some("3.7"), "nonsense")).as_slice(), [(_, Certainty::Unknown, _)]));
    assert!(matches!(found(&go("master")).as_slice(), [(_, Certainty::Unknown, _)]));
    let bare = Component { version: None, ..go("") };
    assert!(matches!(found(&bare).as_slice(), [(_, Certainty::Unknown, _)]));
}
