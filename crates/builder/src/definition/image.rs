//! The `image` section of a target: what the orchestrator puts together itself, without a command.

use attest::redact::is_secret;
use attest::yaml::{Fields, LoadError, Node, Place, Problems, suggest};
use attest::{Json, Object};

use super::read::refuse_secret;
use super::{Input, is_path_below};

const KEYS: [&str; 10] = [
    "base",
    "files",
    "executable",
    "entrypoint",
    "cmd",
    "environment",
    "user",
    "labels",
    "workdir",
    "platform",
];
/// How the command of an image's provenance begins; the third word is the section as JSON.
pub(super) const ASSEMBLER: [&str; 2] = ["portcullis", "image"];

/// An image: files that are inputs, upon another image or upon nothing, and how it is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The input that is the image below, and where the definition says so.
    pub base: Option<(String, Place)>,
    /// The files, by their paths in the image.
    pub files: Vec<ImageFile>,
    /// What the image starts; the base's without.
    pub entrypoint: Option<Vec<String>>,
    /// The words after the entrypoint; the base's without.
    pub cmd: Option<Vec<String>>,
    /// Environment variables, by name, beside the base's.
    pub environment: Vec<(String, String)>,
    /// Whom it runs as; the base's without.
    pub user: Option<String>,
    /// Labels, by name, beside the base's.
    pub labels: Vec<(String, String)>,
    /// Where it starts; the base's without.
    pub workdir: Option<String>,
    /// What it is for: `linux/amd64`.
    pub platform: String,
    /// Where the section stands.
    pub place: Place,
}

/// One file of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFile {
    /// Its path in the image, without a leading slash.
    pub path: String,
    /// The input that it is.
    pub input: String,
    /// Whether it may be executed: mode 0755 and not 0644.
    pub is_executable: bool,
    /// Where the definition says so.
    pub place: Place,
}

impl Image {
    /// Whether an input goes into the image.
    #[must_use]
    pub fn holds(&self, input: &str) -> bool {
        self.base.as_ref().is_some_and(|(base, _)| base == input)
            || self.files.iter().any(|f| f.input == input)
    }

    /// What stands for the command in provenance: the whole section, in one order, so that the same image has the same
    /// words however its definition is laid out.
    pub(crate) fn command(&self) -> Vec<String> {
        let section = self.to_json().to_string();
        ASSEMBLER.into_iter().map(str::to_owned).chain([section]).collect()
    }

    fn to_json(&self) -> Object {
        let map = |pairs: &[(String, String)]| -> Option<Object> {
            let map: Object = pairs.iter().map(|(k, v)| (k.clone(), Json::from(v.as_str()))).collect();
            (!map.is_empty()).then_some(map)
        };
        let files: Object =
            self.files.iter().map(|f| (f.path.clone(), Json::from(f.input.as_str()))).collect();
        let executable = self.files.iter().filter(|f| f.is_executable).map(|f| f.path.clone());
        let mut section = Object::new();
        section.set_some("base", self.base.as_ref().map(|(base, _)| base.as_str()));
        section.set("files", files);
        section.set("executable", executable.collect::<Vec<_>>());
        section.set_some("entrypoint", self.entrypoint.clone());
        section.set_some("cmd", self.cmd.clone());
        section.set_some("environment", map(&self.environment));
        section.set_some("user", self.user.as_deref());
        section.set_some("labels", map(&self.labels));
        section.set_some("workdir", self.workdir.as_deref());
        section.with("platform", self.platform.as_str())
    }
}

/// Whether a command in a record stands for an image that the orchestrator assembled: nothing ran.
pub(crate) fn is_assembly(command: &[String]) -> bool {
    let [program, verb, section] = command else { return false };
    let section_again = attest::json::parse(section.as_bytes()).ok().filter(|json| json.as_object().is_ok());
    [program.as_str(), verb.as_str()] == ASSEMBLER
        && section_again.is_some_and(|json| json.to_string() == *section)
}

pub(super) fn read_image(node: &Node, inputs: &[Input], problems: &mut Problems) -> Option<Image> {
    let fields = Fields::read(node, "an image", &KEYS, problems)?;
    let base =
        fields.optional("base").and_then(|n| Some((input_named(n, inputs, problems)?, n.place.clone())));
    let mut files =
        fields.required("files", problems).map_or_else(Vec::new, |n| read_files(n, inputs, problems));
    if let Some(node) = fields.optional("executable") {
        mark_executable(node, &mut files, problems);
    }
    let entrypoint = fields.optional("entrypoint").map(|n| read_words(n, problems));
    let cmd = fields.optional("cmd").map(|n| read_words(n, problems));
    let environment = fields.optional("environment").map_or_else(Vec::new, |n| {
        let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        read_pairs(n, "the name of a variable: letters, digits and `_`", is_name, problems)
    });
    let labels = fields.optional("labels").map_or_else(Vec::new, |n| {
        let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_graphic());
        read_pairs(n, "the name of a label, as in org.opencontainers.image.title", is_name, problems)
    });
    let user = fields.optional("user").and_then(|n| {
        let is_user = |c: char| c.is_ascii_alphanumeric() || "_.-:".contains(c);
        let user = problems.keep(n.string()).filter(|u| u.chars().all(is_user) && !u.starts_with(':'));
        problems.keep(user.ok_or_else(|| n.mismatch("a user, as in \"1000:1000\""))).map(str::to_owned)
    });
    let workdir = fields.optional("workdir").and_then(|n| {
        let is_absolute = |w: &str| w == "/" || w.strip_prefix('/').is_some_and(is_path_below);
        let workdir = problems.keep(n.string()).filter(|w| is_absolute(w));
        problems
            .keep(workdir.ok_or_else(|| n.mismatch("a path from the root, as in /srv")))
            .map(str::to_owned)
    });
    let platform = match fields.optional("platform") {
        Some(node) => read_platform(node, problems)?,
        None => own_platform(),
    };
    let place = node.place.clone();
    Some(Image { base, files, entrypoint, cmd, environment, user, labels, workdir, platform, place })
}

