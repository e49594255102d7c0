//! Words for what was reached. Those of SLSA's tracks have an order; all others are themselves.

/// The track and the number of `SLSA_TRACK_LEVEL_N`.
fn parse(word: &str) -> Option<(&str, u8)> {
    let (track, number) = word.strip_prefix("SLSA_")?.rsplit_once("_LEVEL_")?;
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    Some((track, number.parse().ok().filter(|_| is_number)?))
}

/// Whether what asks for `asked` asks for `other` too.
pub(super) fn implies(asked: &str, other: &str) -> bool {
    match (parse(asked), parse(other)) {
        (Some((track, level)), Some((other, least))) => track == other && level >= least,
        _ => asked == other,
    }
}

/// Whether a summary reaches a word. One that names two levels of a track, which none may, counts as the lower.
pub(super) fn reaches(found: &[String], wanted: &str) -> bool {
    let Some((track, least)) = parse(wanted) else { return found.iter().any(|word| word == wanted) };
    let levels = found.iter().filter_map(|word| parse(word)).filter(|(other, _)| *other == track);
    levels.map(|(_, level)| level).min().is_some_and(|lowest| lowest >= least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_reaches_those_below_it_in_its_own_track() {
        let reaches = |found: &[&str], wanted: &str| {
            reaches(&found.iter().map(|&word| word.to_owned()).collect::<Vec<_>>(), wanted)
        };
        for (found, wanted, is_reached) in [
            (&["SLSA_BUILD_LEVEL_3"][..], "SLSA_BUILD_LEVEL_2", true),
            (&["SLSA_BUILD_LEVEL_2"], "SLSA_BUILD_LEVEL_2", true),
            (&["SLSA_BUILD_LEVEL_1"], "SLSA_BUILD_LEVEL_2", false),
            (&["SLSA_BUILD_LEVEL_10"], "SLSA_BUILD_LEVEL_2", true),
            (&["SLSA_SOURCE_LEVEL_3"], "SLSA_BUILD_LEVEL_2", false),
            (&["SLSA_BUILD_LEVEL_1", "SLSA_BUILD_LEVEL_3"], "SLSA_BUILD_LEVEL_2", false),
            (&["SLSA_BUILD_LEVEL_UNEVALUATED"], "SLSA_BUILD_LEVEL_0", false),
            (&["SLSA_BUILD_LEVEL_+3"], "SLSA_BUILD_LEVEL_2", false),
            (&["SLSA_BUILD_LEVEL_256"], "SLSA_BUILD_LEVEL_2", false),
            (&["slsa_build_level_3"], "SLSA_BUILD_LEVEL_2", false),
            (&["PORTCULLIS_SCANNED"], "PORTCULLIS_SCANNED", true),
            (&["PORTCULLIS_SCANNED_LEVEL_3"], "PORTCULLIS_SCANNED_LEVEL_2", false),
            (&[], "SLSA_BUILD_LEVEL_0", false),
        ] {
            assert_eq!(reaches(found, wanted), is_reached, "{found:?} {wanted}");
            if let [one] = found {
                assert_eq!(implies(one, wanted), is_reached, "{one} {wanted}");
            }
        }
    }
}
