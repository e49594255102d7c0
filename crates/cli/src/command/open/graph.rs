//! `portcullis open --graph BUNDLE… [INPUT]`: the builds that an artifact came from, and those that its inputs came from.

mod library;
mod tree;

use std::path::Path;
use std::rc::Rc;

use attest::statement::Subject;
use attest::{Agreement, DigestSet, Envelope, Json, Object};
use policy::one_line;

use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;
use crate::tree::{Branch, draw};
use crate::trust::{Proven, Trust, short};
use library::Library;
use tree::{Growth, MAX_DEPTH, Node, Origin};

pub(super) fn run(
    files: &[&str],
    store: Option<&Path>,
    trust: &Trust,
    output: &Output,
) -> Result<Exit, Failure> {
    if files.is_empty() {
        return Err(Failure::new("nothing says which artifact")
            .line("fix", "name bundles, or with --store DIR a file or sha256:HEX"));
    }
    let trusted = trust.read()?;
    let mut library = Library::new(&trusted, store);
    let artifact = take(files, &mut library)?;
    let roots = match artifact {
        Some((name, digests)) => vec![Subject { name, digests }],
        None => tops(library.builds()),
    };
    let mut growth = Growth::new(&mut library);
    let trees = roots
        .iter()
        .map(|root| growth.node(&root.name, &root.digests, false))
        .collect::<Result<Vec<Node>, Failure>>()?;
    let unproven: Vec<(&str, &str)> = library.unproven().collect();
    let counts = Counts::of(&trees);
    let mut human: String = trees.iter().map(|node| draw(&branch(node)) + "\n").collect();
    human += &unproven
        .iter()
        .map(|(file, why)| format!("not proven: {}: {}\n", one_line(file), one_line(why)))
        .collect::<String>();
    human += &counts.to_line();
    output.result(&human, || {
        let not =
            |(file, why): &(&str, &str)| Json::from(Object::new().with("bundle", *file).with("why", *why));
        Object::new()
            .with("artifacts", Json::Array(trees.iter().map(|tree| to_json(tree, "artifact")).collect()))
            .with("not_proven", Json::Array(unproven.iter().map(not).collect()))
            .into()
    });
    Ok(if counts.doubtful == 0 && unproven.is_empty() && counts.builds > 0 {
        Exit::Clean
    } else {
        Exit::Found
    })
}

/// Takes the bundles into the library; the last file is the artifact where it is a digest, or no envelope.
fn take(files: &[&str], library: &mut Library<'_>) -> Result<Option<(String, DigestSet)>, Failure> {
    for (place, file) in files.iter().enumerate() {
        let path = Path::new(file);
        let is_last = place + 1 == files.len();
        if is_last && !(path.exists() && is_envelope(path)) {
            let digests = input::digests(file, &[])?;
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).filter(|_| path.exists());
            return Ok(Some((name.unwrap_or_default(), digests)));
        }
        library.add(&input::bundle(path)?);
    }
    Ok(None)
}

fn is_envelope(path: &Path) -> bool {
    // what is larger than an envelope may be is no envelope
    input::bundle(path).is_ok_and(|submitted| Envelope::parse(&submitted.bytes).is_ok())
}

/// What came out of builds and went into no other: where the reading begins. Where all went into each other, everything.
fn tops(builds: &[Rc<Proven>]) -> Vec<Subject> {
    let all = || builds.iter().flat_map(|build| build.subjects.iter());
    let is_used = |subject: &Subject| {
        let mut inputs = builds.iter().flat_map(|build| build.provenance.dependencies.iter());
        inputs.any(|input| input.digests.agrees(&subject.digests) == Agreement::Same)
    };
    let tops: Vec<Subject> = all().filter(|subject| !is_used(subject)).cloned().collect();
    if tops.is_empty() { all().cloned().collect() } else { tops }
}

#[derive(Debug, Default)]
struct Counts {
    builds: usize,
    unknown: usize,
    doubtful: usize,
}

