//! Merge requests of GitLab: the API's merge request, approvals, versions and commits.

use std::collections::BTreeSet;

use attest::json::{ShapeError, each};
use attest::{Digest, Json, Object};
use jiff::Timestamp;

use crate::Reviewed;
use crate::document::{Document, Read, commit, optional_commit, optional_time, read_commit, time};
use crate::error::ExportError;
use crate::people::{Listed, account, co_authors, host, is_bot, is_ghost};
use crate::votes::{Votes, Word};

const REQUEST: &str = "glab api projects/:id/merge_requests/N";
const APPROVALS: &str = "glab api projects/:id/merge_requests/N/approvals";
const VERSIONS: &str = "glab api projects/:id/merge_requests/N/versions";
const REVIEWERS: &str = "glab api projects/:id/merge_requests/N/reviewers";
const COMMITS: &str = "glab api --paginate projects/:id/merge_requests/N/commits";

struct Request<'a> {
    url: &'a str,
    branch: &'a str,
    state: &'a str,
    author: Option<&'a str>,
    head: Digest,
    base: Digest,
    merged: Option<Digest>,
    wants_changes: bool,
}

/// Who approved a merge request. `named` are accounts that count although a machine has them.
///
/// # Errors
/// [`ExportError`] with the part that is missing and the command that exports it, or why nobody's approval counts.
pub fn read(documents: &[Document<'_>], named: &[String]) -> Result<Reviewed, ExportError> {
    let files = documents.iter().map(Document::read).collect::<Result<Vec<_>, _>>()?;
    let find = |key: &str, what: &str, command: &str| {
        let found = files.iter().find_map(|f| f.object().filter(|o| o.get(key).is_some()).map(|o| (f, o)));
        found.ok_or_else(|| ExportError::Missing { what: what.to_owned(), command: command.to_owned() })
    };
    let (file, object) = find("diff_refs", "the merge request", REQUEST)?;
    let request = Request::read(object).map_err(file.shape(REQUEST))?;
    if request.state == "closed" {
        return Err(ExportError::GivenUp("closed and was never merged".to_owned()));
    }
    let (file, approvals) = find("approved_by", "the approvals", APPROVALS)?;
    let forge = host(request.url).unwrap_or("gitlab.com").to_owned();
    let pushed = pushed(&files, &request)?;
    let mut votes = Votes::default();
    let approved = approvals.array("approved_by").and_then(|list| each("approved_by", list, approval));
    for (name, is_machine, at) in approved.map_err(file.shape(APPROVALS))? {
        let who = account(&forge, name);
        if is_ghost(name) {
            votes.void(&who, "has no account any more");
        } else if (is_machine || is_bot(name)) && !named.contains(&who) {
            votes.void(&who, "is a machine");
        } else {
            let at = at.ok_or_else(|| no_time(file))?;
            let word = if at >= pushed {
                Word::Approved
            } else {
                Word::Not(format!("approved at {at}, and the last revision was pushed at {pushed}"))
            };
            votes.say(&who, at, word);
        }
    }
    objections(&files, &request, &forge, &mut votes)?;
    let mut authors: BTreeSet<String> =
        request.author.map(|name| account(&forge, name)).into_iter().collect();
    let base = written(&files, &request, &mut authors)?;
    let counted = votes.count()?;
    Ok(Reviewed {
        repository: request.url.split_once("/-/merge_requests/").map(|(repository, _)| repository.to_owned()),
        branch: request.branch.to_owned(),
        merged: request.merged,
        shows_everybody: base.is_some(),
        base: request.base,
        head: request.head,
        authors,
        reviewers: counted.reviewers,
        voided: counted.voided,
        reviewed: counted.reviewed,
    })
}

/// Without a time nothing says that an approval is about the last revision.
fn no_time(file: &Read<'_>) -> ExportError {
    let error = ShapeError::new("approved_by", "approved_at, the time of each approval", "nothing");
    ExportError::Shape { file: file.name.to_owned(), error, command: APPROVALS.to_owned() }
}

impl<'a> Request<'a> {
    fn read(object: &'a Object) -> Result<Self, ShapeError> {
        let refs = object.object("diff_refs")?;
        let head = commit(object, "sha")?;
        let state = object.string("state")?;
        let (merge, squash) =
            (optional_commit(object, "merge_commit_sha")?, optional_commit(object, "squash_commit_sha")?);
        // merged without a commit of its own: the branch was moved to the last revision
        let merged = (state == "merged").then(|| merge.or(squash).unwrap_or_else(|| head.clone()));
        let author = object.optional_object("author")?;
        Ok(Self {
            url: object.string("web_url")?,
            branch: object.string("target_branch")?,
            state,
            author: author.map(|a| a.string("username")).transpose().map_err(|e| e.within("author"))?,
            base: commit(refs, "base_sha").map_err(|e| e.within("diff_refs"))?,
            head,
            merged,
            wants_changes: object.optional_string("detailed_merge_status")? == Some("requested_changes"),
        })
    }
}

type Approval<'a> = (&'a str, bool, Option<Timestamp>);

