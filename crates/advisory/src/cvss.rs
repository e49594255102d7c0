//! CVSS vectors to bands: low, medium, high, critical.
//!
//! v2 and v3 by the base formula of their specifications. v4 has no formula but a table of 270 classes made by hand;
//! here its base metrics are read as those of v3.1 (attack requirements as complexity, any effect on a subsequent system
//! as a changed scope), which is coarse, so it counts only where a record says its severity in no other way.

use std::collections::BTreeMap;

use attest::claims::Severity;

/// The band of a vector of version 2, 3.0 or 3.1; nothing where it cannot be read.
#[must_use]
pub fn band(vector: &str) -> Option<Severity> {
    score(vector).map(of_score)
}

/// The base score in tenths, of a vector of version 2, 3.0 or 3.1.
#[must_use]
pub fn score(vector: &str) -> Option<u32> {
    match vector.strip_prefix("CVSS:3.0/").or_else(|| vector.strip_prefix("CVSS:3.1/")) {
        Some(rest) => v3(&Metrics::read(rest)?),
        None if vector.starts_with("CVSS:") => None,
        None => v2(&Metrics::read(vector.trim_matches(['(', ')']))?),
    }
}

/// The coarse band of a vector of version 4.
#[must_use]
pub fn coarse_band(vector: &str) -> Option<Severity> {
    let metrics = Metrics::read(vector.strip_prefix("CVSS:4.0/")?)?;
    let one = |key: &str| metrics.get(key);
    let worst = |vulnerable: &str, subsequent: &str| {
        let both = [metrics.get(vulnerable)?, metrics.get(subsequent)?];
        ["H", "L", "N"].into_iter().find(|level| both.contains(level))
    };
    let is_hard = one("AC")? == "H" || one("AT")? == "P";
    let spreads = ["SC", "SI", "SA"].into_iter().any(|key| metrics.get(key).is_some_and(|v| v != "N"));
    let likened = [
        ("AV", one("AV")?),
        ("AC", if is_hard { "H" } else { "L" }),
        ("PR", one("PR")?),
        ("UI", if one("UI")? == "N" { "N" } else { "R" }),
        ("S", if spreads { "C" } else { "U" }),
        ("C", worst("VC", "SC")?),
        ("I", worst("VI", "SI")?),
        ("A", worst("VA", "SA")?),
    ];
    v3(&Metrics(likened.into_iter().collect())).map(of_score)
}

/// The bands of CVSS v3; a record of v2 is put into them too.
fn of_score(tenths: u32) -> Severity {
    match tenths {
        0 => Severity::Negligible,
        1..=39 => Severity::Low,
        40..=69 => Severity::Medium,
        70..=89 => Severity::High,
        _ => Severity::Critical,
    }
}

struct Metrics<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Metrics<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut metrics = BTreeMap::new();
        for pair in text.split('/') {
            let (key, value) = pair.split_once(':')?;
            if metrics.insert(key, value).is_some() {
                return None;
            }
        }
        Some(Self(metrics))
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.0.get(key).copied()
    }

    fn weight(&self, key: &str, weights: &[(&str, f64)]) -> Option<f64> {
        let value = self.get(key)?;
        weights.iter().find(|(word, _)| *word == value).map(|(_, weight)| *weight)
    }
}

