//! A policy file, read with the place of everything.

use attest::time::{Span, parse_time};
use attest::yaml::{Fields, LoadError, Node, Problems, suggest};
use attest::{Digest, Place};

use crate::policy::{Breakglass, Located, Mode, OnOutage, Policy, Upcoming};
use crate::rule::{NameKind, NameUse, Requirement};
use crate::rules::{self, built_within::read_span, parameters};

const KEYS: [&str; 8] =
    ["environment", "artifact", "mode", "require", "upcoming", "on-outage", "standing", "breakglass"];
/// How long what was admitted may be made again where a policy does not say: a week has a working day in it.
const STANDING: Span = Span::seconds(7 * 86_400);

impl Policy {
    /// Parses one policy.
    ///
    /// # Errors
    /// All problems, each with its place and how to mend it.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<LoadError>> {
        let node = Node::parse(file, text).map_err(|e| vec![e])?;
        let mut problems = Problems::new();
        let policy = read(&node, text, &mut problems);
        problems.finish(policy)
    }
}

/// What a file is instead, where its keys say so: better than telling somebody to empty their trust root.
fn other_kind(node: &Node) -> Option<LoadError> {
    let keys: Vec<&str> = node.entries().ok()?.map(|(key, ..)| key).collect();
    let has = |key: &str| keys.contains(&key);
    let kind = match () {
        () if has("require") || has("environment") => return None,
        () if has("guardrails") => "guardrails",
        () if has("tests") && has("book") => "policy tests",
        () if has("targets") => "a build definition",
        () if has("version") || has("builders") || has("signers") => "a trust root",
        () => return None,
    };
    Some(
        LoadError::new(&node.place, &format!("this is {kind}, and no policy"))
            .wanted("a folder that holds policies alone")
            .fix("name the folder with the policies, or move this file out of it"),
    )
}

fn read(node: &Node, text: &str, problems: &mut Problems) -> Option<Policy> {
    if let Some(error) = other_kind(node) {
        problems.push(error);
        return None;
    }
    let fields = Fields::read(node, "a policy", &KEYS, problems)?;
    let environment = fields.required("environment", problems).and_then(|n| read_environment(n, problems));
    let artifacts = fields.required("artifact", problems).and_then(|n| read_artifacts(n, problems));
    let mode = match fields.optional("mode") {
        None => Some(Mode::Enforce),
        Some(node) => one_of(node, &[("enforce", Mode::Enforce), ("dry-run", Mode::DryRun)], problems),
    };
    let on_outage = match fields.optional("on-outage") {
        None => Some(OnOutage::Reject),
        Some(node) => one_of(node, &[("reject", OnOutage::Reject), ("admit", OnOutage::Admit)], problems),
    };
    let standing = match fields.optional("standing") {
        None => Some(STANDING),
        Some(node) => problems.keep(read_standing(node)),
    };
    let breakglass = fields.optional("breakglass").and_then(|n| read_breakglass(n, problems));
    let require = fields.required("require", problems).and_then(|n| read_whole_require(n, problems));
    let upcoming = fields.optional("upcoming").map(|n| read_upcoming(n, problems)).unwrap_or_default();
    if let Some(require) = &require {
        let has_builder = require.iter().any(|r| r.rule.name == "built-by");
        upcoming.iter().for_each(|u| check_provenance(&u.require, has_builder, problems));
    }
    Some(Policy {
        name: node.place.file.to_string(),
        digest: Digest::sha256(text.as_bytes()),
        place: node.place.clone(),
        environment: environment?,
        artifacts: artifacts?,
        mode: mode?,
        on_outage: on_outage?,
        standing: standing?,
        breakglass,
        require: require?,
        upcoming,
    })
}

/// A span of time, or `0d`, which is none.
pub(crate) fn read_standing(node: &Node) -> Result<Span, LoadError> {
    if node.string()? == "0d" {
        return Ok(Span::seconds(0));
    }
    read_span(node).map_err(|error| error.fix("write how long, as in 7d, or 0d to switch it off"))
}