impl Counts {
    fn of(trees: &[Node]) -> Self {
        let mut counts = Self::default();
        trees.iter().for_each(|tree| counts.add(tree));
        counts
    }

    fn add(&mut self, node: &Node) {
        match &node.origin {
            Origin::Build(proven, inputs) => {
                self.builds += 1;
                self.doubtful += usize::from(proven.recalled.is_some());
                inputs.iter().for_each(|input| self.add(input));
            }
            Origin::Above(_) => {}
            Origin::Unknown => self.unknown += 1,
            Origin::Cycle | Origin::TooDeep | Origin::NotProven(_) => self.doubtful += 1,
        }
    }

    fn to_line(&self) -> String {
        let doubtful = match self.doubtful {
            0 => String::new(),
            n => format!(", {n} not proven, recalled or without end"),
        };
        format!(
            "{} proven, {} without provenance here{doubtful}\n",
            plural(self.builds, "build"),
            self.unknown
        )
    }
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

/// The tree for people. Words and lines are the same wherever they go.
fn branch(node: &Node) -> Branch {
    let inputs: &[Node] = if let Origin::Build(_, inputs) = &node.origin { inputs } else { &[] };
    Branch::new(role(node), "artifact", &node.name, &label(node)).with(inputs.iter().map(branch))
}

fn label(node: &Node) -> String {
    let name = short(&Subject { name: node.name.clone(), digests: node.digests.clone() });
    let said = match &node.origin {
        Origin::Build(proven, _) => built(proven),
        Origin::Above(proven) => format!("{}, shown above", built(proven)),
        Origin::Cycle => "not followed: it went into its own build".to_owned(),
        Origin::TooDeep => format!("not followed: more than {MAX_DEPTH} builds deep"),
        Origin::Unknown => return name,
        Origin::NotProven(why) => format!("not proven: {why}"),
    };
    format!("{name}  {}", one_line(&said))
}

/// `built by official-ci from https://github.com/acme/shop@1a2b3c4d`.
fn built(proven: &Proven) -> String {
    let commit = proven.provenance.source.as_ref().and_then(|s| s.commit()).map(|c| c.hex());
    let commit = commit.and_then(|c| c.get(..8).map(|c| format!("@{c}"))).unwrap_or_default();
    let source = proven.provenance.source.as_ref().map(|s| format!(" from {}{commit}", s.repository));
    let recalled = proven.recalled.as_ref().map(|why| format!(", recalled: {why}"));
    format!("built by {}{}{}", proven.signer, source.unwrap_or_default(), recalled.unwrap_or_default())
}

/// `tool` or `input`, of the build below which it stands.
fn role(node: &Node) -> &'static str {
    if node.is_tool { "tool" } else { "input" }
}

fn to_json(node: &Node, standing: &str) -> Json {
    let mut object = Object::new().with("name", node.name.as_str()).with("digest", node.digests.to_json());
    object.set("role", standing);
    let (status, why) = match &node.origin {
        Origin::Build(..) => ("opened", None),
        Origin::Above(_) => ("above", None),
        Origin::Cycle => ("cycle", None),
        Origin::TooDeep => ("too deep", None),
        Origin::Unknown => ("unknown", None),
        Origin::NotProven(why) => ("not proven", Some(why.as_str())),
    };
    object.set("status", status);
    object.set_some("why", why);
    if let Origin::Build(proven, inputs) = &node.origin {
        let source = proven.provenance.source.as_ref();
        object.set("bundle", proven.file.as_str());
        object.set("signed_by", proven.signer.as_str());
        object.set("builder", proven.provenance.builder_id.as_str());
        object.set_some("repository", source.map(|s| s.repository.as_str()));
        object.set_some("commit", source.and_then(|s| s.commit()).map(|c| c.hex()));
        object.set_some("recalled", proven.recalled.as_deref());
        object.set("inputs", Json::Array(inputs.iter().map(|input| to_json(input, role(input))).collect()));
    }
    object.into()
}
