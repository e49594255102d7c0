//! `portcullis open --diff A B`: how two builds differ. The chapter's cherry-pick shows as "only the source changed".

use std::collections::BTreeMap;
use std::path::Path;

use attest::provenance::difference::{Bearing, Difference, Part, Row, Value, compare};
use attest::{Algorithm, Json, Object};
use policy::one_line;

use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;
use crate::trust::{Proven, Trust, Trusted};

/// The widest that a name or value is shown; `--format json` has all of it.
const WIDTH: usize = 44;
/// So many rows of one kind that are the same are one row.
const MANY: usize = 6;

pub(super) fn run(before: &Path, after: &Path, trust: &Trust, output: &Output) -> Result<Exit, Failure> {
    let trusted = trust.read()?;
    let (before, after) = (proven(before, &trusted)?, proven(after, &trusted)?);
    let difference = compare(&before.provenance, &after.provenance);
    let (conclusion, notes) = (conclusion(&difference), notes(&before, &after));
    let mut human = format!("{}\n\n", one_line(&conclusion));
    for (word, proven) in [("before", &before), ("after", &after)] {
        human += &format!("  {word:<8} {}  {}, signed by {}\n", proven.short(), proven.file, proven.signer);
    }
    human += &notes.iter().map(|note| format!("  note     {note}\n")).collect::<String>();
    human += &format!("\n{}", table(&difference));
    output.result(&human, || to_json(&conclusion, &notes, &difference, [&before, &after]));
    Ok(if difference.is_only_source() { Exit::Clean } else { Exit::Found })
}

/// What is not proven is not compared: nobody could tell a difference from a lie.
fn proven(path: &Path, trusted: &Trusted) -> Result<Proven, Failure> {
    trusted.prove(&input::bundle(path)?).map_err(|why| {
        Failure::new(&format!("{} proves no build, so there is nothing to compare", path.display()))
            .line("found", &one_line(&why))
            .line("fix", "give the bundle of a build, and the key or trust root under which it counts")
    })
}

/// The first line.
fn conclusion(difference: &Difference) -> String {
    let of = |bearing| difference.changed(bearing).collect::<Vec<&Row>>();
    let (source, build, run) = (of(Bearing::Source), of(Bearing::Build), of(Bearing::Run));
    match (source.is_empty(), build.is_empty()) {
        (true, true) if run.is_empty() => "nothing changed".to_owned(),
        (true, true) => "nothing changed but the run".to_owned(),
        (false, true) => format!("only the source changed: {}", change_of_source(&source)),
        (true, false) => format!("not the source changed, but: {}", kinds(&build)),
        (false, false) => {
            format!("more than the source changed: {}; and {}", kinds(&build), change_of_source(&source))
        }
    }
}

fn change_of_source(rows: &[&Row]) -> String {
    let commit = rows.iter().find(|row| row.part == Part::Version(Algorithm::GitCommit));
    let Some(row) = commit.or(rows.first()) else { return String::new() };
    format!("{} {} → {}", row.part.kind(), shown(row.before.as_ref()), shown(row.after.as_ref()))
}

/// What changed, each kind once.
fn kinds(rows: &[&Row]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for row in rows {
        match counts.iter_mut().find(|(kind, _)| *kind == row.part.kind()) {
            Some((_, count)) => *count += 1,
            None => counts.push((row.part.kind(), 1)),
        }
    }
    let word = |(kind, count): &(&str, usize)| match count {
        1 => (*kind).to_owned(),
        n => format!("{kind} ({n})"),
    };
    counts.iter().map(word).collect::<Vec<_>>().join(", ")
}

/// What a reader must know before believing that the rest is the same.
fn notes(before: &Proven, after: &Proven) -> Vec<String> {
    let mut notes = Vec::new();
    if !(before.provenance.hermetic && after.provenance.hermetic) {
        notes.push(
            "not both builds claim to be hermetic: what they did not declare may differ too".to_owned(),
        );
    }
    for proven in [before, after] {
        if let Some(reason) = &proven.recalled {
            notes.push(format!("builds like {} were recalled: {}", proven.file, one_line(reason)));
        }
    }
    notes
}

fn table(difference: &Difference) -> String {
    let (changed, same): (Vec<&Row>, Vec<&Row>) = difference.rows().iter().partition(|row| !row.is_same());
    let mut lines: Vec<[String; 3]> =
        changed.iter().map(|row| ["changed".to_owned(), label(row), change(row)]).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &same {
        *counts.entry(row.part.kind()).or_default() += 1;
    }
    for row in same {
        let kind = row.part.kind();
        match counts.get(kind).copied().unwrap_or_default() {
            0 => {}
            n if n > MANY => {
                lines.push(["same".to_owned(), kind.to_owned(), format!("{n} of them, each the same")]);
                counts.insert(kind, 0);
            }
            _ => lines.push(["same".to_owned(), label(row), shown(row.before.as_ref())]),
        }
    }
    let wide = lines.iter().map(|[_, label, _]| label.chars().count()).max().unwrap_or_default();
    lines.iter().map(|[word, label, value]| format!("  {word:<8} {label:<wide$}  {value}\n")).collect()
}

/// What a row changed, in one line.
pub(crate) fn changed(row: &Row) -> String {
    format!("{}: {}", label(row), change(row))
}

fn change(row: &Row) -> String {
    format!("{} → {}", shown(row.before.as_ref()), shown(row.after.as_ref()))
}

fn label(row: &Row) -> String {
    match row.part.name() {
        Some(name) => cut(&format!("{} {name}", row.part.kind())),
        None => row.part.kind().to_owned(),
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or("nothing said".to_owned(), |value| cut(&value.short()))
}

/// The end of a long name says more than its middle.
fn cut(text: &str) -> String {
    let text = one_line(text);
    let length = text.chars().count();
    if length <= WIDTH {
        return text;
    }
    let head: String = text.chars().take(WIDTH / 2).collect();
    let tail: String = text.chars().skip(length - WIDTH / 2 + 1).collect();
    format!("{head}…{tail}")
}

fn to_json(conclusion: &str, notes: &[String], difference: &Difference, builds: [&Proven; 2]) -> Json {
    let [before, after] = builds.map(|proven| {
        let artifact = |s: &attest::statement::Subject| {
            Json::from(Object::new().with("name", s.name.as_str()).with("digest", s.digests.to_json()))
        };
        let mut object = Object::new()
            .with("bundle", proven.file.as_str())
            .with("artifacts", Json::Array(proven.subjects.iter().map(artifact).collect()))
            .with("signed_by", proven.signer.as_str());
        object.set_some("recalled", proven.recalled.as_deref());
        object
    });
    let row = |row: &Row| {
        let mut object = Object::new().with("part", row.part.kind());
        object.set_some("name", row.part.name());
        object.set("changed", !row.is_same());
        object.set(
            "bears_on",
            match row.bearing() {
                Bearing::Source => "source",
                Bearing::Run => "run",
                Bearing::Build => "build",
            },
        );
        object.set_some("before", row.before.as_ref().map(Value::to_json));
        object.set_some("after", row.after.as_ref().map(Value::to_json));
        Json::from(object)
    };
    Object::new()
        .with("conclusion", conclusion)
        .with("only_source", difference.is_only_source())
        .with("notes", notes.to_vec())
        .with("before", before)
        .with("after", after)
        .with("parts", Json::Array(difference.rows().iter().map(row).collect()))
        .into()
}
