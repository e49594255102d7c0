//! Layouts and links that two verifiers would read differently, or that say nothing.

use super::{ID, World, judged, layout, link, only_rule, step};

#[test]
fn cve_2021_41087_a_path_that_is_not_normal_escapes_no_rule() {
    for path in ["./foo", "dir/../secret", "a//b", "..", "/../x", "a\\\\b", "dir/"] {
        let mut world = World::new();
        world.put("make", ID[0], 0, &link("make", "", "ok=1").replace("\"ok\"", &format!("\"{path}\"")));
        let steps = [step("make", r#"["a"]"#, 1, "[]", r#"[["DISALLOW","secret"],["ALLOW","*"]]"#)];
        let report = world.report(&layout(&world.keys(), &steps, ""));
        assert_eq!(only_rule(&report), ("links-signed", "0 that count"), "{path}");
        assert!(report.ignored[0].contains("a path without"), "{:?}", report.ignored);
    }
}

#[test]
fn cve_2021_41087_case_is_not_folded() {
    let report = judged("", "Secret=1", "[]", r#"[["ALLOW","secret"],["DISALLOW","*"]]"#);
    assert_eq!(only_rule(&report), ("artifact-rules", "Secret"));
}

#[test]
fn ghsa_pmwq_pjrm_6p5r_a_layout_with_a_character_class_is_not_read() {
    let world = World::new();
    for class in ["[^a]", "[!a]", "x[0-9]"] {
        let steps = [step("make", r#"["a"]"#, 1, "[]", &format!(r#"[["DISALLOW","{class}"]]"#))];
        let refused = world.refused(&layout(&world.keys(), &steps, ""));
        assert!(refused.starts_with("steps[0].expected_products[0]"), "{refused}");
        assert!(refused.contains("a character class, which verifiers read in different ways"), "{refused}");
    }
}

#[test]
fn a_layout_that_says_nothing_or_two_things_is_not_read() {
    let world = World::new();
    let one = || vec![step("make", r#"["a"]"#, 1, "[]", "[]")];
    let good = layout(&world.keys(), &one(), "");
    assert!(world.read(&good).is_ok());
    let private = good.replacen(r#""public":"#, r#""private":"00","public":"#, 1);
    for (bad, why) in [
        (layout(&world.keys(), &[], ""), "steps: wanted at least one step"),
        (layout(&world.keys(), &[one(), one()].concat(), ""), "`make` twice"),
        (good.replace(r#""threshold":1"#, r#""threshold":0"#), "threshold: wanted a whole number from 1 on"),
        (good.replace(r#""threshold":1"#, r#""threshold":-1"#), "found -1"),
        (good.replace(r#"["a"]"#, r#"["x"]"#), "`x` in step make, which `keys` does not have"),
        (good.replace(r#""make""#, r#""../make""#), "no slash"),
        (good.replace("2030-01-01T00:00:00Z", "2030-01-01T00:00:00+01:00"), "expires: wanted a time in UTC"),
        (good.replace(r#""readme""#, r#""notes""#), "notes: wanted only"),
        (good.replace(r#""_type":"layout""#, r#""_type":"link""#), "_type: wanted layout, found link"),
        (private, "a private key beside it"),
        (
            good.replace(
                r#""expected_materials":[]"#,
                r#""expected_materials":[["MATCH","*","WITH","PRODUCTS","FROM","mkae"]]"#,
            ),
            "rules that match with a step of this layout, found MATCH * WITH PRODUCTS FROM mkae",
        ),
    ] {
        let refused = world.refused(&bad);
        assert!(refused.contains(why), "{why}: {refused}");
    }
}
