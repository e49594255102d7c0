//! A Bazel project: Debian's Bazel and rules, and the archives that `WORKSPACE` names by digest.

use super::{Definition, Paved, Project, RoadError, error, is_plain};

const SCRIPT: &str = include_str!("bazel.sh");
const PACKAGES: [&str; 19] = [
    "bash",
    "bazel-bootstrap",
    "bazel-platforms",
    "bazel-rules-cc",
    "bazel-rules-java",
    "bazel-rules-proto",
    "bazel-skylib",
    "coreutils",
    "dash",
    "diffutils",
    "findutils",
    "g++",
    "gcc",
    "grep",
    "gzip",
    "libc6-dev",
    "sed",
    "tar",
    "unzip",
];
/// What Bazel calls its files, the one that it prefers first.
const WORKSPACES: [&str; 2] = ["WORKSPACE.bazel", "WORKSPACE"];
const PACKAGE_FILES: [&str; 2] = ["BUILD.bazel", "BUILD"];
/// The rules that fetch one file by its digest.
const BY_DIGEST: [&str; 3] = ["http_archive", "http_file", "http_jar"];
/// The rules that fetch what has no SHA-256.
const BY_NAME: [&str; 3] = ["git_repository", "new_git_repository", "maven_install"];

/// One file of the network.
struct Archive {
    uri: String,
    sha256: String,
}

pub(super) fn pave(project: &Project) -> Result<Paved, RoadError> {
    let Some(workspace) = WORKSPACES.into_iter().find_map(|file| project.text(file)) else {
        return Err(error(
            "MODULE.bazel is for a later Bazel than Debian's 4.2, which reads WORKSPACE",
            "name the archives in WORKSPACE, or write portcullis.build.yaml by hand with your Bazel in an archive",
        ));
    };
    let workspace = without_comments(&workspace);
    let archives = archives(&workspace)?;
    let mut notes = Vec::new();
    let programs = programs(project).unwrap_or_else(|| {
        let name = project.name();
        notes.push(format!("no cc_binary stands in the first BUILD file: check `{name}`, a guess, in the definition and the script"));
        vec![name]
    });
    if project.has(".bazelversion") {
        notes.push(".bazelversion names another Bazel: Debian's 4.2 is used, see `bazel-bootstrap` in the definition".to_owned());
    }
    let names: Vec<String> = archives.iter().map(|archive| format!("bazel/{}", archive.sha256)).collect();
    let inputs: Vec<(&str, &str, &str)> = archives
        .iter()
        .zip(&names)
        .map(|(archive, name)| (name.as_str(), archive.uri.as_str(), archive.sha256.as_str()))
        .collect();
    let outputs: Vec<String> = programs.iter().map(|name| format!("out/{name}")).collect();
    let definition = Definition {
        packages: &PACKAGES,
        links: &[("usr/bin/cc", "gcc")],
        inputs: &inputs,
        target: programs.first().map_or("program", String::as_str),
        outputs: &outputs,
        time: "30m",
        ..Definition::default()
    };
    let each = |before: &str| programs.iter().map(|p| format!("{before}{p}")).collect::<Vec<_>>().join(" ");
    let script = SCRIPT.replace("{LABELS}", &each("//:")).replace("{FILES}", &each("/tmp/bazel-bin/"));
    Ok(Paved { definition: definition.to_text(), script, notes })
}

/// The programs of the first BUILD file.
fn programs(project: &Project) -> Option<Vec<String>> {
    let text = without_comments(&PACKAGE_FILES.into_iter().find_map(|file| project.text(file))?);
    let names =
        calls(&text, "cc_binary").into_iter().filter_map(|call| strings(call, "name").into_iter().next());
    let mut names: Vec<String> = names.filter(|name| is_plain(name)).collect();
    names.sort();
    names.dedup();
    (!names.is_empty()).then_some(names)
}

