//! What counts as an approval, forge by forge. Each export is what the forge's tool writes, cut to what matters, with
//! fields beside it that nobody reads.

use source::{Document, ExportError, Reviewed, gerrit, github, gitlab};

const BASE: &str = "0000000000000000000000000000000000000001";
const FIRST: &str = "1111111111111111111111111111111111111111";
const HEAD: &str = "2222222222222222222222222222222222222222";
const MERGE: &str = "3333333333333333333333333333333333333333";

type Reader = fn(&[Document<'_>], &[String]) -> Result<Reviewed, ExportError>;

fn read(reader: Reader, files: &[&str], machines: &[&str]) -> Result<Reviewed, ExportError> {
    let documents: Vec<Document<'_>> =
        files.iter().map(|text| Document { name: "export.json", bytes: text.as_bytes() }).collect();
    let machines: Vec<String> = machines.iter().map(|m| (*m).to_owned()).collect();
    reader(&documents, &machines)
}

fn reviewers(read: &Result<Reviewed, ExportError>) -> Vec<&str> {
    read.as_ref().unwrap().reviewers.iter().map(String::as_str).collect()
}

fn authors(read: &Reviewed) -> Vec<&str> {
    read.authors.iter().map(String::as_str).collect()
}

fn pull(state: &str) -> String {
    format!(
        r#"{{"html_url":"https://github.com/acme/shop/pull/7","state":"{state}","merged":false,"merge_commit_sha":"{MERGE}",
        "user":{{"login":"alice","type":"User"}},"commits":2,"score":1.5,
        "head":{{"sha":"{HEAD}"}},"base":{{"sha":"{BASE}","ref":"main"}}}}"#
    )
}

fn commits() -> String {
    let commit = |sha: &str, parent: &str, login: &str, email: &str, committer: &str, message: &str| {
        format!(
            r#"{{"sha":"{sha}","parents":[{{"sha":"{parent}"}}],"author":{{"login":"{login}"}},"committer":{committer},
            "commit":{{"message":"{message}","author":{{"email":"{email}"}},"committer":{{"email":"noreply@github.com"}},
            "verification":{{"verified":true}}}}}}"#
        )
    };
    let web = r#"{"login":"web-flow"}"#;
    format!(
        "[{},{}]",
        commit(
            FIRST,
            BASE,
            "alice",
            "1+alice@users.noreply.github.com",
            web,
            "x\\nCo-authored-by: D <dave@acme.example>\\ny"
        ),
        commit(HEAD, FIRST, "erin", "erin@acme.example", "null", "y"),
    )
}

