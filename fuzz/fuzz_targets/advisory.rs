//! An OSV record: no panic, and what is read can be asked about whatever version.
#![no_main]
use advisory::{Component, Database, Record};

libfuzzer_sys::fuzz_target!(|input: (&str, &[u8])| {
    let (version, bytes) = input;
    let record = Record::parse(bytes);
    let packages = match &record {
        Ok(record) => record.affected.iter().map(|a| a.package.clone()).collect(),
        Err(unread) => unread.packages.clone(),
    };
    let is_withdrawn = record.as_ref().is_ok_and(|record| record.withdrawn.is_some());
    let is_broken = record.is_err();
    let Ok(database) = Database::load([record]) else { return };
    for package in packages.into_iter().take(16) {
        let component = Component {
            ecosystem: Some(package.ecosystem),
            version: Some(version.to_owned()),
            ..Component::named(&package.name)
        };
        let found = database.affecting(&component);
        assert!(!(is_withdrawn && !found.is_empty()));
        assert!(!is_broken || !found.is_empty(), "a broken record is never \"not affected\"");
    }
});
