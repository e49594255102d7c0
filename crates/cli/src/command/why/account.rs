//! One decision, as the log tells it: the index only says where to look.

use attest::merkle::{leaf_hash, root_from_inclusion};
use attest::{Digest, Json, Object};
use chokepoint::Record;
use inventory::Decided;
use tlog::{Blobs, Reader};

use super::asked::{Asked, Log};
use super::decided_json;
use crate::failure::Failure;

/// A decision, and what the log has beside it.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) decided: Decided,
    recorded: Option<Recorded>,
}

/// What only the log can tell.
#[derive(Debug)]
struct Recorded {
    /// The policy that judged, and its digest.
    policy: Option<(String, String)>,
    /// What was wrong: rule, message, wanted, found.
    findings: Vec<[String; 4]>,
    /// The tree in which the record is proven to be.
    size: u64,
    origin: String,
}

impl Account {
    /// Reads the record and its parts, and proves that it is in the tree.
    pub(crate) fn read(asked: &Asked, decided: &Decided) -> Result<Self, Failure> {
        let recorded = asked.log.as_ref().map(|log| Recorded::read(log, decided, asked)).transpose()?;
        Ok(Self { decided: decided.clone(), recorded })
    }

    pub(crate) fn to_text(&self) -> String {
        let decided = &self.decided;
        let digest = decided.digest.as_ref().map_or("no digest".to_owned(), Digest::to_string);
        let mut out = format!("{}\n  {digest}\n", policy::one_line(&decided.artifact));
        let mut line = |label: &str, text: &str| {
            out.push_str(&format!("  {label:<9} {}\n", policy::one_line(text)));
        };
        let verb = if decided.decision == "admit" { "let in" } else { "refused" };
        line(verb, &format!("record {} at {}, {}", decided.index, decided.at, because(decided)));
        line("where", &decided.environment);
        if let Some(workload) = &decided.workload {
            line("workload", workload);
        }
        let who = decided.requester.as_deref().unwrap_or("somebody whom the choke point did not know");
        line("asked by", &format!("{who}, through {}", decided.chokepoint));
        if let Some(grant) = &decided.grant {
            line("grant", grant);
        }
        match &self.recorded {
            None => line("proof", "not looked at: no log was named"),
            Some(recorded) => {
                let policy = recorded.policy.as_ref().map(|(name, digest)| format!("{name} ({digest})"));
                line("policy", policy.as_deref().unwrap_or("none guards this deployment"));
                for [rule, message, wanted, found] in &recorded.findings {
                    line("wrong", &format!("{rule}: {message}; wanted {wanted}, found {found}"));
                }
                let (index, size, origin) = (decided.index, recorded.size, &recorded.origin);
                line("proof", &format!("record {index} is in the tree of {size} that {origin} signed"));
            }
        }
        out
    }

    pub(crate) fn to_json(&self) -> Json {
        let mut object = Object::new().with("decision", decided_json(&self.decided));
        let Some(recorded) = &self.recorded else { return object.with("proven", false).into() };
        let policy = recorded.policy.as_ref().map(|(name, digest)| {
            Json::from(Object::new().with("name", name.as_str()).with("digest", digest.as_str()))
        });
        object.set_some("policy", policy);
        let finding = |[rule, message, wanted, found]: &[String; 4]| {
            let object = Object::new().with("rule", rule.as_str()).with("message", message.as_str());
            Json::from(object.with("wanted", wanted.as_str()).with("found", found.as_str()))
        };
        object.set("findings", Json::Array(recorded.findings.iter().map(finding).collect()));
        object.set("proven", true);
        object.set("tree", i64::try_from(recorded.size).unwrap_or(i64::MAX));
        object.with("origin", recorded.origin.as_str()).into()
    }
}

/// `by policy`, `by dry-run although unmet: signed-by`.
fn because(decided: &Decided) -> String {
    let although = match decided.outcome.as_str() {
        "met" => String::new(),
        outcome if decided.decision == "admit" => format!(" although {outcome}"),
        outcome => format!(", {outcome}"),
    };
    let rules =
        if decided.rules.is_empty() { String::new() } else { format!(": {}", decided.rules.join(", ")) };
    format!("by {}{although}{rules}", decided.basis)
}

impl Recorded {
    fn read(log: &Log, decided: &Decided, asked: &Asked) -> Result<Self, Failure> {
        let index = decided.index;
        let wrong = |found: &str| {
            Failure::new(&format!("record {index} cannot be taken from the log")).line("found", found).line(
                "fix",
                "portcullis log verify says what was changed; keep this copy for the investigation",
            )
        };
        let reader = Reader::new(&log.files, log.checkpoint.size);
        let leaf = reader.entry(index).map_err(|e| wrong(&e.to_string()))?;
        let path = reader.inclusion(index).map_err(|e| wrong(&e.to_string()))?;
        let root = root_from_inclusion(index, log.checkpoint.size, leaf_hash(&leaf), &path);
        if root != Some(log.checkpoint.root) {
            return Err(wrong("its proof does not lead to the signed root"));
        }
        let record = Record::parse(&leaf).map_err(|e| wrong(&e.to_string()))?;
        if !agrees(decided, &record) {
            // whoever can write the folder can write anything into SQLite; the log is what counts
            return Err(Failure::new("the index says another thing than the log")
                .line("wanted", &format!("record {index}: {} for {}", record.decision, record.artifact))
                .line("found", &format!("{} for {}", decided.decision, decided.artifact))
                .line(
                    "fix",
                    &format!(
                        "delete {}, and ask again",
                        asked.inventory.dir().join("index.sqlite").display()
                    ),
                ));
        }
        let decision = Blobs::new(&log.files).get(&record.decided).map_err(|e| wrong(&e.to_string()))?;
        let decision = attest::json::parse(&decision).map_err(|e| wrong(&e.to_string()))?;
        let (policy, findings) = verdict(&decision).map_err(|e| wrong(&e.to_string()))?;
        let (size, origin) = (log.checkpoint.size, log.checkpoint.origin.clone());
        Ok(Self { policy, findings, size, origin })
    }
}

/// Whether the index says of a record what the record says.
fn agrees(decided: &Decided, record: &Record) -> bool {
    (&decided.decision, &decided.basis, &decided.outcome)
        == (&record.decision, &record.basis, &record.outcome)
        && (&decided.environment, &decided.workload) == (&record.environment, &record.workload)
        && (&decided.requester, &decided.grant) == (&record.requester, &record.grant)
        && decided.digest == record.digest
        && record.artifact.starts_with(&decided.artifact)
        && decided.case.as_ref() == Some(&record.case)
}

type Said = (Option<(String, String)>, Vec<[String; 4]>);

fn verdict(decision: &Json) -> Result<Said, attest::json::ShapeError> {
    let verdict = decision.as_object()?.object("verdict")?;
    let policy = match verdict.get("policy") {
        Some(Json::Object(policy)) => {
            Some((policy.string("name")?.to_owned(), policy.string("digest")?.to_owned()))
        }
        _ => None,
    };
    let finding = |item: &Json| {
        let item = item.as_object()?;
        let text = |key: &str| item.string(key).map(str::to_owned);
        Ok([text("rule")?, text("message")?, text("wanted")?, text("found")?])
    };
    Ok((policy, attest::json::each("findings", verdict.array("findings")?, finding)?))
}
