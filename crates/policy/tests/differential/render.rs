//! A model as a real trust root, a real book, and signed claims.

use attest::claims::{
    IMPORT, Import, RELEASE, REVIEW, Release, Review, Reviewed, Scan, Severity, TEST_RESULT, TestOutcome,
    TestResult, VSA, VULNS, Vulnerability,
};
use attest::note::NoteKey;
use attest::parts::CYCLONEDX;
use attest::provenance::{self as real, BUILD_TYPE, SLSA_V1};
use attest::{Algorithm, Digest, DigestSet, Json, Object, Signer as _, TrustRoot};
use jiff::Timestamp;
use policy::scenario::{Claim, Logged, Said, Scenario, Subject, test_key};
use policy::{Book, Guardrails, SourceFile};

use super::model::*;

fn time(seconds: Time) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// The commit that a text stands for.
fn commit(text: &str) -> Digest {
    let hex: String = Digest::sha256(text.as_bytes()).hex().chars().take(40).collect();
    Digest::from_hex(Algorithm::GitCommit, &hex).unwrap()
}

fn digest(text: &str) -> Digest {
    Digest::sha256(text.as_bytes())
}

pub fn render(model: &Model) -> (Book, TrustRoot, Scenario) {
    let text = trust_root(&model.root);
    let root = TrustRoot::parse("trust-root.yaml", &text).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    let files = model
        .policies
        .iter()
        .enumerate()
        .map(|(index, policy)| SourceFile { name: format!("book/{index}.yaml"), text: policy_text(policy) });
    let files: Vec<SourceFile> = files.collect();
    let book = Book::load(files.clone(), &Guardrails::none()).unwrap_or_else(|e| panic!("{e:?}\n{files:?}"));
    let scenario = Scenario {
        name: String::new(),
        at: time(model.case.at),
        environment: model.case.environment.clone(),
        artifact: model.case.artifact.clone(),
        requester: model.case.requester.clone(),
        claims: model.case.envelopes.iter().map(claim).collect(),
        expect: Vec::new(),
        warn: Vec::new(),
    };
    (book, root, scenario)
}

fn list(items: &[String]) -> String {
    Json::from(items.to_vec()).to_string()
}

