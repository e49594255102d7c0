//! Changes of Gerrit: `gerrit query --format=JSON`, and `ChangeInfo` of the REST API.

use std::collections::BTreeSet;

use attest::json::{ShapeError, each};
use attest::{Json, Object};
use jiff::Timestamp;

use crate::Reviewed;
use crate::document::{Document, Read, commit, read_commit};
use crate::error::ExportError;
use crate::people::{co_authors, host, is_bot};
use crate::votes::{Votes, Word};

const QUERY: &str = "ssh -p 29418 HOST gerrit query --format=JSON --current-patch-set --all-approvals \
                     --commit-message change:N";
const REST: &str = "curl -n 'https://HOST/a/changes/N?o=CURRENT_REVISION&o=CURRENT_COMMIT&o=DETAILED_LABELS&o=DETAILED_ACCOUNTS'";
/// The label whose highest value approves.
const LABEL: &str = "Code-Review";
/// The value with which a reviewer approves; +1 is an opinion.
const APPROVES: i64 = 2;

/// Who approved a change. `named` are accounts that count although a machine has them.
///
/// # Errors
/// [`ExportError`] with the part that is missing and the command that exports it, or why nobody's approval counts.
pub fn read(documents: &[Document<'_>], named: &[String]) -> Result<Reviewed, ExportError> {
    let mut files = Vec::new();
    for document in documents {
        // one document over many lines is REST's; several lines with one each are the query's
        match document.read() {
            Ok(file) => files.push(file),
            Err(whole) => files.extend(document.read_lines().map_err(|_| whole)?),
        }
    }
    let mut changes = files.iter().filter_map(|f| Some((f, f.object()?)));
    let mut changes = changes.by_ref().filter(|(_, o)| o.get("project").is_some());
    let missing = || ExportError::Missing { what: "the change".to_owned(), command: QUERY.to_owned() };
    let (file, change) = changes.next().ok_or_else(missing)?;
    if changes.next().is_some() {
        return Err(ExportError::Contradiction {
            wanted: "one change".to_owned(),
            found: "several; ask for one by its number".to_owned(),
        });
    }
    if change.optional_string("status").map_err(file.shape(QUERY))? == Some("ABANDONED") {
        return Err(ExportError::GivenUp("abandoned".to_owned()));
    }
    if change.get("revisions").is_some() || change.get("labels").is_some() {
        of_rest(change, named).map_err(|e| e.told(file, REST))
    } else {
        of_query(change, named).map_err(|e| e.told(file, QUERY))
    }
}

enum Problem {
    Shape(ShapeError),
    Export(ExportError),
}
impl From<ShapeError> for Problem {
    fn from(error: ShapeError) -> Self {
        Self::Shape(error)
    }
}
impl From<ExportError> for Problem {
    fn from(error: ExportError) -> Self {
        Self::Export(error)
    }
}

impl Problem {
    fn told(self, file: &Read<'_>, command: &str) -> ExportError {
        match self {
            Self::Shape(error) => file.shape(command)(error),
            Self::Export(error) => error,
        }
    }
}

fn of_query(change: &Object, named: &[String]) -> Result<Reviewed, Problem> {
    let set = change.object("currentPatchSet")?;
    let within = |e: ShapeError| e.within("currentPatchSet");
    let head = commit(set, "revision").map_err(within)?;
    let parents = each("parents", set.array("parents").map_err(within)?, |p| read_commit(p.as_str()?))
        .map_err(within)?;
    let base =
        parents.first().cloned().ok_or_else(|| within(ShapeError::new("parents", "a parent", "none")))?;
    let mut votes = Votes::default();
    // what is copied to a new patch set that changes nothing stands here too: Gerrit says that the head was approved
    let approvals = each("approvals", set.optional_array("approvals").map_err(within)?, Json::as_object);
    for vote in approvals.map_err(within)? {
        if vote.string("type")? == LABEL {
            let at = Timestamp::from_second(vote.int("grantedOn")?);
            let at = at.map_err(|_| ShapeError::new("grantedOn", "seconds since 1970", "another number"))?;
            let text = vote.string("value")?;
            let value = text.parse().map_err(|_| ShapeError::new("value", "a number", text))?;
            one_vote(&mut votes, vote.object("by")?, value, at, named)?;
        }
    }
    let mut authors = BTreeSet::new();
    let uploader = set.optional_object("uploader").map_err(within)?;
    let author = set.object("author").map_err(within)?;
    for who in [change.optional_object("owner")?, uploader, Some(author)].into_iter().flatten() {
        authors.insert(identity(who)?);
    }
    for earlier in each("patchSets", change.optional_array("patchSets")?, Json::as_object)? {
        let uploader = earlier.optional_object("uploader")?;
        authors.extend(uploader.map(identity).transpose()?);
    }
    authors.extend(co_authors(change.optional_string("commitMessage")?.unwrap_or_default()));
    let url = change.optional_string("url")?.unwrap_or_default();
    let counted = votes.count()?;
    Ok(Reviewed {
        repository: repository(url, change.string("project")?),
        branch: change.string("branch")?.to_owned(),
        merged: is_merged(change)?.then(|| head.clone()),
        head,
        base,
        // a query does not say who committed
        shows_everybody: false,
        authors,
        reviewers: counted.reviewers,
        voided: counted.voided,
        reviewed: counted.reviewed,
    })
}

fn of_rest(change: &Object, named: &[String]) -> Result<Reviewed, Problem> {
    let revision = change.string("current_revision")?;
    let head = read_commit(revision).map_err(|e| e.within("current_revision"))?;
    let revisions = change.object("revisions")?;
    let within = |e: ShapeError| e.within("revisions");
    let set = revisions.object(revision).map_err(within)?;
    let inner = set.object("commit").map_err(within)?;
    let parents =
        each("parents", inner.array("parents")?, |p| commit(p.as_object()?, "commit")).map_err(within)?;
    let base =
        parents.first().cloned().ok_or_else(|| within(ShapeError::new("parents", "a parent", "none")))?;
    let mut authors: BTreeSet<String> =
        co_authors(inner.string("message").map_err(within)?).into_iter().collect();
    for (_, set) in revisions.iter() {
        authors.extend(set.as_object()?.optional_object("uploader")?.map(identity).transpose()?);
    }
    authors.insert(identity(change.object("owner")?)?);
    for role in ["author", "committer"] {
        authors.insert(identity(inner.object(role).map_err(within)?)?);
    }
    let mut votes = Votes::default();
    let label = change.object("labels")?.object(LABEL).map_err(|e| e.within("labels"))?;
    for vote in each("all", label.array("all")?, Json::as_object)? {
        // who was only added as a reviewer has no vote, or one of 0 without a date
        if vote.get("value").is_some() && vote.get("date").is_some() {
            one_vote(&mut votes, vote, vote.int("value")?, date(vote, "date")?, named)?;
        }
    }
    let counted = votes.count()?;
    Ok(Reviewed {
        repository: None,
        branch: change.string("branch")?.to_owned(),
        merged: is_merged(change)?.then(|| head.clone()),
        head,
        base,
        shows_everybody: parents.len() == 1,
        authors,
        reviewers: counted.reviewers,
        voided: counted.voided,
        reviewed: counted.reviewed,
    })
}

fn one_vote(
    votes: &mut Votes,
    by: &Object,
    value: i64,
    at: Timestamp,
    named: &[String],
) -> Result<(), ShapeError> {
    let who = identity(by)?;
    let tags = each("tags", by.optional_array("tags")?, Json::as_str)?;
    let is_machine = tags.contains(&"SERVICE_USER") || by.optional_string("username")?.is_some_and(is_bot);
    if is_machine && !named.contains(&who) {
        votes.void(&who, "is a machine");
    } else if value >= APPROVES {
        votes.say(&who, at, Word::Approved);
    } else if value != 0 {
        votes.say(&who, at, Word::Not(format!("voted {value:+}, and {APPROVES:+} approves")));
    }
    Ok(())
}

/// Gerrit knows people by the addresses that they proved.
fn identity(who: &Object) -> Result<String, ShapeError> {
    let name = match who.optional_string("email")? {
        Some(email) if !email.is_empty() => Some(email),
        _ => who.optional_string("username")?,
    };
    name.map(str::to_owned).ok_or_else(|| ShapeError::new("email", "the address of an account", "nothing"))
}

fn is_merged(change: &Object) -> Result<bool, ShapeError> {
    Ok(change.optional_string("status")? == Some("MERGED"))
}

/// `https://HOST/PROJECT`, from the URL at which people see the change.
fn repository(url: &str, project: &str) -> Option<String> {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme)?;
    Some(format!("{scheme}://{}/{project}", host(url)?))
}

/// Gerrit's own form of a time: `2026-11-22 09:00:00.000000000`, in UTC.
fn date(object: &Object, key: &str) -> Result<Timestamp, ShapeError> {
    let text = object.string(key)?;
    let wanted = || ShapeError::new(key, "a time in Gerrit's form", text);
    format!("{}Z", text.replacen(' ', "T", 1)).parse().map_err(|_| wanted())
}
