//! Pull requests of GitHub: `gh pr view --json`, and the REST API's pull, reviews and commits.

use std::collections::BTreeSet;

use attest::json::{ShapeError, each};
use attest::{Digest, Json, Object};

use crate::Reviewed;
use crate::document::{Document, Read, commit, optional_commit, read_commit, time};
use crate::error::ExportError;
use crate::people::{Listed, account, co_authors, host, is_bot, is_ghost};
use crate::votes::{Votes, Word};

const VIEW: &str = "gh pr view N --json number,url,state,author,baseRefName,baseRefOid,headRefOid,mergeCommit,commits,reviews";
const PULL: &str = "gh api repos/OWNER/REPO/pulls/N";
const REVIEWS: &str = "gh api repos/OWNER/REPO/pulls/N/reviews --paginate --slurp";
const COMMITS: &str = "gh api repos/OWNER/REPO/pulls/N/commits --paginate --slurp";
/// The account with which GitHub commits what people do in their browsers.
const WEB_FLOW: &str = "web-flow";

/// The pull request itself, in one of its two shapes.
struct Pull<'a> {
    url: &'a str,
    branch: &'a str,
    state: String,
    author: Option<&'a Object>,
    head: Digest,
    base: Digest,
    merged: Option<Digest>,
    commits: Option<usize>,
}

