//! A second opinion: a small, naive evaluator of policies, written from the docs alone (what `portcullis explain`
//! says of each rule, and "Policies" and "Semantics, exactly" of DESIGN.md). Whoever wrote it has not seen the
//! engine, and that is its whole worth: a difference between the two is a mistake in one of them, or in the docs.
//! It must stay independent. Do not import the engine here, do not copy from it, and do not change an answer here
//! because the engine gives another one: change it only where the docs say so.
//!
//! Linear scans everywhere; one small function for each rule, named after it.

use super::licences;
use super::model::{About, Answer, Case, Commit, Envelope, Licences, Model, Part, Policy, Principal};
use super::model::{Asked, Provenance, Require, Role, Root, Says, Summary, Time, VerifiedBy};
use std::collections::BTreeSet;

/// How far a clock may be off, in seconds.
const TOLERANCE: i64 = 60;

type Rules = BTreeSet<&'static str>;

/// An envelope of which at least one signer counts.
struct Opened<'a> {
    envelope: &'a Envelope,
    /// Only those that count.
    signers: Vec<&'a Principal>,
    /// The earliest cosignature of a witness of the root, under a log of the root.
    trusted: Option<Time>,
}

/// The one provenance that the other rules may read.
struct Judged<'a> {
    opened: &'a Opened<'a>,
    provenance: &'a Provenance,
    /// Everybody whom `built-by` accepted; at least one.
    builders: Vec<&'a Principal>,
}

type Candidate<'a> = (&'a Opened<'a>, &'a Provenance);

/// What every rule may look at.
struct Facts<'a> {
    root: &'a Root,
    case: &'a Case,
    opened: &'a [Opened<'a>],
    candidates: Vec<Candidate<'a>>,
    /// None: `built-by` or `evidence-unambiguous` refuses, and rules that read provenance say nothing.
    judged: Option<Judged<'a>>,
}

pub fn judge(model: &Model) -> Answer {
    let (root, case) = (&model.root, &model.case);
    if case.unreadable {
        return Answer::Unmet { refused: Rules::from(["request-readable"]), warned: Rules::new() };
    }
    let Some(policy) = model.policies.iter().find(|policy| claims(policy, case)) else {
        return Answer::Unmet { refused: Rules::from(["policy-missing"]), warned: Rules::new() };
    };
    let envelopes = same_bytes_once(&case.envelopes);
    let opened: Vec<_> = envelopes.iter().filter_map(|envelope| open(root, case, envelope)).collect();
    if opened.iter().any(|opened| opened.trusted.is_some_and(|time| time > case.at + TOLERANCE)) {
        return Answer::CannotDecide;
    }
    let mut main = policy.require.clone();
    if !main.built_by.is_empty() {
        main.parameters.get_or_insert_default();
    }
    let candidates = candidates(&opened);
    let judged = judged(case, &candidates, &main.built_by);
    let facts = Facts { root, case, opened: &opened, candidates, judged };

    let (mut refused, mut warned) = (unmet(&facts, &main), Rules::new());
    for (from, require) in &policy.upcoming {
        let into = if case.at >= *from { &mut refused } else { &mut warned };
        into.extend(unmet(&facts, require));
    }
    if opened.len() < envelopes.len() {
        refused.insert("evidence-authentic");
    }
    if !evidence_unambiguous(&facts) {
        refused.insert("evidence-unambiguous");
    }
    if !evidence_applies(&facts, refused.is_empty()) {
        refused.insert("evidence-applies");
    }
    if refused.is_empty() { Answer::Met { warned } } else { Answer::Unmet { refused, warned } }
}

