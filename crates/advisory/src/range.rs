//! Whether a version is affected: OSV's algorithm over lists and ranges, with a third answer for what cannot be told.

use std::cmp::Ordering;

use crate::order::Order;
use crate::osv::{Affected, Event, Range, RangeKind};

/// What an advisory says of a version.
pub(crate) enum Verdict {
    /// It is affected.
    Affected {
        /// The range that holds it.
        range: Option<String>,
        /// The first version after it that is not affected.
        fixed: Option<String>,
        /// What matched.
        why: String,
    },
    /// Nobody can tell; why.
    Unknown(String),
    /// It is not.
    Not,
}

/// Judges a version by its lists first: they need no order.
pub(crate) fn judge(affected: &Affected, version: Option<&str>) -> Verdict {
    let order = affected.package.ecosystem.order();
    let Some(version) = version else {
        return Verdict::Unknown("the installed version is not known".to_owned());
    };
    let ranges: Vec<(&Range, Option<Order>)> = affected
        .ranges
        .iter()
        .filter(|range| range.kind != RangeKind::Git)
        .map(|range| (range, if range.kind == RangeKind::SemVer { Some(Order::SemVer) } else { order }))
        .collect();
    let fixed = || ranges.iter().filter_map(|(r, o)| fixed_after(r, (*o)?, version)).next();
    if affected.versions.iter().any(|listed| is_same(order, listed, version)) {
        return Verdict::Affected {
            range: None,
            fixed: fixed(),
            why: format!("{version} is listed as affected"),
        };
    }
    if ranges.is_empty() {
        return by_list_alone(affected, order, version);
    }
    let mut unknown = None;
    for (range, order) in &ranges {
        match in_range(range, *order, version) {
            Ok(true) => {
                let fixed = order.and_then(|order| fixed_after(range, order, version));
                let why = format!("{version} is in the range {range}");
                return Verdict::Affected { range: Some(range.to_string()), fixed, why };
            }
            Ok(false) => {}
            Err(why) => unknown = Some(why),
        }
    }
    unknown.map_or(Verdict::Not, Verdict::Unknown)
}

fn by_list_alone(affected: &Affected, order: Option<Order>, version: &str) -> Verdict {
    if affected.versions.is_empty() {
        let why = "the advisory names no versions, or only commits, whose order stands in their repository";
        return Verdict::Unknown(why.to_owned());
    }
    match order {
        Some(order) if !order.reads(version) => Verdict::Unknown(not_read(version)),
        _ => Verdict::Not,
    }
}

fn not_read(version: &str) -> String {
    format!("{version} is no version that can be compared")
}

fn is_same(order: Option<Order>, listed: &str, version: &str) -> bool {
    listed == version
        || order.is_some_and(|order| {
            order.reads(listed) && order.reads(version) && order.compare(listed, version) == Ordering::Equal
        })
}

/// Whether a range holds a version, or why nobody can tell.
fn in_range(range: &Range, order: Option<Order>, version: &str) -> Result<bool, String> {
    let order = order.ok_or("nobody has written down how versions of this ecosystem are ordered")?;
    let versions = || range.events.iter().map(Event::version);
    if !order.reads(version) {
        return Err(not_read(version));
    }
    if let Some(bad) = versions().find(|v| !matches!(*v, "0" | "*") && !order.reads(v)) {
        return Err(format!("the advisory's version {bad} cannot be compared"));
    }
    let is_before_limit = |event: &Event| match event {
        Event::Limit(limit) => limit == "*" || order.compare(version, limit) == Ordering::Less,
        _ => false,
    };
    let has_limit = range.events.iter().any(|event| matches!(event, Event::Limit(_)));
    let is_held = walk(range, order, version) && (!has_limit || range.events.iter().any(is_before_limit));
    // a version without an epoch is of epoch 0, or was written by somebody who left it out
    let has_epoch = |v: &str| v.split_once(':').is_some_and(|(epoch, _)| epoch.bytes().any(|b| b != b'0'));
    let is_bare = matches!(order, Order::Dpkg | Order::Rpm) && !version.contains(':');
    if !is_held && is_bare && versions().any(has_epoch) {
        return Err(format!("the advisory has epochs, and {version} may have lost its own"));
    }
    Ok(is_held)
}

/// The events in the order of their versions; the last one at or before the version decides.
fn walk(range: &Range, order: Order, version: &str) -> bool {
    let mut events: Vec<&Event> = range.events.iter().collect();
    // at one version, a fix of what was before comes first, and the end of what begins there last
    let rank = |event: &Event| match event {
        Event::Fixed(_) | Event::Limit(_) => 0,
        Event::Introduced(_) => 1,
        Event::LastAffected(_) => 2,
    };
    events.sort_by(|a, b| compare(order, a.version(), b.version()).then_with(|| rank(a).cmp(&rank(b))));
    let mut is_held = false;
    for event in events {
        let at = compare(order, version, event.version());
        match event {
            Event::Introduced(_) if at != Ordering::Less => is_held = true,
            Event::Fixed(_) if at != Ordering::Less => is_held = false,
            Event::LastAffected(_) if at == Ordering::Greater => is_held = false,
            _ => {}
        }
    }
    is_held
}

/// A bare `0` is before every version.
fn compare(order: Order, left: &str, right: &str) -> Ordering {
    match (left, right) {
        ("0", "0") => Ordering::Equal,
        ("0", _) => Ordering::Less,
        (_, "0") => Ordering::Greater,
        _ => order.compare(left, right),
    }
}

/// The first fix that comes after a version.
fn fixed_after(range: &Range, order: Order, version: &str) -> Option<String> {
    let fixes = range.events.iter().filter_map(|event| match event {
        Event::Fixed(fixed) if order.compare(fixed, version) == Ordering::Greater => Some(fixed),
        _ => None,
    });
    fixes.min_by(|a, b| order.compare(a, b)).cloned()
}

/// What an advisory's texts take up in memory, about.
pub(crate) fn size(affected: &Affected) -> usize {
    let versions: usize = affected.versions.iter().map(|v| v.len().saturating_add(24)).sum();
    let events = affected.ranges.iter().flat_map(|range| &range.events);
    let events: usize = events.map(|event| event.version().len().saturating_add(32)).sum();
    versions.saturating_add(events).saturating_add(affected.package.name.len()).saturating_add(256)
}