/// One of a few words.
fn one_of<T: Copy>(node: &Node, words: &[(&str, T)], problems: &mut Problems) -> Option<T> {
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let text = problems.keep(node.string())?;
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Some(*value);
    }
    let error = node.mismatch(&known.join(" or "));
    problems.push(match suggest(text, &known) {
        Some(near) => error.fix(&format!("write `{near}`")),
        None => error.fix(&format!("write {}", known.join(" or "))),
    });
    None
}

fn read_environment(node: &Node, problems: &mut Problems) -> Option<Located> {
    let text = problems.keep(node.string())?;
    check_pattern(text, node, "an environment, as in prod/shop", problems)
}

/// A pattern: segments between slashes, none empty, `*` only as a whole segment.
fn check_pattern(text: &str, node: &Node, wanted: &str, problems: &mut Problems) -> Option<Located> {
    let bad = |segment: &str| segment.is_empty() || (segment.contains('*') && segment != "*");
    // the two slashes of a URI's scheme are no empty segment
    let path = text.split_once("://").map_or(text, |(_, rest)| rest);
    if path.split('/').any(bad) || text.contains(char::is_whitespace) {
        let error = node.mismatch(wanted);
        problems
            .push(error.fix("`*` stands for exactly one whole segment; leave out empty segments and blanks"));
        return None;
    }
    Some(Located { text: text.to_owned(), place: node.place.clone() })
}

fn read_artifacts(node: &Node, problems: &mut Problems) -> Option<Vec<Located>> {
    let items = match &node.value {
        attest::yaml::Value::List(items) if !items.is_empty() => items.iter().collect(),
        attest::yaml::Value::List(_) => {
            problems.push(node.mismatch("at least one repository or package URI"));
            return None;
        }
        _ => vec![node],
    };
    let mut artifacts = Vec::new();
    for item in items {
        let text = problems.keep(item.string())?;
        if text == "*" {
            problems.push(
                item.mismatch("a repository or package URI")
                    .fix("name what may be here; `*` alone would be anything"),
            );
            return None;
        }
        if text.contains("@sha256:") {
            let error = item.mismatch("a name without a digest");
            problems.push(
                error.fix("leave the digest out: a policy names what may be here, evidence says which"),
            );
            return None;
        }
        artifacts.push(check_pattern(text, item, "a repository or package URI", problems)?);
    }
    Some(artifacts)
}

/// The main `require`: somebody must vouch, and parameters that nobody lists are refused.
fn read_whole_require(node: &Node, problems: &mut Problems) -> Option<Vec<Requirement>> {
    let mut require = read_require(node, problems)?;
    let asks = |name: &str| require.iter().any(|r| r.rule.name == name);
    // a malformed `built-by` has its own problem already
    let stands = |name: &str| node.entries().is_ok_and(|mut entries| entries.any(|(key, ..)| key == name));
    if !stands("built-by") && !stands("signed-by") && !stands("verified-by") {
        problems.push(
            LoadError::new(&node.place, "the policy asks nobody to vouch for the artifact")
                .wanted("`built-by`, `signed-by` or `verified-by` under `require`")
                .fix("add a line `built-by: [NAME]` with a builder of the trust root"),
        );
        return None;
    }
    check_provenance(&require, stands("built-by"), problems);
    if asks("built-by") && !asks("parameters") {
        let rule = rules::by_name("parameters")?;
        let check = parameters::none_allowed(&node.place);
        require.push(Requirement { rule, place: node.place.clone(), check });
    }
    Some(require)
}