/// The rules of this `require` that are not met. A rule that is omitted is met.
fn unmet(facts: &Facts<'_>, require: &Require) -> Rules {
    type Rule = fn(&Facts<'_>, &Require) -> bool;
    let rules: [(&str, Rule); 9] = [
        ("signed-by", signed_by),
        ("built-by", built_by),
        ("verified-by", verified_by),
        ("tests", tests),
        ("released-for", released_for),
        ("version", version),
        ("package", package_asked),
        ("scanned", scanned),
        ("requested-by", requested_by),
    ];
    type ReadingRule = fn(&Facts<'_>, &Require, &Judged<'_>) -> bool;
    let reading_rules: [(&str, bool, ReadingRule); 16] = [
        ("source-repository", require.repository.is_some(), source_repository),
        ("source-branch", require.branch.is_some(), source_branch),
        ("source-tag", require.tag.is_some(), source_tag),
        ("source-level", require.source_level.is_some(), source_level),
        ("workflow", require.workflow.is_some(), workflow),
        ("source-reviewed", require.reviewed.is_some(), source_reviewed),
        ("target", require.target.is_some(), target),
        ("parameters", require.parameters.is_some(), parameters),
        ("command", require.command.is_some(), command),
        ("hermetic", require.hermetic, hermetic),
        ("tools", !require.tools.is_empty(), tools),
        ("dependencies", require.dependencies.is_some(), dependencies),
        ("built-within", require.built_within.is_some(), built_within),
        ("rebuilt", require.rebuilt.is_some(), rebuilt),
        ("format", require.format.is_some(), format),
        ("logged", require.logged.is_some(), logged),
    ];
    let unmet = rules.into_iter().filter(|(_, met)| !met(facts, require)).map(|(name, _)| name);
    let unmet_reading = reading_rules.into_iter().filter(|(_, asked, met)| {
        *asked && facts.judged.as_ref().is_some_and(|judged| !met(facts, require, judged))
    });
    unmet.chain(unmet_reading.map(|(name, _, _)| name)).collect()
}

// ---- Selection ----

fn claims(policy: &Policy, case: &Case) -> bool {
    matches(&policy.environment, &case.environment) && matches(&policy.artifact, &case.artifact)
}

/// `*` stands for exactly one segment that is not empty.
fn matches(pattern: &str, text: &str) -> bool {
    let same = |(p, t): (&str, &str)| if p == "*" { !t.is_empty() } else { p == t };
    pattern.split('/').count() == text.split('/').count() && pattern.split('/').zip(text.split('/')).all(same)
}

// ---- Step 1: authentic ----

/// The model has no bytes: envelopes that it describes alike are the same.
fn same_bytes_once(envelopes: &[Envelope]) -> Vec<&Envelope> {
    let mut seen = BTreeSet::new();
    envelopes.iter().filter(|envelope| seen.insert(format!("{envelope:?}"))).collect()
}

/// The proof of being logged is about the first signature alone.
fn open<'a>(root: &'a Root, case: &Case, envelope: &'a Envelope) -> Option<Opened<'a>> {
    let proven = trusted_time(root, envelope);
    let is_first = |signer: &Principal| envelope.signers.first() == Some(&signer.name);
    let known = |name: &String| root.principals.iter().find(|principal| principal.name == *name);
    let signers = envelope.signers.iter().filter_map(known);
    let time_of = |signer: &Principal| if is_first(signer) { proven } else { None };
    let signers: Vec<_> = signers.filter(|signer| counts(signer, time_of(signer), case.at)).collect();
    let first_counts = signers.iter().any(|signer| is_first(signer));
    let trusted = if first_counts { proven } else { None };
    if signers.is_empty() { None } else { Some(Opened { envelope, signers, trusted }) }
}

fn trusted_time(root: &Root, envelope: &Envelope) -> Option<Time> {
    let (log, cosignatures) = envelope.logged.as_ref()?;
    let seen = cosignatures.iter().filter(|(witness, _)| root.witnesses.contains(witness));
    if root.logs.contains(log) { seen.map(|(_, time)| *time).min() } else { None }
}

fn counts(signer: &Principal, trusted: Option<Time>, at: Time) -> bool {
    let moment = trusted.unwrap_or(at);
    let begun = signer.from.is_none_or(|from| from <= moment);
    let not_over = signer.until.is_none_or(|until| moment <= until);
    let before = |revoked| trusted.is_some_and(|time| time < revoked);
    begun && not_over && signer.revoked.is_none_or(before)
}

fn holds(signer: &Principal, role: Role, by: &[String]) -> bool {
    signer.roles.contains(&role) && (by.is_empty() || by.contains(&signer.name))
}

fn signed(opened: &Opened<'_>, role: Role, by: &[String]) -> bool {
    opened.signers.iter().any(|signer| holds(signer, role, by))
}

// ---- Step 2: applies ----

fn about_the_artifact<'a>(opened: &'a [Opened<'a>]) -> impl Iterator<Item = &'a Opened<'a>> {
    opened.iter().filter(|opened| opened.envelope.about == About::TheArtifact)
}

fn about_artifact_or_source<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = &'a Opened<'a>> {
    facts.opened.iter().filter(|opened| applies(facts, opened))
}

fn applies(facts: &Facts<'_>, opened: &Opened<'_>) -> bool {
    match &opened.envelope.about {
        About::TheArtifact => true,
        About::AnotherArtifact => false,
        About::Commit(commit) => source(facts) == Some(commit),
        About::Package(digest) => is_made_of(facts, digest),
    }
}

/// The commit that the judged provenance names.
fn source<'a>(facts: &'a Facts<'_>) -> Option<&'a String> {
    facts.judged.as_ref()?.provenance.commit.as_ref()
}

/// A dependency of the judged provenance has this digest, or a part in a list about the artifact, whoever signed it.
fn is_made_of(facts: &Facts<'_>, digest: &String) -> bool {
    let of_build = facts.judged.iter().flat_map(|judged| &judged.provenance.dependencies);
    let of_lists = about_the_artifact(facts.opened).filter_map(parts).flatten();
    of_build
        .map(|(_, digest, _)| digest)
        .chain(of_lists.map(|part| &part.digest))
        .flatten()
        .any(|d| d == digest)
}

fn parts<'a>(opened: &Opened<'a>) -> Option<&'a [Part]> {
    if let Says::Parts(parts) = &opened.envelope.says { Some(parts) } else { None }
}

