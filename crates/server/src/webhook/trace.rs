//! Spans of an answer, as W3C trace context and OTLP have them. See decision 0016 for why there is no library.

mod export;

use std::time::Instant;

use jiff::Timestamp;

use crate::webhook::judge::{Judged, Stages};

pub(crate) use export::Exporter;

/// Where a trace comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parent {
    trace: String,
    span: String,
    is_sampled: bool,
}

impl Parent {
    /// Reads a `traceparent`; one that is malformed counts as absent, as W3C has it.
    pub(crate) fn read(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_hex = |text: &str, length: usize| {
            text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let is_some = |text: &str| text.bytes().any(|b| b != b'0');
        let is_first_version_whole = version != "00" || parts.next().is_none();
        let is_well = is_hex(version, 2) && version != "ff" && is_hex(trace, 32) && is_hex(span, 16);
        if !is_well || !is_hex(flags, 2) || !is_some(trace) || !is_some(span) || !is_first_version_whole {
            return None;
        }
        let is_sampled = u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1);
        Some(Self { trace: trace.to_owned(), span: span.to_owned(), is_sampled })
    }
}

/// One finished answer, on its way to a collector.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) parent: Option<Parent>,
    pub(crate) name: &'static str,
    pub(crate) end: &'static str,
    /// The moment of `instant`, in wall time.
    pub(crate) now: Timestamp,
    pub(crate) instant: Instant,
    pub(crate) began: Instant,
    pub(crate) stages: Stages,
    pub(crate) attributes: Vec<(&'static str, String)>,
}

impl Trace {
    /// What a decision adds: which it was.
    pub(crate) fn attributes(judged: &Judged) -> Vec<(&'static str, String)> {
        let mut attributes = vec![("portcullis.review.uid", judged.uid.clone())];
        for told in &judged.decisions {
            if let Some((index, leaf)) = &told.record {
                attributes.push(("portcullis.decision.id", format!("{index}:{leaf}")));
            }
            attributes.push(("portcullis.decision", told.decision.clone()));
            attributes.push(("portcullis.basis", told.basis.clone()));
        }
        attributes
    }

    /// Whether anybody wants it: the caller says so where there is one.
    pub(crate) fn is_wanted(&self) -> bool {
        self.parent.as_ref().is_none_or(|parent| parent.is_sampled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_what_w3c_says() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = Parent::read(good).unwrap();
        assert_eq!(parent.trace, "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(parent.is_sampled);
        assert!(!Parent::read(&good.replace("-01", "-00")).unwrap().is_sampled);
        for bad in [
            "",
            "00",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        ] {
            assert_eq!(Parent::read(bad), None, "{bad}");
        }
    }
}
