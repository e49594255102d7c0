//! Meta-policies: rules about policies, kept outside the book and owned by other people.
//!
//! Chapter 14, "Create Unambiguous Policies": a global rule is a check that every policy meets some criteria, not a
//! second policy.

use attest::LoadError;
use attest::time::Span;
use attest::yaml::{Fields, Node, Problems};

use crate::book::patterns_meet;
use crate::language::read::read_standing;
use crate::policy::{Located, Mode, OnOutage, Policy};
use crate::rules;

/// All guardrails; a book that breaks one is not loaded.
#[derive(Debug, Default)]
pub struct Guardrails(Vec<Guardrail>);

/// One guardrail.
#[derive(Debug)]
pub(crate) struct Guardrail {
    pub(crate) name: String,
    pub(crate) environment: Located,
    pub(crate) require: Vec<Located>,
    pub(crate) approvals: u64,
    pub(crate) must_enforce: bool,
    pub(crate) must_reject_on_outage: bool,
    pub(crate) standing: Option<Span>,
}

impl Guardrails {
    /// None: every well-formed book loads.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Parses a file of guardrails.
    ///
    /// # Errors
    /// All problems, each with its place.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<LoadError>> {
        let node = Node::parse(file, text).map_err(|e| vec![e])?;
        let mut problems = Problems::new();
        let value = read(&node, &mut problems);
        problems.finish(value)
    }

    /// All of them, in the order of the file.
    pub(crate) fn all(&self) -> &[Guardrail] {
        &self.0
    }

    /// What a policy breaks.
    pub(crate) fn check(&self, policy: &Policy) -> Vec<LoadError> {
        let environment = &policy.environment().text;
        // a policy for `*/shop` may be the one for `prod/shop`: whatever could meet is checked
        let applies = |g: &&Guardrail| patterns_meet(&g.environment.text, environment);
        self.0.iter().filter(applies).flat_map(|g| g.check(policy)).collect()
    }
}

impl Guardrail {
    fn check(&self, policy: &Policy) -> Vec<LoadError> {
        let error = |message: &str, wanted: &str| {
            LoadError::new(policy.place(), &format!("breaks the guardrail `{}`: {message}", self.name))
                .wanted(wanted)
                .found(&format!("the guardrail is at {}", self.environment.place))
        };
        let mut errors = Vec::new();
        for rule in &self.require {
            if !policy.asks_for(&rule.text) {
                let key = rules::by_name(&rule.text).map_or("", |r| r.key);
                errors.push(
                    error(&format!("does not require {}", rule.text), &format!("the rule {}", rule.text))
                        .fix(&format!("add `{key}` under `require`; see portcullis explain {}", rule.text)),
                );
            }
        }
        let approvals = policy.require().iter().filter_map(|r| r.check.approvals()).max().unwrap_or(0);
        if approvals < self.approvals {
            errors.push(
                error("asks for too few approvals", &format!("at least {} approvals", self.approvals))
                    .fix(&format!("write `reviewed: {{ approvals: {} }}` under `source`", self.approvals)),
            );
        }
        if self.must_enforce && policy.mode() == Mode::DryRun {
            errors.push(error("is in dry run", "mode: enforce").fix("write `mode: enforce`"));
        }
        if self.must_reject_on_outage && policy.on_outage() == OnOutage::Admit {
            errors.push(error("admits on outage", "on-outage: reject").fix("write `on-outage: reject`"));
        }
        let stands = policy.standing().unwrap_or(Span::seconds(0));
        if let Some(most) = self.standing.filter(|most| stands > *most) {
            let text = if most > Span::seconds(0) { most.to_string() } else { "0d".to_owned() };
            errors.push(
                error("lets things stand too long", &format!("standing: {text}, or shorter"))
                    .fix(&format!("write `standing: {text}`")),
            );
        }
        errors
    }
}

fn read(node: &Node, problems: &mut Problems) -> Option<Guardrails> {
    let fields = Fields::read(node, "a guardrail file", &["guardrails"], problems)?;
    let list = fields.required("guardrails", problems)?;
    let items = problems.keep(list.list())?;
    Some(Guardrails(items.iter().filter_map(|item| read_one(item, problems)).collect()))
}

fn read_one(node: &Node, problems: &mut Problems) -> Option<Guardrail> {
    let known = ["name", "environment", "require", "approvals", "mode", "on-outage", "standing"];
    let fields = Fields::read(node, "a guardrail", &known, problems)?;
    let name = fields.required("name", problems)?;
    let environment = fields.required("environment", problems)?;
    let mut require = Vec::new();
    for (text, place) in
        fields.optional("require").and_then(|n| problems.keep(n.strings())).unwrap_or_default()
    {
        if rules::by_name(&text).is_none_or(|r| r.read.is_none()) {
            let known: Vec<&str> = rules::ALL.iter().filter(|r| r.read.is_some()).map(|r| r.name).collect();
            let error = LoadError::new(&place, &format!("there is no rule `{text}`"));
            problems.push(match attest::yaml::suggest(&text, &known) {
                Some(near) => error.fix(&format!("write `{near}`")),
                None => error.wanted(&format!("one of {}", known.join(", "))),
            });
        }
        require.push(Located { text, place });
    }
    let approvals = fields.optional("approvals").and_then(|n| problems.keep(n.number(1, 10))).unwrap_or(0);
    let standing = fields.optional("standing").and_then(|n| problems.keep(read_standing(n)));
    let mut only = |key: &str, value: &str| match fields.optional(key) {
        None => false,
        Some(node) => {
            let text = problems.keep(node.string()).unwrap_or_default();
            if text != value {
                problems.push(node.mismatch(&format!("`{value}`, or nothing")));
            }
            true
        }
    };
    let (must_enforce, must_reject_on_outage) = (only("mode", "enforce"), only("on-outage", "reject"));
    Some(Guardrail {
        name: problems.keep(name.string())?.to_owned(),
        environment: Located {
            text: problems.keep(environment.string())?.to_owned(),
            place: environment.place.clone(),
        },
        require,
        approvals,
        must_enforce,
        must_reject_on_outage,
        standing,
    })
}