/// Evidence about a commit, where no commit is known, is a finding only if nothing else explains the refusal; likewise
/// what is about a package, where no provenance is judged.
fn evidence_applies(facts: &Facts<'_>, nothing_else_refused: bool) -> bool {
    let excused = |opened: &Opened<'_>| match opened.envelope.about {
        About::Commit(_) => source(facts).is_none(),
        About::Package(_) => facts.judged.is_none(),
        About::TheArtifact | About::AnotherArtifact => false,
    };
    facts.opened.iter().all(|opened| applies(facts, opened) || (!nothing_else_refused && excused(opened)))
}

fn evidence_unambiguous(facts: &Facts<'_>) -> bool {
    let mut claims: BTreeSet<(&str, Option<&str>, &str)> = BTreeSet::new();
    let one = |kind| BTreeSet::from([(kind, None)]);
    let mut unambiguous = facts.candidates.len() < 2;
    for opened in about_artifact_or_source(facts) {
        let claimed_here: BTreeSet<(&str, Option<&str>)> = match &opened.envelope.says {
            Says::Test(names, _) => names.iter().map(|name| ("test", Some(name.as_str()))).collect(),
            Says::Scan(..) => one("scan"),
            Says::Release(..) => one("release"),
            Says::Review { base, .. } => BTreeSet::from([("review", base.as_deref())]),
            Says::Provenance(_) if signed(opened, Role::Rebuilder, &[]) => one("rebuild"),
            Says::Summary(summary) => BTreeSet::from([("summary", Some(summary.resource.as_str()))]),
            Says::Provenance(_) | Says::Parts(_) | Says::Import(_) | Says::Nothing => BTreeSet::new(),
        };
        for (kind, name) in claimed_here {
            unambiguous &= opened.signers.iter().all(|signer| claims.insert((kind, name, &signer.name)));
        }
    }
    unambiguous
}

/// The provenance statements about the artifact that are not only rebuilders'.
fn candidates<'a>(opened: &'a [Opened<'a>]) -> Vec<Candidate<'a>> {
    let votes =
        |signer: &&Principal| holds(signer, Role::Rebuilder, &[]) && !holds(signer, Role::Builder, &[]);
    let said = |opened: &'a Opened<'a>| match &opened.envelope.says {
        Says::Provenance(provenance) if !opened.signers.iter().all(votes) => Some((opened, provenance)),
        _ => None,
    };
    about_the_artifact(opened).filter_map(said).collect()
}

/// The one provenance, where one of its signers meets all that `built-by` with these names asks.
fn judged<'a>(case: &Case, candidates: &[Candidate<'a>], names: &[String]) -> Option<Judged<'a>> {
    let [(opened, provenance)] = candidates else { return None };
    let accepted = |signer: &&Principal| names.contains(&signer.name) && vouches(signer, provenance, case);
    let builders: Vec<_> = opened.signers.iter().copied().filter(accepted).collect();
    if builders.is_empty() { None } else { Some(Judged { opened, provenance, builders }) }
}