fn trust_root(root: &Root) -> String {
    let mut text = "version: 1\n".to_owned();
    let sections = [
        (Role::Builder, "builders"),
        (Role::ReviewAuthority, "review-authorities"),
        (Role::Tester, "testers"),
        (Role::Scanner, "scanners"),
        (Role::Rebuilder, "rebuilders"),
        (Role::Verifier, "verifiers"),
        (Role::Signer, "signers"),
    ];
    let is_person = |p: &Principal| root.people.values().any(|name| *name == p.name);
    for (role, section) in sections {
        let mut inner = String::new();
        for p in root.principals.iter().filter(|p| p.roles.contains(&role) && !is_person(p)) {
            inner.push_str(&format!("  {}:\n{}", p.name, keys(p)));
            if role == Role::Builder {
                inner.push_str(&format!("    ids: {}\n", list(&p.ids)));
                for (key, items) in [("hermetic", &p.hermetic), ("environments", &p.environments)] {
                    if !items.is_empty() {
                        inner.push_str(&format!("    {key}: {}\n", list(items)));
                    }
                }
                let recalls: Vec<String> = p
                    .recalled_versions
                    .iter()
                    .map(|v| format!("{{ version: \"={v}\", reason: r }}"))
                    .collect();
                if !recalls.is_empty() {
                    inner.push_str(&format!("    recalled: [{}]\n", recalls.join(", ")));
                }
            }
            if role == Role::Verifier {
                inner.push_str(&format!("    ids: {}\n", list(&p.ids)));
            }
            if role == Role::Rebuilder {
                inner.push_str(&format!("    operator: {}\n", p.operator.as_deref().unwrap()));
            }
        }
        if !inner.is_empty() {
            text.push_str(&format!("{section}:\n{inner}"));
        }
    }
    let releasers: String = root
        .principals
        .iter()
        .filter(|p| p.roles.contains(&Role::Releaser) && !is_person(p))
        .map(|p| format!("  {}:\n{}", p.name, keys(p)))
        .collect();
    text.push_str(&format!("releasers:\n{releasers}people:\n"));
    for p in root.principals.iter().filter(|p| is_person(p)) {
        let identities: Vec<String> =
            root.people.iter().filter(|(_, n)| **n == p.name).map(|(i, _)| i.clone()).collect();
        let mut roles = Vec::new();
        if p.roles.contains(&Role::Reviewer) {
            roles.push("reviewer".to_owned());
        }
        if p.roles.contains(&Role::Releaser) {
            roles.push("releaser".to_owned());
        }
        text.push_str(&format!("  {}:\n    identities: {}\n", p.name, list(&identities)));
        if !roles.is_empty() {
            text.push_str(&format!("    roles: {}\n", list(&roles)));
        }
        text.push_str(&keys(p));
    }
    text.push_str("groups:\n");
    for (name, members) in &root.groups {
        text.push_str(&format!("  {name}: {}\n", list(&members.iter().cloned().collect::<Vec<_>>())));
    }
    for (section, names) in [("logs", &root.logs), ("witnesses", &root.witnesses)] {
        text.push_str(&format!("{section}:\n"));
        for name in names {
            let key = NoteKey { name: format!("{name}.example"), key: test_key(name).public().clone() };
            text.push_str(&format!("  {name}: {{ key: \"{}\" }}\n", key.to_vkey()));
        }
    }
    text
}

fn keys(p: &Principal) -> String {
    let pem = test_key(&p.name).public().to_pem();
    let pem: String = pem.lines().map(|l| format!("          {l}\n")).collect();
    let mut text = format!("    keys:\n      - key: |\n{pem}");
    for (key, value) in [("from", p.from), ("until", p.until)] {
        if let Some(value) = value {
            text.push_str(&format!("        {key}: {}\n", time(value)));
        }
    }
    if let Some(value) = p.revoked {
        text.push_str(&format!("        revoked: {{ from: {}, reason: r }}\n", time(value)));
    }
    text
}

fn policy_text(policy: &Policy) -> String {
    let mut text = format!(
        "environment: \"{}\"\nartifact: \"{}\"\nrequire:\n{}",
        policy.environment,
        policy.artifact,
        require(&policy.require, 2)
    );
    if !policy.upcoming.is_empty() {
        text.push_str("upcoming:\n");
        for (from, later) in &policy.upcoming {
            let day: String = time(*from).to_string().chars().take(10).collect();
            let inner = require(later, 6);
            let inner = if inner.is_empty() { " {}\n".to_owned() } else { format!("\n{inner}") };
            text.push_str(&format!("  - from: {day}\n    require:{inner}"));
        }
    }
    text
}