/// CVSS v3.1, section 7.1.
fn v3(metrics: &Metrics<'_>) -> Option<u32> {
    let changed = match metrics.get("S")? {
        "C" => true,
        "U" => false,
        _ => return None,
    };
    let effect = |key: &str| metrics.weight(key, &[("H", 0.56), ("L", 0.22), ("N", 0.0)]);
    let missed = (1.0 - effect("C")?) * (1.0 - effect("I")?) * (1.0 - effect("A")?);
    let base = 1.0 - missed;
    let impact = if changed { 7.52 * (base - 0.029) - 3.25 * (base - 0.02).powi(15) } else { 6.42 * base };
    let privileges = if changed {
        [("N", 0.85), ("L", 0.68), ("H", 0.5)]
    } else {
        [("N", 0.85), ("L", 0.62), ("H", 0.27)]
    };
    let exploitability = 8.22
        * metrics.weight("AV", &[("N", 0.85), ("A", 0.62), ("L", 0.55), ("P", 0.2)])?
        * metrics.weight("AC", &[("L", 0.77), ("H", 0.44)])?
        * metrics.weight("PR", &privileges)?
        * metrics.weight("UI", &[("N", 0.85), ("R", 0.62)])?;
    if impact <= 0.0 {
        return Some(0);
    }
    let factor = if changed { 1.08 } else { 1.0 };
    Some(round_up((factor * (impact + exploitability)).min(10.0)))
}

/// Tenths, rounded up as CVSS v3.1, appendix A, says: floating point must not make 4.0 to 4.1.
fn round_up(score: f64) -> u32 {
    let scaled = whole(score * 100_000.0);
    let tenths = scaled / 10_000;
    if scaled.is_multiple_of(10_000) { tenths } else { tenths.saturating_add(1) }
}

/// CVSS v2, section 3.2.1.
fn v2(metrics: &Metrics<'_>) -> Option<u32> {
    let effect = |key: &str| metrics.weight(key, &[("N", 0.0), ("P", 0.275), ("C", 0.66)]);
    let impact = 10.41 * (1.0 - (1.0 - effect("C")?) * (1.0 - effect("I")?) * (1.0 - effect("A")?));
    let exploitability = 20.0
        * metrics.weight("AV", &[("L", 0.395), ("A", 0.646), ("N", 1.0)])?
        * metrics.weight("AC", &[("H", 0.35), ("M", 0.61), ("L", 0.71)])?
        * metrics.weight("Au", &[("M", 0.45), ("S", 0.56), ("N", 0.704)])?;
    let factor = if impact > 0.0 { 1.176 } else { 0.0 };
    let score = (0.6 * impact + 0.4 * exploitability - 1.5) * factor;
    Some(whole(score.max(0.0) * 10.0))
}

/// The nearest whole number; scores are small and no negative ones come here.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a score is between 0 and 10, and a cast of a float saturates"
)]
fn whole(value: f64) -> u32 {
    value.round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_specifications_have_their_scores() {
        for (vector, tenths) in [
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 98),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 61),
            ("CVSS:3.0/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", 64),
            ("CVSS:3.1/AV:L/AC:H/PR:L/UI:N/S:U/C:H/I:N/A:N", 47),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 100),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0),
            ("CVSS:3.1/AV:P/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 68),
            ("CVSS:3.0/AV:A/AC:L/PR:N/UI:N/S:C/C:H/I:N/A:H/E:P", 93),
            ("AV:N/AC:L/Au:N/C:N/I:N/A:C", 78),
            ("AV:N/AC:L/Au:N/C:C/I:C/A:C", 100),
            ("AV:L/AC:H/Au:N/C:C/I:C/A:C", 62),
        ] {
            assert_eq!(score(vector), Some(tenths), "{vector}");
        }
    }

    #[test]
    fn what_is_no_vector_has_no_score() {
        for bad in [
            "",
            "9.8",
            "CVSS:3.1/",
            "CVSS:3.1/AV:N",
            "CVSS:3.1/AV:N/AV:L/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
            "CVSS:3.1/AV:Z/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
            "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
        ] {
            assert_eq!(score(bad), None, "{bad}");
        }
    }

    #[test]
    fn version_4_is_likened_to_version_3() {
        let band = |vector: &str| coarse_band(&format!("CVSS:4.0/{vector}"));
        assert_eq!(band("AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"), Some(Severity::Critical));
        assert_eq!(band("AV:L/AC:H/AT:P/PR:H/UI:A/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N"), Some(Severity::Low));
        assert_eq!(band("AV:L/AC:H/AT:P/PR:H/UI:A/VC:L"), None);
    }
}