/// Whether the trust root lets this signer, all alone, say so as a builder.
fn vouches(signer: &Principal, said: &Provenance, case: &Case) -> bool {
    let admitted = |pattern: &String| matches(pattern, &case.environment);
    let recalled = match &said.builder_version {
        Some(version) => signer.recalled_versions.contains(version),
        None => !signer.recalled_versions.is_empty(),
    };
    signer.roles.contains(&Role::Builder)
        && signer.ids.contains(&said.builder_id)
        && (signer.environments.is_empty() || signer.environments.iter().any(admitted))
        && !recalled
}

// ---- Step 3: the rules ----

fn signed_by(facts: &Facts<'_>, require: &Require) -> bool {
    let signed = |name: &&String| {
        about_the_artifact(facts.opened).any(|opened| opened.signers.iter().any(|s| s.name == **name))
    };
    let count = require.signed_by.iter().filter(signed).count() as u64;
    require.signed_by.is_empty() || count >= require.quorum.unwrap_or(1)
}

/// Of two, none is the one: then this is not met either, beside `evidence-unambiguous`.
fn built_by(facts: &Facts<'_>, require: &Require) -> bool {
    require.built_by.is_empty()
        || facts.candidates.len() > 1
        || judged(facts.case, &facts.candidates, &require.built_by).is_some()
}

fn verified_by(facts: &Facts<'_>, require: &Require) -> bool {
    let Some(asked) = &require.verified_by else { return true };
    about_the_artifact(facts.opened).any(|opened| match &opened.envelope.says {
        Says::Summary(summary) => is_accepted(facts.case, asked, opened, summary),
        _ => false,
    })
}

fn is_accepted(case: &Case, asked: &VerifiedBy, opened: &Opened<'_>, said: &Summary) -> bool {
    let listed = opened.signers.iter().filter(|signer| holds(signer, Role::Verifier, &asked.verifiers));
    let claimed = listed.into_iter().any(|signer| signer.ids.contains(&said.verifier));
    let passed = said.passed && !said.levels.iter().any(|level| level == "FAILED");
    let place = match &asked.about {
        Asked::TheArtifact => said.resource == case.artifact,
        Asked::Resource(resource) => said.resource == *resource,
        Asked::Environment(environment) => {
            said.resource == format!("{}#environment={environment}", case.artifact)
                && said.environment.as_ref() == Some(environment)
        }
    };
    let in_time = said.verified.is_some_and(|verified| {
        let oldest = opened.trusted.map_or(verified, |seen| seen.min(verified));
        verified <= case.at + TOLERANCE && case.at - oldest <= asked.within
    });
    let lasting = said.expires.is_none_or(|expires| expires >= case.at);
    let policy = asked.policy.as_ref().is_none_or(|uri| said.policy == *uri)
        && asked.digest.as_ref().is_none_or(|digest| said.digest.as_ref() == Some(digest));
    let levels = asked.levels.iter().all(|level| is_reached(&said.levels, level));
    claimed && passed && place && in_time && lasting && policy && levels
}

fn is_reached(levels: &[String], wanted: &str) -> bool {
    let Some((track, least)) = wanted.rsplit_once('_').filter(|(track, _)| track.ends_with("_LEVEL")) else {
        return levels.iter().any(|level| level == wanted);
    };
    let number = |text: &str| text.parse::<u8>().ok();
    let of_track = levels.iter().filter_map(|level| level.strip_prefix(track)?.strip_prefix('_'));
    let of_track: Vec<u8> = of_track.filter_map(number).collect();
    !of_track.is_empty() && of_track.iter().all(|level| number(least).is_some_and(|least| *level >= least))
}

fn source_repository(_: &Facts<'_>, require: &Require, judged: &Judged<'_>) -> bool {
    judged.provenance.repository == require.repository
}

fn source_branch(_: &Facts<'_>, require: &Require, judged: &Judged<'_>) -> bool {
    judged.provenance.reference == require.branch.as_ref().map(|branch| format!("refs/heads/{branch}"))
}

fn source_tag(_: &Facts<'_>, require: &Require, judged: &Judged<'_>) -> bool {
    judged.provenance.reference == require.tag.as_ref().map(|tag| format!("refs/tags/{tag}"))
}