fn require(q: &Require, indent: usize) -> String {
    let mut lines = Vec::new();
    let names = |by: &[String]| if by.is_empty() { String::new() } else { format!(", by: {}", list(by)) };
    for (key, items) in
        [("signed-by", &q.signed_by), ("built-by", &q.built_by), ("requested-by", &q.requested_by)]
    {
        match q.quorum {
            _ if items.is_empty() => {}
            Some(count) if key == "signed-by" => {
                lines.push(format!("{key}: {{ at-least: {count}, of: {} }}", list(items)));
            }
            _ => lines.push(format!("{key}: {}", list(items))),
        }
    }
    let mut source = Vec::new();
    source.extend(q.repository.as_ref().map(|r| format!("repository: \"{r}\"")));
    source.extend(q.branch.as_ref().map(|b| format!("branch: \"{b}\"")));
    source.extend(q.tag.as_ref().map(|t| format!("tag: \"{t}\"")));
    source.extend(q.source_level.map(|level| match q.source_properties.as_slice() {
        [] => format!("level: {level}"),
        words => format!("level: {{ at-least: {level}, properties: {} }}", list(words)),
    }));
    source.extend(q.reviewed.as_ref().map(|(n, by)| format!("reviewed: {{ approvals: {n}{} }}", names(by))));
    if !source.is_empty() {
        lines.push(format!("source: {{ {} }}", source.join(", ")));
    }
    lines.extend(q.target.as_ref().map(|t| format!("target: \"{t}\"")));
    lines.extend(q.workflow.as_ref().map(|(file, asks_trigger)| {
        let file = file.as_ref().map(|file| format!("file: \"{file}\""));
        let trigger = asks_trigger.then(|| "trigger: [push]".to_owned());
        let parts: Vec<String> = file.into_iter().chain(trigger).collect();
        format!("workflow: {{ {} }}", parts.join(", "))
    }));
    lines.extend(q.parameters.as_ref().map(|p| {
        let pairs: Vec<String> = p.iter().map(|(k, v)| format!("{k}: \"{v}\"")).collect();
        format!("parameters: {{ {} }}", pairs.join(", "))
    }));
    lines.extend(q.command.as_ref().map(|c| format!("command: {}", list(c))));
    if q.hermetic {
        lines.push("hermetic: true".to_owned());
    }
    if !q.tools.is_empty() {
        let tools: Vec<String> =
            q.tools.iter().map(|(u, d)| format!("{{ uri: \"{u}\", digest: \"{}\" }}", digest(d))).collect();
        lines.push(format!("tools: [{}]", tools.join(", ")));
    }
    lines.extend(q.dependencies.as_ref().map(dependencies));
    lines.extend(
        q.tests.as_ref().map(|(tests, by)| format!("tests: {{ names: {}{} }}", list(tests), names(by))),
    );
    lines.extend(
        q.released_for.as_ref().map(|(e, by)| format!("released-for: {{ environment: {e}{} }}", names(by))),
    );
    lines.extend(q.built_within.map(|s| format!("built-within: {}d", s / 86_400)));
    lines.extend(q.version.map(|(a, b, c)| format!("version: \">={a}.{b}.{c}\"")));
    lines.extend(q.package.as_ref().map(|(name, version)| {
        let version = version.map(|(a, b, c)| format!("@{a}.{b}.{c}")).unwrap_or_default();
        format!("package: \"{name}{version}\"")
    }));
    lines.extend(q.scanned.as_ref().map(|(within, worst, by, database)| {
        let worst = Severity::ALL[usize::from(*worst)].name();
        let database = database.map(|d| format!(", database-within: {}d", d / 86_400)).unwrap_or_default();
        format!("scanned: {{ within: {}d, worst: {worst}{database}{} }}", within / 86_400, names(by))
    }));
    lines.extend(q.rebuilt.as_ref().map(|(n, by)| format!("rebuilt: {{ at-least: {n}{} }}", names(by))));
    lines.extend(q.format.map(|(a, b)| format!("format: \">={a}.{b}.0\"")));
    lines.extend(q.verified_by.as_ref().map(verified_by));
    lines.extend(q.logged.as_ref().map(|(log, n)| format!("logged: {{ log: {log}, witnesses: {n} }}")));
    lines.iter().map(|l| format!("{}{l}\n", " ".repeat(indent))).collect()
}

fn dependencies(asked: &Dependencies) -> String {
    let mut parts = Vec::new();
    if !asked.denied.is_empty() {
        parts.push(format!("denied: {}", list(&asked.denied)));
    }
    if asked.pinned {
        parts.push("pinned: true".to_owned());
    }
    if let Some(Licences { listed, are_allowed, by }) = &asked.licences {
        let key = if *are_allowed { "allowed" } else { "denied" };
        let by = if by.is_empty() { String::new() } else { format!(", by: {}", list(by)) };
        parts.push(format!("licences: {{ {key}: {}{by} }}", list(listed)));
    }
    if !asked.reviewed.is_empty() {
        parts.push(format!("reviewed: {{ by: {} }}", list(&asked.reviewed)));
    }
    format!("dependencies: {{ {} }}", parts.join(", "))
}

