//! The table for people, and the same for programs.

use attest::{Json, Object};
use policy::Style;

use super::outcome::{Drilled, Seen, Trial, not_staged};

pub(super) fn to_text(drilled: &[Drilled]) -> String {
    let mut text = drilled.iter().map(drill_text).collect::<Vec<_>>().join("\n");
    let passed = drilled.iter().filter(|drilled| drilled.is_passed()).count();
    let attacks = || drilled.iter().flat_map(|drilled| drilled.trials.iter().flatten());
    let attacked = attacks().filter(|trial| trial.control().is_some()).count();
    text.push_str(&format!(
        "\n{passed} of {} threats are stopped for the stated reason; {attacked} attacks, each tried with its mitigation \
         off as well\n",
        drilled.len()
    ));
    if let Some((count, why)) = not_staged(drilled) {
        text.push_str(&format!("{count} of what could be tried NOT STAGED: {why}\n"));
    }
    text
}

fn drill_text(drilled: &Drilled) -> String {
    let mut text = format!("{:<4} {:<6} {}\n", drilled.threat, drilled.word(), drilled.title);
    match &drilled.trials {
        Ok(trials) => text.extend(trials.iter().map(trial_text)),
        Err(failure) => {
            text.extend(failure.to_text(Style::Plain).lines().map(|line| format!("       {line}\n")));
        }
    }
    text
}

fn trial_text(trial: &Trial) -> String {
    let seen = match trial.seen() {
        Ok(seen) => seen,
        Err(why) => return format!("  {:<64} NOT STAGED: {why}\n", trial.what()),
    };
    let mut text = format!("  {:<64} {}\n", trial.what(), came(seen));
    if !seen.is_let_through {
        text.push_str(&format!("      {}\n", first_line(seen)));
    }
    text.extend(trial.flaws().iter().map(|flaw| format!("      FAILED: {flaw}\n")));
    text
}

/// What came of it, in a few words.
pub(super) fn came(seen: &Seen) -> String {
    if seen.is_let_through {
        return format!("let through ({})", seen.basis);
    }
    format!("{} ({})", seen.reasons.join(", "), seen.basis)
}

/// The line of the message that says what stopped it, or its first.
pub(super) fn first_line(seen: &Seen) -> &str {
    let lines = || seen.message.lines().map(str::trim).filter(|line| !line.is_empty());
    let names = |line: &&str| seen.reasons.first().is_some_and(|reason| line.contains(reason.as_str()));
    lines().find(names).or_else(|| lines().next()).unwrap_or_default()
}

pub(super) fn to_json(drilled: &[Drilled]) -> Json {
    let passed = drilled.iter().filter(|drilled| drilled.is_passed()).count();
    let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    Object::new()
        .with("passed", number(passed))
        .with("of", number(drilled.len()))
        .with("not-staged", number(not_staged(drilled).map_or(0, |(count, _)| count)))
        .with("drills", Json::Array(drilled.iter().map(drill_json).collect()))
        .into()
}

fn drill_json(drilled: &Drilled) -> Json {
    let object = Object::new()
        .with("threat", drilled.threat)
        .with("title", drilled.title)
        .with("result", drilled.word().to_ascii_lowercase().replace(' ', "-"));
    match &drilled.trials {
        Ok(trials) => object.with("trials", Json::Array(trials.iter().map(trial_json).collect())),
        Err(failure) => object.with("failure", failure.to_json()),
    }
    .into()
}

fn trial_json(trial: &Trial) -> Json {
    let seen = match trial.seen() {
        Ok(seen) => seen,
        Err(why) => {
            let object = Object::new().with("kind", "not-staged").with("what", trial.what());
            return object.with("why", why).into();
        }
    };
    let kind = if trial.control().is_some() { "attack" } else { "honest" };
    let mut object = Object::new().with("kind", kind).with("what", trial.what());
    if let Trial::Attack { wanted, .. } = trial {
        let reasons: Vec<String> = wanted.reasons.iter().map(|&reason| reason.to_owned()).collect();
        object.set("wanted", Object::new().with("reasons", reasons).with("basis", wanted.basis));
    }
    object.set("seen", seen_json(seen));
    if let Some(control) = trial.control() {
        object.set("control", Object::new().with("off", control.off).with("seen", seen_json(&control.seen)));
    }
    object.with("flaws", trial.flaws()).into()
}

fn seen_json(seen: &Seen) -> Object {
    Object::new()
        .with("let-through", seen.is_let_through)
        .with("reasons", seen.reasons.clone())
        .with("basis", seen.basis.as_str())
        .with("message", seen.message.as_str())
        .with("left", seen.left.clone())
}