fn source_level(facts: &Facts<'_>, require: &Require, judged: &Judged<'_>) -> bool {
    let Some(least) = require.source_level else { return true };
    let built = judged.provenance;
    facts.opened.iter().any(|opened| {
        let Says::Summary(said) = &opened.envelope.says else { return false };
        let About::Commit(commit) = &opened.envelope.about else { return false };
        let mut verifiers = opened.signers.iter().filter(|signer| holds(signer, Role::Verifier, &[]));
        let claimed = verifiers.any(|signer| signer.ids.contains(&said.verifier));
        let passed = said.passed && !said.levels.iter().any(|level| level == "FAILED");
        let place = built.repository.as_ref().is_some_and(|repository| {
            said.resource == *repository || said.resource == format!("git+{repository}")
        });
        let branch = built.reference.as_ref().is_some_and(|reference| said.refs.contains(reference));
        let reached = (least..=4).any(|n| said.levels.contains(&format!("SLSA_SOURCE_LEVEL_{n}")))
            && require.source_properties.iter().all(|property| said.levels.contains(property));
        let lasting = said.expires.is_none_or(|expires| expires >= facts.case.at);
        built.commit.as_ref() == Some(commit) && claimed && passed && place && branch && reached && lasting
    })
}

/// Without a certificate the file is the target, and nothing says what began the run.
fn workflow(_: &Facts<'_>, require: &Require, judged: &Judged<'_>) -> bool {
    let Some((file, asks_trigger)) = &require.workflow else { return true };
    !asks_trigger && (file.is_none() || judged.provenance.target == *file)
}

fn source_reviewed(facts: &Facts<'_>, require: &Require, judged: &Judged<'_>) -> bool {
    let Some((approvals, by)) = &require.reviewed else { return true };
    let reviews = counted_reviews(facts, judged.provenance, by);
    let open = open_commits(&judged.provenance.history, &reviews);

    let listed = reviews.iter().flat_map(|review| review.authors);
    let identities = listed.chain(open.iter().flat_map(|commit| &commit.people));
    let authors: BTreeSet<_> = identities.map(|identity| person(facts.root, identity)).collect();
    let all_mapped = !authors.contains(&None);
    let approvers = approvers(facts.root, &reviews);
    let others = approvers.iter().filter(|approver| !authors.contains(&Some(**approver)));
    let known = authors_known(&judged.provenance.history, &reviews, &open);
    known && all_mapped && !approvers.is_empty() && others.count() as u64 >= *approvals
}

fn person<'a>(root: &'a Root, identity: &str) -> Option<&'a String> {
    root.people.get(&identity.to_ascii_lowercase())
}

/// A review that counts: by a review authority, or by people of their own (whose names `own` has), or both.
struct Review<'a> {
    base: Option<&'a String>,
    authors: &'a [String],
    reviewers: &'a [String],
    by_authority: bool,
    own: Vec<&'a String>,
}

fn counted_reviews<'a>(facts: &'a Facts<'_>, judged: &Provenance, by: &[String]) -> Vec<Review<'a>> {
    let counted = |opened: &'a Opened<'_>| {
        let Says::Review { repository, base, authors, reviewers } = &opened.envelope.says else {
            return None;
        };
        let About::Commit(commit) = &opened.envelope.about else { return None };
        let source = judged.commit.as_ref() == Some(commit) && judged.repository.as_ref() == Some(repository);
        let by_authority = signed(opened, Role::ReviewAuthority, by);
        let people = opened.signers.iter().filter(|signer| holds(signer, Role::Reviewer, by));
        let own: Vec<&String> = people.map(|signer| &signer.name).collect();
        let counts = source && (by_authority || !own.is_empty());
        counts.then_some(Review { base: base.as_ref(), authors, reviewers, by_authority, own })
    };
    facts.opened.iter().filter_map(counted).collect()
}

/// The commits that are not behind the base of every counted review.
fn open_commits<'a>(history: &'a [Commit], reviews: &[Review<'_>]) -> Vec<&'a Commit> {
    let behind = |id, review: &Review<'_>| review.base.is_some_and(|base| up_to(history, base).contains(id));
    history.iter().filter(|commit| !reviews.iter().all(|review| behind(&commit.id, review))).collect()
}

/// This commit and all its ancestors, as far as the history knows them.
fn up_to<'a>(history: &'a [Commit], base: &'a String) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::from([base]);
    for _ in history {
        for commit in history {
            if reached.contains(&commit.id) {
                reached.extend(&commit.parents);
            }
        }
    }
    reached
}

