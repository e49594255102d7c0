//! What can be alarmed: a closed list.

/// What kind of thing a person must look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlarmKind {
    /// A breakglass grant let something in.
    BreakglassUsed,
    /// Nobody else looked at it in time.
    BreakglassUnreviewed,
    /// More grants were used than the budget has.
    BreakglassBudget,
    /// Something was let in while the choke point could not be reached.
    BreakglassAway,
    /// It runs, and nobody decided about it.
    Undecided,
    /// What runs is vouched for by a key that was revoked, or by a recalled builder.
    RevokedLive,
    /// What runs would not be let in today.
    NoLongerMet,
    /// What runs has a known vulnerability.
    Advisory,
    /// What a dry run let in waits for too long to be looked at.
    DryRunAdmitted,
    /// Something was let in while nothing could be decided, or waits for too long to be verified.
    FailedOpen,
    /// The log is not what it should be: its spool took over, or fills.
    LogDegraded,
    /// Entries of a writer are missing.
    WriterGap,
    /// A writer does not say that it lives.
    WriterSilent,
    /// A witness does not sign: the log was rolled back, or forked.
    WitnessRefuses,
    /// A recorded case, decided again, gives something else.
    ReplayDiffers,
    /// A book, a trust root, guardrails or a configuration was not taken.
    FilesRefused,
    /// What runs was not verified again in time.
    VerifierStale,
    /// What was admitted is not summarised.
    SummaryFailed,
    /// So many of one kind are open that no more are raised.
    TooMany,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Today.
    Warning,
    /// Now.
    Critical,
}

impl Severity {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Warning, Self::Critical];

    /// The word in JSON and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// Parses the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.name() == word)
    }
}

impl AlarmKind {
    /// All kinds.
    pub const ALL: [Self; 19] = [
        Self::BreakglassUsed,
        Self::BreakglassUnreviewed,
        Self::BreakglassBudget,
        Self::BreakglassAway,
        Self::Undecided,
        Self::RevokedLive,
        Self::NoLongerMet,
        Self::Advisory,
        Self::DryRunAdmitted,
        Self::FailedOpen,
        Self::LogDegraded,
        Self::WriterGap,
        Self::WriterSilent,
        Self::WitnessRefuses,
        Self::ReplayDiffers,
        Self::FilesRefused,
        Self::VerifierStale,
        Self::SummaryFailed,
        Self::TooMany,
    ];

    /// The word in JSON, metrics and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BreakglassUsed => "breakglass-used",
            Self::BreakglassUnreviewed => "breakglass-unreviewed",
            Self::BreakglassBudget => "breakglass-budget",
            Self::BreakglassAway => "breakglass-away",
            Self::Undecided => "undecided",
            Self::RevokedLive => "revoked-live",
            Self::NoLongerMet => "no-longer-met",
            Self::Advisory => "advisory",
            Self::DryRunAdmitted => "dry-run-admitted",
            Self::FailedOpen => "failed-open",
            Self::LogDegraded => "log-degraded",
            Self::WriterGap => "writer-gap",
            Self::WriterSilent => "writer-silent",
            Self::WitnessRefuses => "witness-refuses",
            Self::ReplayDiffers => "replay-differs",
            Self::FilesRefused => "files-refused",
            Self::VerifierStale => "verifier-stale",
            Self::SummaryFailed => "summary-failed",
            Self::TooMany => "too-many",
        }
    }

    /// Parses the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == word)
    }

    /// How bad it is, where the alarm itself does not know better.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Self::BreakglassUnreviewed
            | Self::BreakglassBudget
            | Self::NoLongerMet
            | Self::Advisory
            | Self::DryRunAdmitted
            | Self::FilesRefused
            | Self::VerifierStale
            | Self::SummaryFailed => Severity::Warning,
            _ => Severity::Critical,
        }
    }

    /// Whether it says that something happened, rather than that something is so. What happened and was acknowledged is
    /// over, and alarms anew when it happens again; what is so and was acknowledged is silent until it was gone.
    pub(super) fn is_occurrence(self) -> bool {
        matches!(
            self,
            Self::BreakglassUsed
                | Self::BreakglassAway
                | Self::FailedOpen
                | Self::ReplayDiffers
                | Self::TooMany
        )
    }

    /// What ends it instead of an acknowledgement, where none can.
    pub(super) fn remedy(self) -> Option<&'static str> {
        match self {
            Self::BreakglassUnreviewed => {
                Some("have a second person sign a review: portcullis breakglass review")
            }
            _ => None,
        }
    }
}
