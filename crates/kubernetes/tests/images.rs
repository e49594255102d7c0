//! The table of image-bearing fields against the schema of the pinned release.

use std::collections::BTreeSet;

use attest::json::{Limits, parse_with};
use kubernetes::images::coverage::{Field, compare, suspicious_fields};

const FIXTURE: &str = include_str!("fixtures/image-fields-1.37.2.txt");

fn fixture() -> BTreeSet<Field> {
    let field = |line: &str| {
        let [place, kind, path] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let (group, version) = place.rsplit_once('/').unwrap();
        let group = if group == "core" { "" } else { group };
        let own = str::to_owned;
        Field { group: own(group), version: own(version), kind: own(kind), path: own(path) }
    };
    FIXTURE.lines().filter(|l| !l.starts_with('#')).map(field).collect()
}

#[test]
fn the_table_knows_every_field_of_the_pinned_release() {
    let coverage = compare(&fixture());
    assert!(coverage.is_complete(), "\n{coverage}");
    assert!(coverage.known > 100, "{}", coverage.known);
}

/// With `PORTCULLIS_OPENAPI` naming a folder of `/openapi/v3` documents: writes what the fixture should be.
#[test]
#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn the_fixture_is_what_the_schema_says() {
    let Some(folder) = std::env::var_os("PORTCULLIS_OPENAPI") else {
        eprintln!(
            "\n*** SKIPPED: PORTCULLIS_OPENAPI is not set; the test against a live API server covers this ***\n"
        );
        return;
    };
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read(entry.unwrap().path()).unwrap();
        let document = parse_with(&text, Limits::default().exact()).unwrap();
        found.extend(suspicious_fields(&document).unwrap());
    }
    let text: String = found.iter().map(|f| format!("{f}\n")).collect();
    let head =
        FIXTURE.lines().take_while(|l| l.starts_with('#')).map(|l| format!("{l}\n")).collect::<String>();
    if std::env::var_os("GOLDEN").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/image-fields-1.37.2.txt");
        std::fs::write(path, format!("{head}{text}")).unwrap();
    } else {
        assert_eq!(FIXTURE, format!("{head}{text}"));
    }
}