/// An authority lists some, or the open commits reach down to a base or the root. Each open commit has people.
fn authors_known(history: &[Commit], reviews: &[Review<'_>], open: &[&Commit]) -> bool {
    let listed = reviews.iter().any(|review| review.by_authority && !review.authors.is_empty());
    let is_base = |id| reviews.iter().any(|review| review.base == Some(id));
    let known = |id| is_base(id) || history.iter().any(|commit| commit.id == *id);
    let complete = !open.is_empty() && open.iter().flat_map(|commit| &commit.parents).all(known);
    (listed || complete) && open.iter().all(|commit| !commit.people.is_empty())
}

fn approvers<'a>(root: &'a Root, reviews: &[Review<'a>]) -> BTreeSet<&'a String> {
    let vouched = |base| reviews.iter().any(|review| review.by_authority && review.base == Some(base));
    let mut approvers = BTreeSet::new();
    for review in reviews {
        if review.by_authority {
            approvers.extend(review.reviewers.iter().filter_map(|identity| person(root, identity)));
        }
        if review.base.is_none_or(vouched) {
            approvers.extend(&review.own);
        }
    }
    approvers
}

fn target(_: &Facts<'_>, require: &Require, judged: &Judged<'_>) -> bool {
    judged.provenance.target == require.target
}

fn parameters(_: &Facts<'_>, require: &Require, judged: &Judged<'_>) -> bool {
    require.parameters.as_ref() == Some(&judged.provenance.parameters)
}

fn command(_: &Facts<'_>, require: &Require, judged: &Judged<'_>) -> bool {
    judged.provenance.command == require.command
}

fn hermetic(_: &Facts<'_>, _: &Require, judged: &Judged<'_>) -> bool {
    is_hermetic(judged)
}

fn is_hermetic(judged: &Judged<'_>) -> bool {
    let version = judged.provenance.builder_version.as_deref().and_then(numbers);
    let least = |range: &String| range.strip_prefix(">=").and_then(numbers);
    let granted = |range| least(range).is_some_and(|least| version.is_some_and(|version| version >= least));
    judged.provenance.hermetic && judged.builders.iter().any(|builder| builder.hermetic.iter().any(granted))
}

fn tools(_: &Facts<'_>, require: &Require, judged: &Judged<'_>) -> bool {
    let mut tools = judged.provenance.dependencies.iter().filter(|(_, _, tool)| *tool).peekable();
    let listed = |uri, digest| require.tools.iter().any(|(u, d)| u == uri && Some(d) == digest);
    tools.peek().is_some() && tools.all(|(uri, digest, _)| listed(uri, digest.as_ref()))
}

fn dependencies(facts: &Facts<'_>, require: &Require, judged: &Judged<'_>) -> bool {
    let Some(asked) = &require.dependencies else { return true };
    let named = judged.provenance.dependencies.iter().all(|(uri, digest, _)| {
        (digest.is_some() || !asked.pinned) && !asked.denied.iter().any(|denied| is_denied(uri, denied))
    });
    let licensed = asked.licences.as_ref().is_none_or(|licences| licensed(facts, licences, judged));
    named && licensed && (asked.reviewed.is_empty() || imports_reviewed(facts, &asked.reviewed, judged))
}

/// The lists of parts about the artifact that somebody of these signed.
fn lists_by<'a>(facts: &'a Facts<'_>, is_one: &dyn Fn(&Principal) -> bool) -> Vec<&'a [Part]> {
    let by_them = about_the_artifact(facts.opened).filter(|o| o.signers.iter().any(|signer| is_one(signer)));
    by_them.filter_map(parts).collect()
}

fn is_accepted_builder(judged: &Judged<'_>, signer: &Principal) -> bool {
    judged.builders.iter().any(|builder| builder.name == signer.name)
}

fn licensed(facts: &Facts<'_>, asked: &Licences, judged: &Judged<'_>) -> bool {
    let lists = lists_by(facts, &|signer| match asked.by.as_slice() {
        [] => is_accepted_builder(judged, signer),
        by => by.contains(&signer.name),
    });
    let is_listed = |licence: &str| asked.listed.iter().any(|listed| listed == licence);
    let is_denied =
        |licence: &str| asked.listed.iter().any(|own| licences::plain(own) == licences::plain(licence));
    let is_wanted = |licence: &str| if asked.are_allowed { is_listed(licence) } else { !is_denied(licence) };
    let fits = |part: &Part| {
        !part.licences.is_empty() && part.licences.iter().all(|text| licences::is_met(text, &is_wanted))
    };
    !lists.is_empty() && lists.iter().all(|list| list.iter().all(fits))
}

fn imports_reviewed(facts: &Facts<'_>, by: &[String], judged: &Judged<'_>) -> bool {
    let others = judged.provenance.dependencies.iter().filter(|(_, _, is_tool)| !is_tool);
    let mut digests: Vec<&Option<String>> = others.map(|(_, digest, _)| digest).collect();
    if digests.is_empty() && !is_hermetic(judged) {
        let lists = lists_by(facts, &|signer| is_accepted_builder(judged, signer));
        if lists.is_empty() {
            return false;
        }
        digests = lists.into_iter().flatten().map(|part| &part.digest).collect();
    }
    let reviewed = |digest: &String| {
        facts.opened.iter().any(|opened| {
            let Says::Import(criteria) = &opened.envelope.says else { return false };
            let counts = signed(opened, Role::Reviewer, by) || signed(opened, Role::ReviewAuthority, by);
            let for_this = criteria.is_empty() || criteria.iter().any(|c| c == "safe-to-deploy");
            counts && for_this && opened.envelope.about == About::Package(digest.clone())
        })
    };
    digests.into_iter().all(|digest| digest.as_ref().is_some_and(reviewed))
}

fn is_denied(uri: &str, denied: &str) -> bool {
    let (Some((name, version)), Some((denied, only))) = (package(uri), package(denied)) else { return false };
    name == denied && (only.is_none() || version.is_none() || version == only)
}

/// The name (with type and namespace, in lower case) and the version of a package URL.
fn package(uri: &str) -> Option<(String, Option<&str>)> {
    let rest = uri.strip_prefix("pkg:")?;
    match rest.rsplit_once('@') {
        Some((name, version)) if !version.contains('/') => Some((name.to_ascii_lowercase(), Some(version))),
        _ => Some((rest.to_ascii_lowercase(), None)),
    }
}

fn tests(facts: &Facts<'_>, require: &Require) -> bool {
    let Some((names, by)) = &require.tests else { return true };
    names.iter().all(|name| {
        let result = |opened: &Opened<'_>| match &opened.envelope.says {
            Says::Test(carried, result) if carried.contains(name) => Some(*result),
            _ => None,
        };
        let by_testers = about_artifact_or_source(facts).filter(|opened| signed(opened, Role::Tester, by));
        let results: BTreeSet<u8> = by_testers.filter_map(result).collect();
        results == BTreeSet::from([0]) // PASSED
    })
}

fn released_for(facts: &Facts<'_>, require: &Require) -> bool {
    let Some((word, by)) = &require.released_for else { return true };
    releases(facts, by).iter().any(|(_, environments)| environments.contains(word))
}

/// What releases about the artifact say, by releasers.
fn releases<'a>(facts: &'a Facts<'_>, by: &[String]) -> Vec<(Option<Version>, &'a [String])> {
    let said = |opened: &'a Opened<'_>| match &opened.envelope.says {
        Says::Release(version, environments) => Some((*version, environments.as_slice())),
        _ => None,
    };
    let by_releasers = about_the_artifact(facts.opened).filter(|opened| signed(opened, Role::Releaser, by));
    by_releasers.filter_map(said).collect()
}

