//! The links of one step: found by their names, counted by the keys that really signed them.

use std::collections::BTreeMap;

use attest::PublicKey;
use attest::digest::DigestSet;
use attest::{Agreement, StatementError};

use super::{Given, MAX_DEPTH, check, signed_step};
use crate::layout::apply::Artifacts;
use crate::layout::finding::{Finding, Report};
use crate::layout::link::Link;
use crate::layout::metadata::Metadata;
use crate::layout::model::{Layout, Step};

/// More files for one step than functionaries could have written.
const MAX_FILES: usize = 64;

/// The link of a step, once enough functionaries signed one and all of them agree.
pub(super) fn links(
    layout: &Layout,
    step: &Step,
    given: Given<'_>,
    folder: &str,
    depth: usize,
    report: &mut Report,
) -> Option<Link> {
    let mut counted: BTreeMap<String, (String, Link)> = BTreeMap::new();
    for (file, bytes) in files(step, given, folder, report) {
        match read(layout, step, given, (&file, bytes), depth, report) {
            Ok((key, link)) => match counted.get(&key) {
                Some((other, known)) if !agree(known, &link) => {
                    report.findings.push(disagreement(step, other, &file));
                    return None;
                }
                _ => drop(counted.insert(key, (file, link))),
            },
            Err(why) => report.ignored.push(format!("{file}: {why}")),
        }
    }
    // two keys of one functionary are two; one key under two ids is one, since it is counted by its own bytes
    if counted.len() < step.threshold {
        report.findings.push(too_few(layout, step, counted.len()));
        return None;
    }
    report.steps.push(signed_step(step, counted.keys().cloned()));
    let mut all = counted.into_values();
    let (file, link) = all.next()?;
    match all.find(|(_, other)| !agree(&link, other)) {
        None => Some(link),
        Some((other, _)) => {
            report.findings.push(disagreement(step, &file, &other));
            None
        }
    }
}

/// The files that are named like links of this step: `STEP.KEYID.link`. The key's id in the name is not believed.
fn files<'a>(step: &Step, given: Given<'a>, folder: &str, report: &mut Report) -> Vec<(String, &'a [u8])> {
    let is_link = |path: &str| {
        let middle = path
            .strip_prefix(folder)
            .and_then(|rest| rest.strip_prefix(step.name.as_str()))
            .and_then(|rest| rest.strip_prefix('.'))
            .and_then(|rest| rest.strip_suffix(".link"));
        middle.is_some_and(|id| id.len() == 8 && id.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let mut found: Vec<(String, &[u8])> = given
        .links
        .iter()
        .filter(|(path, _)| is_link(path))
        .map(|(p, b)| (p.clone(), b.as_slice()))
        .collect();
    if found.len() > MAX_FILES {
        let left = found.len() - MAX_FILES;
        report
            .ignored
            .push(format!("{left} more files for step {}: at most {MAX_FILES} are looked at", step.name));
        found.truncate(MAX_FILES);
    }
    found
}

/// The id of the key that signed a file, and the link in it, or what its sublayout amounts to.
fn read(
    layout: &Layout,
    step: &Step,
    given: Given<'_>,
    (file, bytes): (&str, &[u8]),
    depth: usize,
    report: &mut Report,
) -> Result<(String, Link), String> {
    let metadata = Metadata::parse(bytes).map_err(|e| e.to_string())?;
    let key = signer(layout, step, &metadata)?;
    if metadata.unproven().string("_type").is_ok_and(|kind| kind == "layout") {
        let link = sublayout(step, &metadata, key, given, (file, depth), report)?;
        return Ok((key.id(), link));
    }
    let link = Link::read(metadata.unproven()).map_err(|e| e.to_string())?;
    // or a link of another step by the same functionary would do
    if link.name != step.name {
        return Err(format!("it is of step `{}`", link.name));
    }
    Ok((key.id(), link))
}

fn signer<'a>(layout: &'a Layout, step: &Step, metadata: &Metadata) -> Result<&'a PublicKey, String> {
    let keys = step.pubkeys.iter().filter_map(|id| layout.keys.get(id));
    let found = keys.filter_map(|key| key.as_ref().ok()).find(|key| metadata.is_signed_by(key));
    found.ok_or_else(|| match metadata.unusable().first() {
        Some(why) => (*why).to_owned(),
        None => "no signature on it verifies under a key of this step".to_owned(),
    })
}

/// A functionary may hand a layout of their own in: it is verified with their key, and the links in its own folder.
fn sublayout(
    step: &Step,
    metadata: &Metadata,
    key: &PublicKey,
    given: Given<'_>,
    (file, depth): (&str, usize),
    report: &mut Report,
) -> Result<Link, String> {
    if depth + 1 >= MAX_DEPTH {
        return Err(format!("a layout in a layout, more than {MAX_DEPTH} deep"));
    }
    let folder = format!("{}/", file.strip_suffix(".link").unwrap_or(file));
    let keys = std::slice::from_ref(key);
    let mut inner = Report::default();
    let result = check(
        metadata,
        Given { keys, artifact: None, unpacked: None, ..given },
        &folder,
        depth + 1,
        &mut inner,
    );
    report.ignored.append(&mut inner.ignored);
    report.undecided.extend(inner.undecided.into_iter().map(|mut undecided| {
        undecided.place = format!("sublayout of step {}: {}", step.name, undecided.place);
        undecided
    }));
    let whole = result.map_err(|e: StatementError| e.to_string())?;
    let wrong = inner.findings.first().map(|finding| finding.message.clone());
    report.findings.extend(inner.findings.into_iter().map(|finding| finding.within(&step.name)));
    let link =
        whole.ok_or_else(|| format!("its sublayout does not hold: {}", wrong.clone().unwrap_or_default()))?;
    match wrong {
        None => Ok(Link { name: step.name.clone(), ..link }),
        Some(why) => Err(format!("its sublayout does not hold: {why}")),
    }
}

fn agree(a: &Link, b: &Link) -> bool {
    same(&a.materials, &b.materials) && same(&a.products, &b.products)
}

fn same(a: &Artifacts, b: &Artifacts) -> bool {
    let pairs = |((path, x), (other, y)): ((&String, &DigestSet), (&String, &DigestSet))| {
        path == other && x.agrees(y) == Agreement::Same
    };
    a.len() == b.len() && a.iter().zip(b).all(pairs)
}

fn disagreement(step: &Step, one: &str, other: &str) -> Finding {
    Finding::new("links-agree", &format!("the links of {} say different things", step.name))
        .wanted("the same materials and products from everybody who did the step")
        .found(&format!("{one} and {other} differ"))
        .at(&format!("step {}", step.name))
        .fix("find out who is wrong; remove the links of the run that does not count")
}

fn too_few(layout: &Layout, step: &Step, counted: usize) -> Finding {
    let unusable = step
        .pubkeys
        .iter()
        .filter_map(|id| layout.keys.get(id)?.as_ref().err().map(|why| format!("{id}: {why}")));
    let mut found = vec![format!("{counted} that count")];
    found.extend(unusable);
    if step.has_constraints {
        found.push("certificates, which the step would accept, are not verified here".to_owned());
    }
    Finding::new("links-signed", &format!("too few functionaries signed a link of {}", step.name))
        .wanted(&format!(
            "links signed under {} different keys of the {} that the step lists",
            step.threshold,
            step.pubkeys.len()
        ))
        .found(&found.join("; "))
        .at(&format!("step {}", step.name))
        .fix(&format!("put the missing files {}.KEYID.link into the folder of links", step.name))
}
