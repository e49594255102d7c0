//! How much a proxy takes, in all and of one requester.

use std::time::Duration;

use attest::LoadError;
use attest::time::Span;
use attest::yaml::{Fields, Node, Problems};

use crate::fields::{number, size};
use crate::proxy::config::time;
use crate::proxy::share::Bounds;

/// Of a hundred parts, what one requester may have where more than one may come.
const USUAL_SHARE: u64 = 50;
const USUAL_BODY: u64 = 10 << 30;
const USUAL_HELD: u64 = 50 << 30;

/// How much a proxy takes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one body.
    pub body: u64,
    /// Bytes of all bodies that wait in the spool.
    pub held: u64,
    /// Requests at once.
    pub requests: usize,
    /// For a body to come in.
    pub time: Duration,
    /// How many of a hundred parts of all this one requester may have; nothing where it is not said.
    pub share: Option<u64>,
}

impl Limits {
    /// Reads `limits: { body: 10GiB, held: 50GiB, requests: 1024, time: 1h, share: 50 }`. `is_alone`: only one can come.
    /// `copies`: how many times a body can be held at once.
    pub(crate) fn read(
        node: Option<&Node>,
        is_alone: bool,
        copies: u64,
        problems: &mut Problems,
    ) -> Option<Self> {
        let usual = Self {
            body: USUAL_BODY,
            held: USUAL_HELD,
            requests: 1024,
            time: Duration::from_secs(3600),
            share: None,
        };
        let Some(node) = node else { return Some(usual) };
        let known = ["body", "held", "requests", "time", "share"];
        let fields = Fields::read(node, "`limits`", &known, problems)?;
        let bytes = |key: &str, otherwise: u64, problems: &mut Problems| {
            fields.optional(key).map_or(Some(otherwise), |node| {
                let found = size(problems.keep(node.string())?);
                problems.keep(found.ok_or_else(|| node.mismatch("a size, as in 10GiB")))
            })
        };
        let (body, held) = (bytes("body", usual.body, problems), bytes("held", usual.held, problems));
        let requests = number(&fields, "requests", (1, 100_000, 1024), problems);
        let time = time(&fields, "time", Span::seconds(3600), problems);
        let share = match fields.optional("share") {
            None => None,
            Some(node) => Some(problems.keep(node.number(1, 100))?),
        };
        let mut limits = Self { body: body?, held: held?, requests: requests?, time: time?, share };
        if fields.optional("body").is_none() {
            // what nobody said is no more than what can be held
            limits.body = limits.body.min(limits.of(limits.held, is_alone).one / copies.max(1));
        }
        problems.keep(limits.check(&fields, node, is_alone, copies))?;
        Some(limits)
    }

    /// A body that can never be held would be refused when it was half in, each time.
    fn check(&self, fields: &Fields<'_>, node: &Node, is_alone: bool, copies: u64) -> Result<(), LoadError> {
        let one = self.of(self.held, is_alone).one;
        if self.body.saturating_mul(copies) <= one {
            return Ok(());
        }
        let place = &fields.optional("body").unwrap_or(node).place;
        let (what, wanted, fix) = if self.body > self.held {
            let wanted = format!("at most `held`, {} bytes", self.held);
            ("more than all bodies together", wanted, "lower `body`, or raise `held`")
        } else if self.body <= one {
            let most = one / copies.max(1);
            let wanted = format!("at most half of the share of one requester in `held`, {most} bytes");
            let what =
                "more than half of what one requester may have waiting, and is for a moment there twice";
            (what, wanted, "lower `body`, or raise `held` or `share`")
        } else {
            let wanted = format!("at most the share of one requester in `held`, {one} bytes");
            ("more than one requester may have waiting", wanted, "lower `body`, or raise `held` or `share`")
        };
        let error = LoadError::new(place, &format!("one body may have {what}: it would never come in"));
        Err(error.wanted(&wanted).fix(fix))
    }

    /// So much in all, and what of it one requester may have.
    pub(crate) fn of(&self, all: u64, is_alone: bool) -> Bounds {
        let percent = self.share.unwrap_or(if is_alone { 100 } else { USUAL_SHARE });
        let one = u128::from(all) * u128::from(percent) / 100;
        Bounds { all, one: u64::try_from(one).unwrap_or(all).max(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, is_alone: bool) -> Result<Limits, String> {
        read_of(text, is_alone, 1)
    }

    fn read_of(text: &str, is_alone: bool, copies: u64) -> Result<Limits, String> {
        let node = Node::parse("serve.yaml", text).unwrap();
        let mut problems = Problems::new();
        let limits = Limits::read(Some(&node), is_alone, copies, &mut problems);
        problems
            .finish(limits)
            .map_err(|errors| errors.iter().map(|error| format!("{error} {error:?}")).collect())
    }

    #[test]
    fn a_body_that_could_never_be_held_is_refused_with_its_place() {
        for (text, is_alone, why) in [
            ("{ body: 4GiB, held: 3GiB }", true, "at most `held`"),
            ("body: 60GiB\n", true, "at most `held`"),
            ("{ body: 2GiB, held: 3GiB }", false, "the share of one requester in `held`"),
            ("{ body: 1GiB, held: 3GiB, share: 20 }", true, "the share of one requester in `held`"),
            ("{ share: 0 }", true, "1"),
            ("{ share: 101 }", true, "100"),
        ] {
            let found = read(text, is_alone).unwrap_err();
            assert!(found.contains(why) && found.contains("serve.yaml:1"), "{text}: {found}");
        }
        let limits = read("{ body: 2GiB, held: 3GiB }", true).unwrap();
        assert_eq!(limits.of(limits.held, true).one, 3 << 30);
        assert_eq!(read("{ held: 3GiB }", false).unwrap().body, 3 << 29);
        let limits = read("{ body: 2GiB, held: 4GiB, share: 75 }", false).unwrap();
        assert_eq!(limits.of(limits.held, false).one, 3 << 30);
        assert_eq!(limits.of(1, false).one, 1, "a place that is there can be had");
    }

    #[test]
    fn what_is_there_twice_for_a_moment_has_room_twice() {
        let found = read_of("{ body: 3GiB, held: 10GiB }", false, 2).unwrap_err();
        assert!(found.contains("there twice") && found.contains("2684354560 bytes"), "{found}");
        assert!(read_of("{ body: 3GiB, held: 10GiB }", false, 1).is_ok());
        assert!(read_of("{ body: 5GiB, held: 10GiB }", true, 2).is_ok());
        assert_eq!(read_of("{ held: 4GiB }", false, 2).unwrap().body, 1 << 30);
        let mut problems = Problems::new();
        let usual = Limits::read(None, false, 2, &mut problems).unwrap();
        assert!(usual.body * 2 <= usual.of(usual.held, false).one, "what nobody says fits");
    }
}