fn review(who: &str, state: &str, at: &str, commit: &str) -> String {
    let (login, kind) = who.split_once(':').unwrap_or((who, "User"));
    let user =
        if who == "nobody" { "null".to_owned() } else { format!(r#"{{"login":"{login}","type":"{kind}"}}"#) };
    format!(
        r#"{{"user":{user},"state":"{state}","submitted_at":"2026-11-22T{at}:00Z","commit_id":"{commit}"}}"#
    )
}

fn github_reviews(reviews: &[String]) -> Result<Reviewed, ExportError> {
    read(
        github::read,
        &[&pull("open"), &format!("[[{}]]", reviews.join(",")), &commits()],
        &["github.com/robot"],
    )
}

#[test]
fn github_counts_the_last_word_about_the_last_revision() {
    let good = github_reviews(&[
        review("bob", "CHANGES_REQUESTED", "09:00", FIRST),
        review("bob", "APPROVED", "10:00", HEAD),
        review("bob", "COMMENTED", "11:00", HEAD),
        review("carol", "APPROVED", "09:30", FIRST),
        review("ci[bot]:Bot", "APPROVED", "12:00", HEAD),
        review("ghost", "APPROVED", "12:00", HEAD),
        review("nobody", "APPROVED", "12:00", HEAD),
    ]);
    assert_eq!(reviewers(&good), ["github.com/bob"]);
    let good = good.unwrap();
    assert_eq!(good.repository.as_deref(), Some("https://github.com/acme/shop"));
    assert_eq!((good.head.hex(), good.base.hex(), good.merged.is_none()), (HEAD.into(), BASE.into(), true));
    assert!(good.shows_everybody);
    assert_eq!(good.reviewed.to_string(), "2026-11-22T10:00:00Z");
    // a browser's committer is the author; the other commit's is not known to GitHub, and stays as it is
    assert_eq!(
        authors(&good),
        [
            "dave@acme.example",
            "erin@acme.example",
            "github.com/alice",
            "github.com/erin",
            "noreply@github.com"
        ]
    );
    let voided: Vec<String> = good.voided.iter().map(ToString::to_string).collect();
    assert_eq!(voided.len(), 4, "{voided:?}");
    assert!(voided.iter().any(|v| v.contains("carol approved") && v.contains("and not")), "{voided:?}");
    assert!(voided.iter().any(|v| v == "github.com/ci[bot] is a machine"), "{voided:?}");
    let named = github_reviews(&[review("robot:Bot", "APPROVED", "12:00", HEAD)]);
    assert_eq!(reviewers(&named), ["github.com/robot"]);
}

#[test]
fn github_voids_what_was_dismissed_withdrawn_or_pushed_over() {
    for (reviews, reason) in [
        (vec![], "nobody approved the last revision"),
        (vec![review("bob", "APPROVED", "09:00", FIRST)], "approved"),
        (
            vec![review("bob", "APPROVED", "09:00", HEAD), review("bob", "CHANGES_REQUESTED", "10:00", HEAD)],
            "asked for changes",
        ),
        (
            vec![review("bob", "CHANGES_REQUESTED", "10:00", HEAD), review("bob", "APPROVED", "09:00", HEAD)],
            "asked for changes",
        ),
        (vec![review("bob", "DISMISSED", "09:00", HEAD)], "was dismissed"),
        (
            vec![review("bob", "APPROVED", "08:00", HEAD), review("bob", "DISMISSED", "09:00", HEAD)],
            "was dismissed",
        ),
        (vec![review("nobody", "APPROVED", "09:00", HEAD)], "no account any more"),
    ] {
        let reviews =
            if reviews.is_empty() { vec![review("bob", "COMMENTED", "09:00", HEAD)] } else { reviews };
        let error = github_reviews(&reviews).unwrap_err();
        assert!(
            matches!(error, ExportError::NotApproved(_)) && error.to_string().contains(reason),
            "{reason}: {error}"
        );
    }
}

#[test]
fn github_says_which_part_is_missing() {
    let reviews = format!("[{}]", review("bob", "APPROVED", "10:00", HEAD));
    let fails = |files: &[&str], what: &str, fix: &str| {
        let error = read(github::read, files, &[]).unwrap_err();
        assert!(
            error.to_string().contains(what) && error.fix().contains(fix),
            "{what}: {error}, {}",
            error.fix()
        );
    };
    fails(&[&reviews, &commits()], "the pull request", "gh pr view");
    fails(&[&pull("open"), &commits()], "the reviews", "/reviews");
    fails(&[&pull("open"), &reviews], "the commits", "/commits");
    fails(&[&pull("closed"), &reviews, &commits()], "closed", "open the change again");
    fails(&["{\"head\":1}"], "head: wanted an object", "gh api");
    fails(&["{\"head\":1,\"head\":2}"], "duplicate key", "as the forge's tool wrote it");
    let one = commits().replace(HEAD, MERGE);
    fails(&[&pull("open"), &reviews, &one], "without it", "export all parts again");
    // a list that was cut off shows no base
    let more = pull("open").replace(r#""commits":2"#, r#""commits":3"#);
    assert!(!read(github::read, &[&more, &reviews, &commits()], &[]).unwrap().shows_everybody);
    let merged = pull("closed").replace(r#""merged":false"#, r#""merged":true"#);
    assert_eq!(
        read(github::read, &[&merged, &reviews, &commits()], &[]).unwrap().merged.unwrap().hex(),
        MERGE
    );
}

#[test]
fn what_gh_views_is_read_and_shows_no_committers() {
    let view = |review: &str| {
        format!(
            r#"{{"number":7,"url":"https://github.com/acme/shop/pull/7","state":"MERGED","baseRefName":"main",
            "author":{{"login":"alice","is_bot":false}},"headRefOid":"{HEAD}","baseRefOid":"{BASE}",
            "mergeCommit":{{"oid":"{MERGE}"}},"commits":[{{"oid":"{HEAD}","messageBody":"",
            "authors":[{{"login":"alice","email":"alice@acme.example"}},{{"login":"","email":"dave@acme.example"}}]}}],
            "reviews":[{{"author":{{"login":"bob"}},"state":"APPROVED","submittedAt":"2026-11-22T09:00:00Z"{review}}}]}}"#
        )
    };
    let good = read(github::read, &[&view(&format!(r#","commit":{{"oid":"{HEAD}"}}"#))], &[]);
    assert_eq!(reviewers(&good), ["github.com/bob"]);
    let good = good.unwrap();
    assert_eq!(authors(&good), ["alice@acme.example", "dave@acme.example", "github.com/alice"]);
    assert!(!good.shows_everybody);
    // an old gh does not say what was approved
    let error = read(github::read, &[&view("")], &[]).unwrap_err();
    assert!(error.to_string().contains("reviews[0].commit: wanted the commit that was reviewed"), "{error}");
    assert!(error.fix().contains("/reviews"), "{}", error.fix());
}

fn request(more: &str) -> String {
    format!(
        r#"{{"iid":7,"web_url":"https://gitlab.example/acme/shop/-/merge_requests/7","state":"opened","sha":"{HEAD}",
        "target_branch":"main","author":{{"username":"alice"}},"diff_refs":{{"base_sha":"{BASE}","head_sha":"{HEAD}"}},
        "merge_commit_sha":null,"squash_commit_sha":null{more}}}"#
    )
}

fn approvals(entries: &[(&str, &str)]) -> String {
    let entry = |(name, at): &(&str, &str)| {
        let at = if at.is_empty() {
            String::new()
        } else {
            format!(r#","approved_at":"2026-11-22T{at}:00.000+01:00""#)
        };
        format!(r#"{{"user":{{"id":1,"username":"{name}"}}{at}}}"#)
    };
    let list: Vec<String> = entries.iter().map(entry).collect();
    format!(r#"{{"approved":true,"approved_by":[{}]}}"#, list.join(","))
}

fn gitlab_commits(base: &str) -> String {
    format!(
        r#"[{{"id":"{HEAD}","parent_ids":["{base}"],"author_email":"erin@acme.example","committer_email":"frank@acme.example",
        "message":"x\n\nCo-Authored-By: D <dave@acme.example>\n"}}]"#
    )
}

/// The last revision was pushed at ten o'clock in UTC.
fn versions(head: &str) -> String {
    format!(
        r#"[{{"id":2,"head_commit_sha":"{head}","created_at":"2026-11-22T10:00:00Z"}},
        {{"id":1,"head_commit_sha":"{FIRST}","created_at":"2026-11-22T08:00:00Z"}}]"#
    )
}

#[test]
fn gitlab_counts_approvals_after_the_last_push() {
    let all = |entries: &[(&str, &str)], request: &str| {
        read(gitlab::read, &[request, &approvals(entries), &versions(HEAD), &gitlab_commits(BASE)], &[])
    };
    let good = all(
        &[("bob", "11:30"), ("carol", "10:30"), ("project_1_bot_2a", "12:00"), ("ghost", "12:00")],
        &request(""),
    );
    assert_eq!(reviewers(&good), ["gitlab.example/bob"]);
    let good = good.unwrap();
    assert_eq!(good.repository.as_deref(), Some("https://gitlab.example/acme/shop"));
    assert_eq!(
        authors(&good),
        ["dave@acme.example", "erin@acme.example", "frank@acme.example", "gitlab.example/alice"]
    );
    assert!(good.shows_everybody && good.merged.is_none());
    assert_eq!(good.voided.len(), 3);
    let error = all(&[("bob", "")], &request("")).unwrap_err();
    assert!(error.to_string().contains("approved_at, the time of each approval"), "{error}");
    let wants_changes = request(r#","detailed_merge_status":"requested_changes""#);
    let error = all(&[("bob", "12:00")], &wants_changes).unwrap_err();
    assert!(
        error.to_string().contains("who asked for changes") && error.fix().contains("/reviewers"),
        "{error}"
    );
    let who = r#"[{"user":{"username":"bob"},"state":"requested_changes"},{"user":{"username":"carol"},"state":"approved"}]"#;
    let approvals = approvals(&[("bob", "12:00"), ("carol", "12:00")]);
    let files = [&wants_changes, &approvals, &versions(HEAD), &gitlab_commits(BASE), who];
    let files: Vec<&str> = files.iter().map(|f| f.as_ref()).collect();
    assert_eq!(reviewers(&read(gitlab::read, &files, &[])), ["gitlab.example/carol"]);
}

#[test]
fn gitlab_parts_must_be_there_and_fit() {
    let approvals = approvals(&[("bob", "12:00")]);
    let fails = |files: &[&str], what: &str, fix: &str| {
        let error = read(gitlab::read, files, &[]).unwrap_err();
        assert!(
            error.to_string().contains(what) && error.fix().contains(fix),
            "{what}: {error}, {}",
            error.fix()
        );
    };
    fails(&[&approvals], "the merge request", "merge_requests/N");
    fails(&[&request("")], "the approvals", "/approvals");
    fails(&[&request(""), &approvals, &gitlab_commits(BASE)], "the times at which", "/versions");
    fails(&[&request(""), &approvals, &versions(HEAD)], "the commits", "/commits");
    fails(
        &[&request(""), &approvals, &versions(MERGE), &gitlab_commits(BASE)],
        "as the newest version",
        "at one time",
    );
    // one page of twenty ends at another commit than the change began at
    let cut = read(gitlab::read, &[&request(""), &approvals, &versions(HEAD), &gitlab_commits(FIRST)], &[])
        .unwrap();
    assert!(!cut.shows_everybody);
}

fn query(votes: &str) -> String {
    let text = format!(
        r#"{{"project":"acme/shop","branch":"main","url":"https://gerrit.example/c/acme/shop/+/7","status":"NEW",
        "owner":{{"email":"alice@acme.example"}},"commitMessage":"x\n\nCo-authored-by: D <dave@acme.example>",
        "patchSets":[{{"number":1,"uploader":{{"username":"erin"}}}}],
        "currentPatchSet":{{"number":2,"revision":"{HEAD}","parents":["{BASE}"],"uploader":{{"email":"frank@acme.example"}},
        "author":{{"email":"alice@acme.example"}},"approvals":[{votes}]}}}}"#
    );
    format!("{}\n{{\"type\":\"stats\",\"rowCount\":1}}\n", text.replace('\n', " "))
}

fn vote(who: &str, kind: &str, value: &str) -> String {
    format!(
        r#"{{"type":"{kind}","value":"{value}","grantedOn":1795338000,"by":{{"email":"{who}@acme.example"}}}}"#
    )
}

#[test]
fn gerrit_counts_the_highest_vote_on_the_current_patch_set() {
    let votes =
        [vote("bob", "Code-Review", "2"), vote("carol", "Code-Review", "1"), vote("grace", "Verified", "2")]
            .join(",");
    let good = read(gerrit::read, &[&query(&votes)], &[]);
    assert_eq!(reviewers(&good), ["bob@acme.example"]);
    let good = good.unwrap();
    assert_eq!(good.repository.as_deref(), Some("https://gerrit.example/acme/shop"));
    assert_eq!(authors(&good), ["alice@acme.example", "dave@acme.example", "erin", "frank@acme.example"]);
    assert!(!good.shows_everybody, "a query does not say who committed");
    let error = read(gerrit::read, &[&query(&vote("carol", "Code-Review", "-2"))], &[]).unwrap_err();
    assert!(error.to_string().contains("voted -2, and +2 approves"), "{error}");
    let two = query(&votes).repeat(2);
    assert!(matches!(read(gerrit::read, &[&two], &[]), Err(ExportError::Contradiction { .. })));
    let gone = query(&votes).replace("NEW", "ABANDONED");
    assert!(matches!(read(gerrit::read, &[&gone], &[]), Err(ExportError::GivenUp(_))));
    let error = read(gerrit::read, &["{\"type\":\"stats\"}"], &[]).unwrap_err();
    assert!(error.to_string().contains("the change") && error.fix().contains("gerrit query"), "{error}");
}

#[test]
fn gerrit_over_rest_shows_the_committer() {
    let info = |vote: &str| {
        format!(
            ")]}}'\n{{\"project\":\"acme/shop\",\"branch\":\"main\",\"status\":\"MERGED\",\"owner\":{{\"email\":\"alice@acme.example\"}},
            \"current_revision\":\"{HEAD}\",\"revisions\":{{\"{HEAD}\":{{\"uploader\":{{\"email\":\"erin@acme.example\"}},
            \"commit\":{{\"parents\":[{{\"commit\":\"{BASE}\"}}],\"message\":\"x\",\"author\":{{\"email\":\"alice@acme.example\"}},
            \"committer\":{{\"email\":\"frank@acme.example\"}}}}}}}},
            \"labels\":{{\"Code-Review\":{{\"all\":[{{\"value\":0,\"email\":\"grace@acme.example\"}},{vote}]}}}}}}"
        )
    };
    let human = r#"{"value":2,"date":"2026-11-22 09:00:00.000000000","email":"bob@acme.example"}"#;
    let good = read(gerrit::read, &[&info(human)], &[]);
    assert_eq!(reviewers(&good), ["bob@acme.example"]);
    let good = good.unwrap();
    assert_eq!(authors(&good), ["alice@acme.example", "erin@acme.example", "frank@acme.example"]);
    assert_eq!((good.shows_everybody, good.merged.unwrap().hex()), (true, HEAD.to_owned()));
    assert_eq!(good.reviewed.to_string(), "2026-11-22T09:00:00Z");
    let machine = human.replace(r#""email":"bob"#, r#""tags":["SERVICE_USER"],"email":"bob"#);
    let error = read(gerrit::read, &[&info(&machine)], &[]).unwrap_err();
    assert!(error.to_string().contains("is a machine"), "{error}");
    assert_eq!(
        reviewers(&read(gerrit::read, &[&info(&machine)], &["bob@acme.example"])),
        ["bob@acme.example"]
    );
}
