//! What somebody means: a digest in any spelling that our own tables have, a workload, an image.

use attest::{Artifact, Digest, DigestSet};
use inventory::Subject;
use kubernetes::Reference;

use super::asked::Asked;
use crate::failure::Failure;

/// Fewer digits than this name nothing.
const FEWEST: usize = 6;
/// So many decisions under a name are looked through for a digest that was shown short.
const UNDER_A_NAME: u64 = 2000;

/// The subject; nothing where a digest is named that nobody decided about.
pub(super) fn find(asked: &Asked, text: &str) -> Result<Option<Subject>, Failure> {
    if let Some((name, short)) = text.rsplit_once('@').filter(|(_, short)| short.contains('…')) {
        return shown_short(asked, name, short);
    }
    let digits = text.rsplit_once("sha256:").map(|(_, digits)| digits);
    let is_hex = |t: &str| t.len() >= FEWEST && t.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    match digits.or(is_hex(text).then_some(text)) {
        Some(hex) => by_digits(asked, text, hex.trim_end_matches('…')),
        None => by_name(asked, text).map(Some),
    }
}

fn by_digits(asked: &Asked, text: &str, hex: &str) -> Result<Option<Subject>, Failure> {
    if let Ok(whole) = Digest::parse(&format!("sha256:{hex}")) {
        return Ok(Some(Subject::Digest(whole)));
    }
    let is_beginning = (FEWEST..64).contains(&hex.len()) && hex.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_beginning {
        return Err(Failure::new("the digest cannot be read")
            .line("wanted", "sha256: and 64 hex digits in lower case, or the first 6 or more of them")
            .line("found", &policy::one_line(text)));
    }
    let found = asked.wait(asked.inventory.digests_from(hex))?;
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(Subject::Digest(one.clone()))),
        [one, other, ..] => Err(Failure::new(&format!("more than one digest begins with {hex}"))
            .line("found", &format!("{one}, {other}"))
            .line("fix", "give more of its digits")),
    }
}

/// `web@sha256:9f3c…1a04`, as records and tables show it.
fn shown_short(asked: &Asked, name: &str, short: &str) -> Result<Option<Subject>, Failure> {
    let under = Subject::Name(name.to_owned());
    let decisions = asked.wait(asked.inventory.decisions(&under, UNDER_A_NAME))?;
    let mut digests = decisions.newest.into_iter().filter_map(|decided| decided.digest);
    Ok(digests.find(|digest| digest.short() == short).map(Subject::Digest))
}

/// A workload where one is called so, and else an image whatever its tag.
fn by_name(asked: &Asked, text: &str) -> Result<Subject, Failure> {
    let workload = Subject::Workload(text.to_owned());
    let is_workload = !asked.wait(asked.inventory.decisions(&workload, 1))?.newest.is_empty()
        || !asked.wait(asked.inventory.instances(&workload, 1))?.is_empty();
    if is_workload {
        return Ok(workload);
    }
    let name = Subject::Name(Artifact::new(text, DigestSet::default()).uri().to_owned());
    // `nginx:1.27` is on record as what a cluster takes it for: docker.io/library/nginx
    let spelled = Reference::parse(text).ok().map(|image| Subject::Name(image.repository().to_owned()));
    let is_known = |name: &Subject| {
        Ok::<bool, Failure>(!asked.wait(asked.inventory.decisions(name, 1))?.newest.is_empty())
    };
    match spelled {
        Some(spelled) if !is_known(&name)? && is_known(&spelled)? => Ok(spelled),
        _ => Ok(name),
    }
}