/// What `WORKSPACE` fetches. It is for a first guess that a person reviews: what a function of another file fetches is
/// not seen, and fails in the sandbox with its name.
fn archives(workspace: &str) -> Result<Vec<Archive>, RoadError> {
    if let Some(rule) = BY_NAME.into_iter().find(|rule| !calls(workspace, rule).is_empty()) {
        return Err(error(
            &format!("WORKSPACE fetches with {rule}, which names no SHA-256 of a file"),
            "name the same as an http_archive with its sha256",
        ));
    }
    let mut found: Vec<Archive> = Vec::new();
    for call in BY_DIGEST.into_iter().flat_map(|rule| calls(workspace, rule)) {
        let archive = archive(call)?;
        if found.iter().all(|other| other.sha256 != archive.sha256) {
            found.push(archive);
        }
    }
    Ok(found)
}

fn archive(call: &str) -> Result<Archive, RoadError> {
    let name = strings(call, "name").into_iter().next().filter(|name| is_plain(name));
    let name = name.as_deref().unwrap_or("without a plain name");
    let sha256 = strings(call, "sha256").into_iter().next();
    let is_digest =
        |text: &String| text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let sha256 = sha256.filter(is_digest).ok_or_else(|| {
        error(
            &format!("WORKSPACE: the archive {name} has no sha256 of 64 lower-case hex digits"),
            "write the digest that Bazel prints when it fetches the archive",
        )
    })?;
    let uris = [strings(call, "urls"), strings(call, "url")].concat();
    let uri = uris.into_iter().find(|uri| is_uri(uri)).ok_or_else(|| {
        error(
            &format!("WORKSPACE: the archive {name} has no address that could be read"),
            "write it as text: urls = [\"https://…\"]",
        )
    })?;
    Ok(Archive { uri, sha256 })
}

/// An address that means itself in YAML.
fn is_uri(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?@!$&+,;=%".contains(&b);
    (text.starts_with("https://") || text.starts_with("http://"))
        && text.bytes().all(plain)
        && !text.ends_with(':')
}

fn without_comments(text: &str) -> String {
    text.lines().filter(|row| !row.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n")
}

/// What follows a word, at each place where it stands by itself.
fn after<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    let is_alone =
        |at: usize| !text.get(..at).unwrap_or_default().ends_with(|c: char| c.is_alphanumeric() || c == '_');
    let places = text.match_indices(word).map(|(at, _)| at).filter(|at| is_alone(*at));
    places.filter_map(|at| text.get(at + word.len()..)).map(str::trim_start).collect()
}

/// The arguments of each call of a function, up to the bracket that ends it.
fn calls<'a>(text: &'a str, function: &str) -> Vec<&'a str> {
    let arguments = after(text, function).into_iter().filter_map(|rest| rest.strip_prefix('('));
    arguments.map(|rest| rest.get(..end(rest)).unwrap_or(rest)).collect()
}

/// Where the bracket ends that was open before this text; a bracket in a string counts as none.
fn end(text: &str) -> usize {
    let (mut depth, mut quote) = (0_usize, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), _) => quote = if c == open { None } else { quote },
            (None, '"' | '\'') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') if depth == 0 => return at,
            (None, ')') => depth -= 1,
            (None, _) => {}
        }
    }
    text.len()
}

/// The strings of an argument: `key = "text"`, or `key = ['text', "text"]`.
fn strings(call: &str, key: &str) -> Vec<String> {
    let mut values = after(call, key).into_iter().filter_map(|rest| rest.strip_prefix('='));
    let Some(value) = values.next().map(str::trim_start) else { return Vec::new() };
    let Some(list) = value.strip_prefix('[') else {
        return string(value).map(|(text, _)| text).into_iter().collect();
    };
    let (mut rest, mut found) = (list, Vec::new());
    while let Some((text, behind)) = string(rest) {
        found.push(text);
        rest = behind.trim_start().trim_start_matches(',').trim_start();
    }
    found
}

/// The string with which a text begins, in either kind of quotes, and what stands behind it.
fn string(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start();
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (string, behind) = text.get(1..)?.split_once(quote)?;
    Some((string.to_owned(), behind))
}