/// A rule that reads provenance needs somebody whose provenance is believed.
fn check_provenance(require: &[Requirement], has_builder: bool, problems: &mut Problems) {
    for requirement in require.iter().filter(|r| r.rule.reads_provenance && !has_builder) {
        let key = requirement.rule.key;
        problems.push(
            LoadError::new(
                &requirement.place,
                &format!("`{key}` reads provenance, and nothing says whose to believe"),
            )
            .wanted("`built-by` under `require`")
            .fix("add a line `built-by: [NAME]` with a builder of the trust root"),
        );
    }
}

fn read_require(node: &Node, problems: &mut Problems) -> Option<Vec<Requirement>> {
    let mut require = Vec::new();
    for (key, key_node, value) in problems.keep(node.entries())? {
        if key == "source" {
            for (inner, inner_node, value) in problems.keep(value.entries())? {
                read_rule(&format!("source.{inner}"), &inner_node.place, value, &mut require, problems);
            }
        } else {
            read_rule(key, &key_node.place, value, &mut require, problems);
        }
    }
    Some(require)
}

fn read_rule(key: &str, at: &Place, value: &Node, require: &mut Vec<Requirement>, problems: &mut Problems) {
    let Some((rule, read)) = rules::by_key(key).and_then(|rule| Some((rule, rule.read?))) else {
        problems.push(unknown_rule(key, at));
        return;
    };
    if let Some(check) = read(value, problems) {
        require.push(Requirement { rule, place: value.place.clone(), check });
    }
}

fn unknown_rule(key: &str, at: &Place) -> LoadError {
    let (group, name) = key.split_once('.').map_or(("", key), |(_, name)| ("source.", name));
    let known: Vec<&str> = rules::all()
        .filter(|r| r.read.is_some() && r.key.starts_with("source.") != group.is_empty())
        .map(|r| r.key.strip_prefix("source.").unwrap_or(r.key))
        .chain(group.is_empty().then_some("source"))
        .collect();
    let place = if group.is_empty() { "under `require`" } else { "under `source`" };
    let error = LoadError::new(at, &format!("unknown rule `{name}` {place}"))
        .wanted(&format!("one of {}", known.join(", ")))
        .found(name);
    if let Some(near) = suggest(name, &known) {
        return error.fix(&format!("write `{near}`"));
    }
    match rules::by_key(&format!("source.{name}")).filter(|_| group.is_empty()) {
        Some(_) => error.fix(&format!("write it under `source`: source: {{ {name}: … }}")),
        None => error.fix("remove it; nothing reads it"),
    }
}

fn read_upcoming(node: &Node, problems: &mut Problems) -> Vec<Upcoming> {
    let Some(items) = problems.keep(node.list()) else { return Vec::new() };
    items.iter().filter_map(|item| read_one_upcoming(item, problems)).collect()
}

fn read_one_upcoming(node: &Node, problems: &mut Problems) -> Option<Upcoming> {
    let fields = Fields::read(node, "an entry of `upcoming`", &["from", "require"], problems)?;
    let from = fields.required("from", problems);
    let require = fields.required("require", problems).and_then(|n| read_require(n, problems));
    let from = from?;
    let text = problems.keep(from.string())?;
    let time = if text.len() == 10 { parse_time(&format!("{text}T00:00:00Z")) } else { None };
    let wanted = from.mismatch("a date, as in 2027-01-15").fix("write year, month and day: 2027-01-15");
    Some(Upcoming { from: problems.keep(time.ok_or(wanted))?, require: require? })
}

fn read_breakglass(node: &Node, problems: &mut Problems) -> Option<Breakglass> {
    let fields = Fields::read(node, "`breakglass`", &["group", "expires", "reviewed-within"], problems)?;
    let group = fields.required("group", problems);
    let expires = fields.required("expires", problems);
    let reviewed = fields.required("reviewed-within", problems);
    let group = group?;
    let name = problems.keep(group.string())?.to_owned();
    Some(Breakglass {
        group: NameUse { name, kind: NameKind::Group, place: group.place.clone() },
        expires: problems.keep(read_span(expires?))?,
        reviewed_within: problems.keep(read_span(reviewed?))?,
    })
}