fn verified_by(asked: &VerifiedBy) -> String {
    let mut parts =
        vec![format!("verifiers: {}", list(&asked.verifiers)), format!("within: {}d", asked.within / 86_400)];
    match &asked.about {
        Asked::TheArtifact => {}
        Asked::Environment(environment) => parts.push(format!("environment: {environment}")),
        Asked::Resource(resource) => parts.push(format!("resource: \"{resource}\"")),
    }
    let uri = asked.policy.as_ref().map(|uri| format!("uri: \"{uri}\""));
    let of = asked.digest.as_ref().map(|text| format!("digest: \"{}\"", digest(text)));
    let policy: Vec<String> = uri.into_iter().chain(of).collect();
    if !policy.is_empty() {
        parts.push(format!("policy: {{ {} }}", policy.join(", ")));
    }
    if !asked.levels.is_empty() {
        parts.push(format!("levels: {}", list(&asked.levels)));
    }
    format!("verified-by: {{ {} }}", parts.join(", "))
}

fn summary(summary: &Summary) -> Object {
    let mut policy = Object::new().with("uri", summary.policy.as_str());
    policy.set_some("digest", summary.digest.as_ref().map(|text| DigestSet::from(digest(text)).to_json()));
    let mut object = Object::new()
        .with("verifier", Object::new().with("id", summary.verifier.as_str()))
        .with("resourceUri", summary.resource.as_str())
        .with("policy", policy)
        .with("verificationResult", if summary.passed { "PASSED" } else { "FAILED" })
        .with("verifiedLevels", summary.levels.clone());
    object.set_some("timeVerified", summary.verified.map(|t| time(t).to_string()));
    object.set_some("portcullis_environment", summary.environment.as_deref());
    object.set_some("portcullis_expires", summary.expires.map(|t| time(t).to_string()));
    object
}

/// A CycloneDX document, in which the artifact itself has no licence and no digest.
fn parts(parts: &[Part]) -> Object {
    let part = |part: &Part| {
        let licences =
            part.licences.iter().map(|text| Object::new().with("expression", text.as_str()).into());
        let hash = |text: &String| Object::new().with("alg", "SHA-256").with("content", digest(text).hex());
        let hashes = part.digest.iter().map(|text| hash(text).into());
        Object::new()
            .with("name", part.name.as_str())
            .with("hashes", Json::Array(hashes.collect()))
            .with("licenses", Json::Array(licences.collect()))
            .into()
    };
    Object::new()
        .with("bomFormat", "CycloneDX")
        .with("specVersion", "1.6")
        .with("metadata", Object::new().with("component", Object::new().with("name", "shop")))
        .with("components", Json::Array(parts.iter().map(part).collect()))
}

fn import(about: &About, criteria: &[String]) -> Object {
    let About::Package(text) = about else { panic!("a review of imports is about a package: {about:?}") };
    let package = Reviewed {
        purl: "pkg:generic/reviewed@1.0.0".to_owned(),
        from: None,
        digests: DigestSet::from(digest(text)),
        previous: None,
        reviewers: Vec::new(),
        criteria: criteria.to_vec(),
    };
    Import { packages: vec![package], reviewed: time(0) }.to_json()
}