fn built_within(facts: &Facts<'_>, require: &Require, judged: &Judged<'_>) -> bool {
    let Some(finished) = judged.provenance.finished else { return false };
    let age = facts.case.at - judged.opened.trusted.map_or(finished, |seen| seen.min(finished));
    finished <= facts.case.at + TOLERANCE && require.built_within.is_none_or(|span| age <= span)
}

type Version = (u64, u64, u64);

/// All releases of the model are of one package.
fn package_asked(facts: &Facts<'_>, require: &Require) -> bool {
    let Some((name, wanted)) = &require.package else { return true };
    let released = releases(facts, &[]);
    let is_it =
        |version: &Option<Version>| name == "pkg:generic/shop" && (wanted.is_none() || version == wanted);
    !released.is_empty() && released.iter().all(|(version, _)| is_it(version))
}

fn version(facts: &Facts<'_>, require: &Require) -> bool {
    let Some(least) = require.version else { return true };
    let reference = facts.judged.as_ref().and_then(|judged| judged.provenance.reference.as_deref());
    let tag = reference.and_then(|reference| reference.strip_prefix("refs/tags/")).map(release);
    let released = releases(facts, &[]).into_iter().filter_map(|(version, _)| Some(Some(version?)));
    let known: Vec<Option<Version>> = tag.into_iter().chain(released).collect();
    !known.is_empty() && known.iter().all(|version| version.is_some_and(|version| version >= least))
}

