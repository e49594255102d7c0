//! What the API server was told, against what is in the log.

use std::collections::BTreeMap;

use attest::{Json, json};

use super::site::{Site, wait};
use crate::kubernetes::schema::at;
use crate::tools::expect;

/// The records of a log, in order, as `portcullis log show` lists them.
pub fn all(site: &Site<'_>) -> Vec<Json> {
    let text = expect(0, &["--format", "json", "log", "show", &site.webhook.folder.text("log")]);
    let limits = json::Limits { bytes: 256 << 20, depth: 64, values: 20_000_000, exact_numbers: true };
    match json::parse_with(text.as_bytes(), limits).unwrap() {
        Json::Array(records) => records,
        other => panic!("no list: {other}"),
    }
}

/// A decision that the API server heard.
#[derive(Debug)]
pub struct Heard {
    pub pod: String,
    pub status: i64,
    pub decision: String,
}

/// Every decision in the audit log of a namespace, by its record's index. None stands there twice.
pub fn heard(site: &Site<'_>, namespace: &str) -> BTreeMap<u64, Heard> {
    let mut found = BTreeMap::new();
    for event in site.cluster.audit() {
        let is_here = at(&event, &["objectRef", "namespace"]) == Some(&Json::from(namespace));
        let Some(annotations) = at(&event, &["annotations"]).filter(|_| is_here) else { continue };
        let value = |name: &str| {
            let all = annotations.as_object().unwrap();
            let found = all.iter().find(|(key, _)| key.ends_with(&format!(".portcullis.dev/{name}")));
            found.map(|(_, value)| value.as_str().unwrap().to_owned())
        };
        let Some(record) = value("record") else { continue };
        let index = record.rsplit('=').next().unwrap().parse().unwrap();
        let name = at(&event, &["requestObject", "metadata", "name"]).and_then(|name| name.as_str().ok());
        let Some(Json::Int(status)) = at(&event, &["responseStatus", "code"]) else { panic!("{event}") };
        let pod = name.unwrap_or_default().to_owned();
        let heard = Heard { pod, status: *status, decision: value("decision").unwrap() };
        let before = found.insert(index, heard);
        assert!(before.is_none(), "record {index} was shown for two requests: {before:?}, and {event}");
    }
    found
}

/// Each decision that somebody heard is in the log, as heard; the log is sound, and replays. Gives both, and says how many
/// records nobody heard of.
pub fn check(site: &Site<'_>, namespace: &str) -> (BTreeMap<u64, Heard>, Vec<Json>) {
    let heard = heard(site, namespace);
    let newest = heard.keys().max().copied().unwrap_or_default();
    // what is durable stands in the journal first, and a moment later in the tree
    wait("the log's tree has what was heard", || all(site).len() as u64 > newest);
    let records = all(site);
    for (index, one) in &heard {
        let record = records.get(usize::try_from(*index).unwrap());
        let record = record.unwrap_or_else(|| panic!("record {index} was acknowledged and is gone: {one:?}"));
        let decision = at(record, &["decision"]).unwrap().as_str().unwrap();
        assert!(one.decision.ends_with(&format!("={decision}")), "{index}: {one:?}, and {record}");
        assert_eq!(at(record, &["sequence"]), Some(&Json::Int(i64::try_from(*index).unwrap())));
    }
    let replayed = site.webhook.check_log();
    assert!(replayed.contains("; 0 differ"), "{replayed}");
    eprintln!("{} decisions were heard of, and {} are on record", heard.len(), records.len());
    (heard, records)
}