/// The name of an input that the definition declares: the lock file's are for an ecosystem's own tools.
fn input_named(node: &Node, inputs: &[Input], problems: &mut Problems) -> Option<String> {
    let name = problems.keep(node.string())?;
    if !inputs.iter().any(|i| i.name == name) {
        let known: Vec<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
        let error = LoadError::new(&node.place, &format!("there is no input `{}`", name.escape_debug()));
        problems.push(match suggest(name, &known) {
            Some(near) => error.fix(&format!("write `{near}`")),
            None => error.fix(&format!("declare it under `inputs`, with `name: {}`", name.escape_debug())),
        });
    }
    Some(name.to_owned())
}

fn read_files(node: &Node, inputs: &[Input], problems: &mut Problems) -> Vec<ImageFile> {
    let mut files: Vec<ImageFile> = Vec::new();
    let Some(entries) = problems.keep(node.entries()) else { return files };
    for (path, key, value) in entries {
        let shown = path.escape_debug();
        // layers say with such names what they take away
        let is_whiteout = path.split('/').any(|part| part.starts_with(".wh."));
        if !is_path_below(path) || is_whiteout {
            let message = format!("`{shown}` is no path in an image");
            problems.push(
                LoadError::new(&key.place, &message)
                    .fix("write it as in usr/bin/shop, without `..` and leading slash"),
            );
        }
        let below = |a: &str, b: &str| b.strip_prefix(a).is_some_and(|rest| rest.starts_with('/'));
        if let Some(other) = files.iter().find(|f| below(&f.path, path) || below(path, &f.path)) {
            let message =
                format!("`{shown}` and `{}` cannot both be there: one is a folder of the other", other.path);
            problems.push(LoadError::new(&key.place, &message).fix("rename one of the two"));
        }
        let Some(input) = input_named(value, inputs, problems) else { continue };
        files.push(ImageFile {
            path: path.to_owned(),
            input,
            is_executable: false,
            place: key.place.clone(),
        });
    }
    if files.is_empty() {
        problems.push(node.mismatch("at least one file").found("none"));
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn mark_executable(node: &Node, files: &mut [ImageFile], problems: &mut Problems) {
    for (path, place) in problems.keep(node.strings()).unwrap_or_default() {
        if let Some(file) = files.iter_mut().find(|f| f.path == path) {
            file.is_executable = true;
            continue;
        }
        let known: Vec<&str> = files.iter().map(|f| f.path.as_str()).collect();
        let error =
            LoadError::new(&place, &format!("`{}` is none of the image's files", path.escape_debug()));
        problems.push(match suggest(&path, &known) {
            Some(near) => error.fix(&format!("write `{near}`")),
            None => error.fix("list it under `files`; a file of the base keeps its mode"),
        });
    }
}

fn read_words(node: &Node, problems: &mut Problems) -> Vec<String> {
    let mut words = Vec::new();
    for word in problems.keep(node.list()).unwrap_or_default() {
        let Some(text) = problems.keep(word.string()) else { continue };
        refuse_secret(word, "", text, problems);
        words.push(text.to_owned());
    }
    words
}

fn read_pairs(
    node: &Node,
    wanted: &str,
    is_name: impl Fn(&str) -> bool,
    problems: &mut Problems,
) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let Some(entries) = problems.keep(node.entries()) else { return pairs };
    for (name, key, value) in entries {
        if name.is_empty() || !is_name(name) || is_secret("", name) {
            problems.push(key.mismatch(wanted));
        }
        let Some(text) = problems.keep(value.string()) else { continue };
        refuse_secret(value, name, text, problems);
        pairs.push((name.to_owned(), text.to_owned()));
    }
    pairs.sort();
    pairs
}

fn read_platform(node: &Node, problems: &mut Problems) -> Option<String> {
    let text = problems.keep(node.string())?;
    let is_word =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let parts: Vec<&str> = text.split('/').collect();
    let is_platform = matches!(parts.as_slice(), ["linux", rest @ ..] if matches!(rest.len(), 1 | 2));
    if !is_platform || !parts.iter().all(|p| is_word(p)) {
        problems.push(node.mismatch("a platform, as in linux/amd64 or linux/arm/v7"));
    }
    Some(text.to_owned())
}

/// The builder's own, in the words of OCI.
fn own_platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    };
    format!("linux/{architecture}")
}