fn approval(item: &Json) -> Result<Approval<'_>, ShapeError> {
    let item = item.as_object()?;
    let user = item.object("user")?;
    let name = user.string("username").map_err(|e| e.within("user"))?;
    Ok((name, user.flag("bot").map_err(|e| e.within("user"))?, optional_time(item, "approved_at")?))
}

/// When the last revision was pushed. GitLab keeps approvals over a push unless a project asks it not to, and does not
/// say which revision somebody approved.
fn pushed(files: &[Read<'_>], request: &Request<'_>) -> Result<Timestamp, ExportError> {
    let is_version = |o: &Object| o.get("head_commit_sha").is_some();
    let found = files.iter().find_map(|f| Some((f, f.list(is_version)?)));
    let Some((file, versions)) = found else {
        return Err(ExportError::Missing {
            what: "the times at which revisions were pushed".to_owned(),
            command: VERSIONS.to_owned(),
        });
    };
    let read = |item: &Json| {
        let item = item.as_object()?;
        Ok((time(item, "created_at")?, commit(item, "head_commit_sha")?))
    };
    let versions = each("", versions, read).map_err(file.shape(VERSIONS))?;
    match versions.iter().max() {
        Some((pushed, head)) if *head == request.head => Ok(*pushed),
        newest => Err(ExportError::Contradiction {
            wanted: format!("{} as the newest version", request.head.short()),
            found: newest.map_or("no version".to_owned(), |(_, head)| head.short()),
        }),
    }
}

/// Who asked for changes does not approve.
fn objections(
    files: &[Read<'_>],
    request: &Request<'_>,
    forge: &str,
    votes: &mut Votes,
) -> Result<(), ExportError> {
    let is_reviewer = |o: &Object| o.get("user").is_some() && o.get("state").is_some();
    let found = files.iter().find_map(|f| Some((f, f.list(is_reviewer)?)));
    let Some((file, reviewers)) = found else {
        if request.wants_changes {
            let what = "who asked for changes".to_owned();
            return Err(ExportError::Missing { what, command: REVIEWERS.to_owned() });
        }
        return Ok(());
    };
    let read = |item: &Json| {
        let item = item.as_object()?;
        let name = item.object("user")?.string("username").map_err(|e| e.within("user"))?;
        Ok((account(forge, name), item.string("state")? == "requested_changes"))
    };
    for (who, objects) in each("", reviewers, read).map_err(file.shape(REVIEWERS))? {
        if objects {
            votes.say(&who, Timestamp::MAX, Word::Not("asked for changes".to_owned()));
        }
    }
    Ok(())
}

fn written(
    files: &[Read<'_>],
    request: &Request<'_>,
    authors: &mut BTreeSet<String>,
) -> Result<Option<Digest>, ExportError> {
    let is_commit = |o: &Object| o.get("committer_email").is_some();
    let mut listed = Listed::default();
    for (file, list) in files.iter().filter_map(|f| Some((f, f.list(is_commit)?))) {
        let read = |item: &Json| {
            let item = item.as_object()?;
            let parents = item.array("parent_ids")?;
            listed.add(&commit(item, "id")?, each("parent_ids", parents, |p| read_commit(p.as_str()?))?);
            authors.insert(item.string("author_email")?.to_owned());
            authors.insert(item.string("committer_email")?.to_owned());
            authors.extend(co_authors(item.string("message")?));
            Ok(())
        };
        for_each(list, read).map_err(file.shape(COMMITS))?;
    }
    if listed.len() == 0 {
        return Err(ExportError::Missing { what: "the commits".to_owned(), command: COMMITS.to_owned() });
    }
    if !listed.has(&request.head) {
        return Err(ExportError::Contradiction {
            wanted: format!("the last revision {} among the commits", request.head.short()),
            found: "a list of commits without it".to_owned(),
        });
    }
    // a page that was cut off ends at another commit than the change began at
    Ok(listed.base().filter(|base| *base == request.base))
}

fn for_each<'a>(
    items: &'a [Json],
    mut read: impl FnMut(&'a Json) -> Result<(), ShapeError>,
) -> Result<(), ShapeError> {
    let at = |index: usize| format!("[{index}]");
    items.iter().enumerate().try_for_each(|(i, item)| read(item).map_err(|e| e.within(&at(i))))
}