/// Who approved a pull request. `named` are accounts that count although a machine has them.
///
/// # Errors
/// [`ExportError`] with the part that is missing and the command that exports it, or why nobody's approval counts.
pub fn read(documents: &[Document<'_>], named: &[String]) -> Result<Reviewed, ExportError> {
    let files = documents.iter().map(Document::read).collect::<Result<Vec<_>, _>>()?;
    let viewed = files.iter().find(|f| f.object().is_some_and(|o| o.get("headRefOid").is_some()));
    let fetched = files.iter().find(|f| f.object().is_some_and(|o| o.get("head").is_some()));
    let pull = match (viewed, fetched) {
        (Some(file), _) => file.value.as_object().and_then(Pull::of_view).map_err(file.shape(VIEW))?,
        (None, Some(file)) => file.value.as_object().and_then(Pull::of_rest).map_err(file.shape(PULL))?,
        (None, None) => {
            return Err(ExportError::Missing {
                what: "the pull request".to_owned(),
                command: VIEW.to_owned(),
            });
        }
    };
    let forge = host(pull.url).unwrap_or("github.com").to_owned();
    let repository = pull.url.rsplit_once("/pull/").map(|(repository, _)| repository.to_owned());
    if pull.state.eq_ignore_ascii_case("closed") {
        return Err(ExportError::GivenUp("closed and was never merged".to_owned()));
    }
    let votes = votes(&files, viewed, &pull, &forge, named)?;
    let mut authors: BTreeSet<String> =
        pull.author.and_then(|a| login(a)).map(|l| account(&forge, l)).into_iter().collect();
    let base = written(&files, viewed, &pull, &forge, &mut authors)?;
    let counted = votes.count()?;
    Ok(Reviewed {
        repository,
        branch: pull.branch.to_owned(),
        merged: pull.merged,
        shows_everybody: base.is_some(),
        base: base.unwrap_or(pull.base),
        head: pull.head,
        authors,
        reviewers: counted.reviewers,
        voided: counted.voided,
        reviewed: counted.reviewed,
    })
}

impl<'a> Pull<'a> {
    fn of_view(object: &'a Object) -> Result<Self, ShapeError> {
        let merged = match object.optional_object("mergeCommit")? {
            Some(merged) => Some(commit(merged, "oid").map_err(|e| e.within("mergeCommit"))?),
            None => None,
        };
        Ok(Self {
            url: object.string("url")?,
            branch: object.optional_string("baseRefName")?.unwrap_or_default(),
            state: object.string("state")?.to_owned(),
            author: object.optional_object("author")?,
            head: commit(object, "headRefOid")?,
            base: commit(object, "baseRefOid")?,
            merged,
            commits: None,
        })
    }

    fn of_rest(object: &'a Object) -> Result<Self, ShapeError> {
        let is_merged = object.flag("merged")? || object.optional_string("merged_at")?.is_some();
        let (head, base) = (object.object("head")?, object.object("base")?);
        // before a pull request is merged, its merge commit is only GitHub's trial
        let merged = if is_merged { optional_commit(object, "merge_commit_sha")? } else { None };
        let state = if is_merged { "merged" } else { object.string("state")? };
        Ok(Self {
            url: object.string("html_url")?,
            branch: base.string("ref").map_err(|e| e.within("base"))?,
            state: state.to_owned(),
            author: object.optional_object("user")?,
            head: commit(head, "sha").map_err(|e| e.within("head"))?,
            base: commit(base, "sha").map_err(|e| e.within("base"))?,
            merged,
            commits: usize::try_from(object.int("commits")?).ok(),
        })
    }
}

fn login(user: &Object) -> Option<&str> {
    user.optional_string("login").ok().flatten().filter(|login| !login.is_empty())
}

/// Each reviewer's last word, from the REST API where it was given: that knows machines from people.
fn votes(
    files: &[Read<'_>],
    viewed: Option<&Read<'_>>,
    pull: &Pull<'_>,
    forge: &str,
    named: &[String],
) -> Result<Votes, ExportError> {
    let mut votes = Votes::default();
    let is_review = |o: &Object| o.get("state").is_some() && o.get("submitted_at").is_some();
    let fetched = files.iter().filter_map(|f| Some((f, f.list(is_review)?)));
    let mut lists: Vec<(&Read<'_>, &[Json])> = fetched.collect();
    if lists.is_empty() {
        let reviews = viewed.and_then(|file| Some((file, file.object()?.get("reviews")?)));
        let Some((file, reviews)) = reviews else {
            return Err(ExportError::Missing { what: "the reviews".to_owned(), command: REVIEWS.to_owned() });
        };
        lists.push((file, reviews.as_array().map_err(file.shape(VIEW))?));
    }
    for (file, list) in lists {
        let say = |item: &Json| one_review(item.as_object()?, pull, forge, named);
        for said in each("reviews", list, say).map_err(file.shape(REVIEWS))?.into_iter().flatten() {
            match said {
                Said::Word(who, at, word) => votes.say(&who, at, word),
                Said::Void(who, why) => votes.void(&who, why),
            }
        }
    }
    Ok(votes)
}

enum Said {
    Word(String, jiff::Timestamp, Word),
    Void(String, &'static str),
}

fn one_review(
    review: &Object,
    pull: &Pull<'_>,
    forge: &str,
    named: &[String],
) -> Result<Option<Said>, ShapeError> {
    let state = review.string("state")?;
    if matches!(state, "COMMENTED" | "PENDING") {
        return Ok(None);
    }
    let user = match review.optional_object("author")? {
        Some(author) => Some(author),
        None => review.optional_object("user")?,
    };
    let Some(name) = user.and_then(login) else {
        return Ok(
            (state == "APPROVED").then(|| Said::Void("somebody".to_owned(), "has no account any more"))
        );
    };
    let who = account(forge, name);
    let is_machine = is_bot(name)
        || user.is_some_and(|u| u.get("type").is_some_and(|t| *t == Json::from("Bot")))
        || user.is_some_and(|u| u.get("is_bot").is_some_and(|b| *b == Json::from(true)));
    if is_ghost(name) {
        return Ok(Some(Said::Void(who, "has no account any more")));
    }
    if is_machine && !named.contains(&who) {
        return Ok(Some(Said::Void(who, "is a machine")));
    }
    let (revision, key) = match review.optional_object("commit")? {
        Some(commit) => (optional_commit(commit, "oid").map_err(|e| e.within("commit"))?, "submittedAt"),
        None if review.get("submitted_at").is_some() => {
            (optional_commit(review, "commit_id")?, "submitted_at")
        }
        // an old `gh` does not say which revision was approved
        None => return Err(ShapeError::new("commit", "the commit that was reviewed", "nothing")),
    };
    let word = match (state, revision) {
        ("APPROVED", Some(revision)) if revision == pull.head => Word::Approved,
        ("APPROVED", Some(revision)) => {
            Word::Not(format!("approved {} and not {}", revision.short(), pull.head.short()))
        }
        ("APPROVED", None) => Word::Not("approved a commit that is gone".to_owned()),
        ("CHANGES_REQUESTED", _) => Word::Not("asked for changes".to_owned()),
        ("DISMISSED", _) => Word::Not("approved, and was dismissed".to_owned()),
        (other, _) => return Err(ShapeError::new("state", "a review's state that is known", other)),
    };
    Ok(Some(Said::Word(who, time(review, key)?, word)))
}

/// Adds everybody who wrote a commit. Gives the commit on which they were made, where the export shows all of them with
/// their committers.
fn written(
    files: &[Read<'_>],
    viewed: Option<&Read<'_>>,
    pull: &Pull<'_>,
    forge: &str,
    authors: &mut BTreeSet<String>,
) -> Result<Option<Digest>, ExportError> {
    let is_commit = |o: &Object| o.get("sha").is_some() && o.get("commit").is_some();
    let lists: Vec<_> = files.iter().filter_map(|f| Some((f, f.list(is_commit)?))).collect();
    let mut listed = Listed::default();
    for (file, list) in &lists {
        let each_one =
            each("", list, |item| one_commit(item.as_object()?, forge)).map_err(file.shape(COMMITS))?;
        for (id, parents, people) in each_one {
            listed.add(&id, parents);
            authors.extend(people);
        }
    }
    let viewed = viewed.and_then(|file| Some((file, file.object()?.get("commits")?)));
    if let Some((file, commits)) = viewed {
        let shape = file.shape(VIEW);
        let commits = commits.as_array().map_err(&shape)?;
        let all = each("commits", commits, |item| viewed_commit(item.as_object()?, forge)).map_err(&shape)?;
        let is_head_there = all.iter().any(|(id, _)| *id == pull.head);
        let count = all.len();
        authors.extend(all.into_iter().flat_map(|(_, people)| people));
        if lists.is_empty() {
            // `gh` shows the first hundred, and no committers
            check_head(is_head_there || count >= 100, pull, "commits")?;
            return Ok(None);
        }
    }
    if lists.is_empty() {
        return Err(ExportError::Missing { what: "the commits".to_owned(), command: COMMITS.to_owned() });
    }
    check_head(listed.has(&pull.head), pull, "list of commits")?;
    let is_whole = pull.commits.is_none_or(|count| count == listed.len());
    // the API ends after 250 commits
    let is_whole = is_whole && listed.len() < 250;
    Ok(listed.base().filter(|_| is_whole))
}

fn check_head(is_there: bool, pull: &Pull<'_>, what: &str) -> Result<(), ExportError> {
    if is_there {
        return Ok(());
    }
    Err(ExportError::Contradiction {
        wanted: format!("the last revision {} among the commits", pull.head.short()),
        found: format!("a {what} without it"),
    })
}

fn viewed_commit(commit_: &Object, forge: &str) -> Result<(Digest, Vec<String>), ShapeError> {
    let mut people = co_authors(commit_.optional_string("messageBody")?.unwrap_or_default());
    let read = |author: &Json| author.as_object().map(|author| names(login(author), author, forge));
    let authors = each("authors", commit_.array("authors")?, read)?;
    people.extend(authors.into_iter().flatten());
    Ok((commit(commit_, "oid")?, people))
}

type Written = (Digest, Vec<Digest>, Vec<String>);

fn one_commit(item: &Object, forge: &str) -> Result<Written, ShapeError> {
    let inner = item.object("commit")?;
    let parents = each("parents", item.array("parents")?, |p| read_commit(p.as_object()?.string("sha")?))?;
    let mut people = co_authors(inner.string("message").map_err(|e| e.within("commit"))?);
    for role in ["author", "committer"] {
        let user = item.optional_object(role)?;
        let signature = inner.object(role).map_err(|e| e.within("commit"))?;
        let is_browser = role == "committer" && user.and_then(login) == Some(WEB_FLOW);
        if is_browser && is_verified(inner)? {
            // GitHub committed what the author did in a browser, and signed that
            continue;
        }
        people.extend(names(user.and_then(login), signature, forge));
    }
    Ok((commit(item, "sha")?, parents, people))
}

fn is_verified(commit: &Object) -> Result<bool, ShapeError> {
    let verification = commit.optional_object("verification")?;
    verification.map_or(Ok(false), |v| v.flag("verified").map_err(|e| e.within("verification")))
}

/// The account and the address of somebody. An address that GitHub gives to hide another one is the account again.
fn names(login: Option<&str>, who: &Object, forge: &str) -> Vec<String> {
    let address = who.optional_string("email").ok().flatten().filter(|e| !e.is_empty());
    let is_account = |address: &&str| {
        let hidden = address.strip_suffix("@users.noreply.github.com");
        let name = hidden.map(|local| local.split_once('+').map_or(local, |(_, name)| name));
        login.zip(name).is_some_and(|(login, name)| login.eq_ignore_ascii_case(name))
    };
    let address = address.filter(|address| !is_account(address)).map(str::to_owned);
    login.map(|login| account(forge, login)).into_iter().chain(address).collect()
}