/// The numbers of a SemVer, with or without a `v`. A pre-release has none: no range of the model names one.
fn release(text: &str) -> Option<Version> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let Some((core, metadata)) = text.split_once('+') else { return numbers(text) };
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let valid = metadata.split('.').all(|part| !part.is_empty() && part.chars().all(allowed));
    if valid { numbers(core) } else { None }
}

/// "MAJOR.MINOR.PATCH", without leading zeros or signs.
fn numbers(text: &str) -> Option<Version> {
    let number = |part: &str| part.parse::<u64>().ok().filter(|number| number.to_string() == part);
    match text.split('.').collect::<Vec<_>>().as_slice() {
        [major, minor, patch] => Some((number(major)?, number(minor)?, number(patch)?)),
        _ => None,
    }
}

fn scanned(facts: &Facts<'_>, require: &Require) -> bool {
    let Some((within, worst, by, bound)) = &require.scanned else { return true };
    let recent = |opened: &Opened<'_>| {
        let Says::Scan(finished, database, severities) = &opened.envelope.says else { return None };
        let of_database = database.iter().filter(|_| bound.is_none());
        let oldest = of_database.chain(&opened.trusted).fold(*finished, |oldest, time| oldest.min(*time));
        let is_fresh = bound.is_none_or(|bound| {
            database.is_some_and(|updated| facts.case.at - updated.min(*finished) <= bound)
        });
        let counts = *finished <= facts.case.at + TOLERANCE && facts.case.at - oldest <= *within && is_fresh;
        counts.then(|| severities.iter().all(|severity| severity <= worst))
    };
    let by_scanners = about_artifact_or_source(facts).filter(|opened| signed(opened, Role::Scanner, by));
    let clean: Vec<bool> = by_scanners.filter_map(recent).collect();
    !clean.is_empty() && clean.iter().all(|clean| *clean)
}

fn rebuilt(facts: &Facts<'_>, require: &Require, judged: &Judged<'_>) -> bool {
    let Some((at_least, by)) = &require.rebuilt else { return true };
    let agrees = |opened: &&Opened<'_>| match &opened.envelope.says {
        Says::Provenance(said) => agree(said, judged.provenance),
        _ => false,
    };
    let others = about_the_artifact(facts.opened).filter(|opened| !std::ptr::eq(*opened, judged.opened));
    let signers = others.filter(agrees).flat_map(|opened| &opened.signers);
    let voters = signers.filter(|signer| holds(signer, Role::Rebuilder, by));
    let operators: BTreeSet<_> = voters.filter_map(|voter| voter.operator.as_ref()).collect();
    operators.len() as u64 >= *at_least
}

fn agree(one: &Provenance, other: &Provenance) -> bool {
    fn inputs(of: &Provenance) -> BTreeSet<(&String, &Option<String>)> {
        of.dependencies.iter().map(|(uri, digest, _)| (uri, digest)).collect()
    }
    let source_known = one.repository.is_some() && one.commit.is_some();
    let same_source = (&one.repository, &one.commit) == (&other.repository, &other.commit);
    let same_call =
        (&one.target, &one.command, &one.parameters) == (&other.target, &other.command, &other.parameters);
    source_known && same_source && same_call && inputs(one) == inputs(other)
}

fn requested_by(facts: &Facts<'_>, require: &Require) -> bool {
    let person = facts.case.requester.as_ref().and_then(|identity| person(facts.root, identity));
    let within =
        |group| person.is_some_and(|person| facts.root.groups.get(group).is_some_and(|g| g.contains(person)));
    require.requested_by.is_empty() || require.requested_by.iter().any(within)
}

fn format(_: &Facts<'_>, require: &Require, judged: &Judged<'_>) -> bool {
    require.format.is_none_or(|least| judged.provenance.format >= least)
}

fn logged(facts: &Facts<'_>, require: &Require, judged: &Judged<'_>) -> bool {
    let Some((wanted, least)) = &require.logged else { return true };
    let Some((log, cosignatures)) = &judged.opened.envelope.logged else { return false };
    let first = judged.opened.envelope.signers.first();
    if !judged.opened.signers.iter().any(|signer| first == Some(&signer.name)) {
        return false;
    }
    let witnesses = cosignatures.iter().map(|(witness, _)| witness);
    let saw: BTreeSet<_> = witnesses.filter(|witness| facts.root.witnesses.contains(*witness)).collect();
    log == wanted && facts.root.logs.contains(log) && saw.len() as u64 >= *least
}