fn claim(envelope: &Envelope) -> Claim {
    let (predicate_type, predicate) = match &envelope.says {
        Says::Provenance(p) => (SLSA_V1, provenance(p).to_slsa_v1()),
        Says::Test(names, result) => {
            let result = [TestOutcome::Pass, TestOutcome::Warn, TestOutcome::Fail][usize::from(*result)];
            (TEST_RESULT, TestResult { names: names.clone(), result, failed: Vec::new(), of: None }.to_json())
        }
        Says::Scan(finished, database, found) => {
            let vulnerability =
                |s: &u8| Vulnerability { id: "CVE".to_owned(), severity: Severity::ALL[usize::from(*s)] };
            let scan = Scan {
                scanner: "s".to_owned(),
                version: None,
                finished: time(*finished),
                database_updated: database.map(time),
                vulnerabilities: found.iter().map(vulnerability).collect(),
            };
            (VULNS, scan.to_json())
        }
        Says::Release(version, environments) => {
            let version = version.map(|(a, b, c)| format!("@{a}.{b}.{c}")).unwrap_or_default();
            (
                RELEASE,
                Release { purl: format!("pkg:generic/shop{version}"), environments: environments.clone() }
                    .to_json(),
            )
        }
        Says::Review { repository, base, authors, reviewers } => {
            let review = Review {
                repository: repository.clone(),
                base: base.as_deref().map(|b| commit(b).hex()),
                authors: authors.clone(),
                reviewers: reviewers.clone(),
                reviewed: time(0),
            };
            (REVIEW, review.to_json())
        }
        Says::Summary(said) => (VSA, summary(said)),
        Says::Parts(all) => (CYCLONEDX, parts(all)),
        Says::Import(criteria) => (IMPORT, import(&envelope.about, criteria)),
        Says::Nothing => ("https://portcullis.dev/signature/v1", Object::new()),
    };
    Claim {
        refs: match &envelope.says {
            Says::Summary(said) => said.refs.clone(),
            _ => Vec::new(),
        },
        signed_by: envelope.signers.clone(),
        about: match &envelope.about {
            About::TheArtifact => Subject::Artifact,
            About::AnotherArtifact => Subject::Other,
            About::Commit(text) => Subject::Commit(commit(text)),
            About::Package(text) => Subject::Package(DigestSet::from(digest(text))),
        },
        said: Said { predicate_type: predicate_type.to_owned(), predicate },
        logged: envelope.logged.as_ref().map(|(log, seen)| Logged {
            log: log.clone(),
            seen: seen.iter().map(|(w, t)| (w.clone(), time(*t))).collect(),
        }),
    }
}

fn provenance(p: &Provenance) -> real::Provenance {
    let source = p.repository.as_ref().map(|repository| real::Source {
        repository: repository.clone(),
        reference: p.reference.clone(),
        digests: p.commit.as_deref().map(|c| DigestSet::from(commit(c))).unwrap_or_default(),
        committed: None,
        history: p
            .history
            .iter()
            .map(|c| real::Commit {
                id: commit(&c.id).hex(),
                parents: c.parents.iter().map(|p| commit(p).hex()).collect(),
                people: c.people.clone(),
            })
            .collect(),
        tagged_branch: None,
        kept_until: None,
    });
    real::Provenance {
        format: "1.0".to_owned(),
        build_type: BUILD_TYPE.to_owned(),
        builder_id: p.builder_id.clone(),
        builder_version: p.builder_version.clone(),
        source,
        target: p.target.clone(),
        parameters: p.parameters.iter().map(|(k, v)| (k.clone(), Json::from(v.as_str()))).collect(),
        dependencies: p
            .dependencies
            .iter()
            .map(|(uri, d, is_tool)| real::Dependency {
                uri: uri.clone(),
                digests: d.as_deref().map(|d| DigestSet::from(digest(d))).unwrap_or_default(),
                is_tool: *is_tool,
                ..real::Dependency::default()
            })
            .collect(),
        command: p.command.clone(),
        environment: std::collections::BTreeMap::new(),
        hermetic: p.hermetic,
        invocation: None,
        started: None,
        finished: p.finished.map(time),
        ..real::Provenance::default()
    }
}
