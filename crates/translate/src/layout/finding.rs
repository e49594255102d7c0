//! What came of verifying a layout.

/// One thing that is wrong: the rule, what was wanted, what was found, where, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The good state, in kebab-case.
    pub rule: &'static str,
    /// What is wrong, in one line.
    pub message: String,
    /// What would have been right.
    pub wanted: String,
    /// What stands there.
    pub found: String,
    /// Where: a step and a field of the layout, or a file.
    pub place: String,
    /// How to mend it.
    pub fix: String,
}

impl Finding {
    pub(super) fn new(rule: &'static str, message: &str) -> Self {
        let empty = String::new;
        Self {
            rule,
            message: message.to_owned(),
            wanted: empty(),
            found: empty(),
            place: empty(),
            fix: empty(),
        }
    }

    pub(super) fn wanted(mut self, wanted: &str) -> Self {
        self.wanted = wanted.to_owned();
        self
    }

    pub(super) fn found(mut self, found: &str) -> Self {
        self.found = found.to_owned();
        self
    }

    pub(super) fn at(mut self, place: &str) -> Self {
        self.place = place.to_owned();
        self
    }

    pub(super) fn fix(mut self, fix: &str) -> Self {
        self.fix = fix.to_owned();
        self
    }

    /// The same, seen from outside of a sublayout.
    pub(super) fn within(mut self, step: &str) -> Self {
        self.place = format!("sublayout of step {step}: {}", self.place);
        self
    }
}

/// Something that the layout asks for and that is not verified here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecided {
    /// Where.
    pub place: String,
    /// Why not.
    pub why: String,
}

/// Who did a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedStep {
    /// The step.
    pub name: String,
    /// The ids of the keys whose links counted, each once.
    pub keys: Vec<String>,
}

/// The result of verifying a layout. Nothing stands in it that an unsigned layout says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What was not verified.
    pub undecided: Vec<Undecided>,
    /// Files that did not count, with the reason: anybody can put a file there, so they refuse nothing by themselves.
    pub ignored: Vec<String>,
    /// The steps that enough functionaries signed.
    pub steps: Vec<SignedStep>,
}

impl Report {
    /// Whether everything that the layout asks for was verified and holds.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.findings.is_empty() && self.undecided.is_empty()
    }
}
