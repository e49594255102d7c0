//! The definition's YAML, field by field.

use attest::redact::is_secret;
use attest::time::Span;
use attest::yaml::{Fields, LoadError, Node, Problems, suggest};
use attest::{Algorithm, Digest};

use super::image::{ASSEMBLER, read_image};
use super::{Action, Base, BuildDefinition, Input, Limits, Target, Test, Toolchain, is_path_below};

const FIXED: [&str; 6] = ["PATH", "HOME", "LC_ALL", "TZ", "SOURCE_DATE_EPOCH", "PWD"];
const ECOSYSTEMS: [&str; 5] = ["cargo", "npm", "pip", "go", "debian-source"];
const ACTION: [&str; 7] = ["command", "environment", "time", "memory", "processes", "disk", "files"];

pub(super) fn definition(node: &Node, problems: &mut Problems) -> Option<BuildDefinition> {
    let known = ["toolchain", "inputs", "lock", "targets", "tests"];
    let fields = Fields::read(node, "a build definition", &known, problems)?;
    let toolchain = fields.optional("toolchain").map(|n| read_toolchain(n, problems));
    let mut inputs: Vec<Input> = Vec::new();
    for item in fields.optional("inputs").and_then(|n| problems.keep(n.list())).unwrap_or_default() {
        let Some(input) = named_input(item, problems) else { continue };
        if inputs.iter().any(|other| other.name == input.name) {
            let message = format!("two inputs are called `{}`", input.name);
            problems.push(LoadError::new(&item.place, &message).fix("give each its own name"));
        }
        inputs.push(input);
    }
    let lock = fields.optional("lock").map_or_else(Vec::new, |n| read_lock(n, problems));
    let mut tests = Vec::new();
    if let Some(node) = fields.optional("tests") {
        for (name, key, value) in problems.keep(node.entries())? {
            check_name(name, key, problems);
            tests.extend(read_test(value, problems).map(|t| (name.to_owned(), t)));
        }
    }
    let node = fields.required("targets", problems)?;
    let mut targets = Vec::new();
    if problems.keep(node.entries())?.next().is_none() {
        problems.push(node.mismatch("at least one target").found("none"));
    }
    for (name, key, value) in problems.keep(node.entries())? {
        check_name(name, key, problems);
        targets.extend(read_target(value, &inputs, &tests, problems).map(|t| (name.to_owned(), t)));
    }
    let toolchain = match toolchain {
        Some(toolchain) => toolchain?,
        None => {
            let has_any = node.entries().is_ok_and(|mut all| all.next().is_some());
            if !has_any || needs_toolchain(&targets, &tests) {
                fields.required("toolchain", problems);
            }
            Toolchain { base: Base::Nothing, links: Vec::new() }
        }
    };
    Some(BuildDefinition { toolchain, inputs, lock, targets, tests })
}

/// What nothing runs in need not be declared.
fn needs_toolchain(targets: &[(String, Target)], tests: &[(String, Test)]) -> bool {
    targets.iter().any(|(_, t)| t.image.is_none()) || tests.iter().any(|(_, t)| !t.is_in_image)
}

/// Names become file names and words of a message.
fn check_name(name: &str, node: &Node, problems: &mut Problems) {
    if name.is_empty() || name.len() > 128 || name.contains(char::is_control) {
        problems.push(node.mismatch("a name of 1 to 128 printable characters"));
    }
}

fn read_toolchain(node: &Node, problems: &mut Problems) -> Option<Toolchain> {
    let fields = Fields::read(node, "a toolchain", &["uri", "sha256", "debian", "links"], problems)?;
    let mut links = Vec::new();
    if let Some(node) = fields.optional("links") {
        for (path, key, target) in problems.keep(node.entries())? {
            let to = problems.keep(target.string())?;
            if !is_path_below(path) || to.is_empty() || to.contains(char::is_control) {
                problems.push(key.mismatch("a path in the root without a leading slash, as in usr/bin/cc"));
            }
            links.push((path.to_owned(), to.to_owned()));
        }
    }
    let base = match fields.optional("debian") {
        Some(debian) => {
            if let Some(uri) = fields.optional("uri") {
                problems.push(
                    LoadError::new(&uri.place, "a toolchain is one archive, or Debian packages, not both")
                        .fix("remove `uri` and `sha256`, or `debian`"),
                );
            }
            read_debian(debian, problems)?
        }
        None => {
            let (uri, digest) = read_source(&fields, problems)?;
            Base::Archive(Input { uri, digest, name: String::new(), built_by: None })
        }
    };
    Some(Toolchain { base, links })
}

fn read_debian(node: &Node, problems: &mut Problems) -> Option<Base> {
    let fields = Fields::read(node, "`debian`", &["suite", "packages"], problems)?;
    let suite = match fields.optional("suite") {
        Some(node) => Some(problems.keep(node.string())?.to_owned()),
        None => None,
    };
    let listed = fields.required("packages", problems)?;
    let packages = problems.keep(listed.strings())?;
    let is_package = |name: &str| {
        name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
    };
    for (name, place) in &packages {
        if name.len() < 2 || !is_package(name) || name.starts_with(['-', '.', '+']) {
            problems.push(LoadError::new(place, &format!("`{name}` is no name of a Debian package")));
        }
    }
    if packages.is_empty() {
        problems.push(listed.mismatch("at least one package").found("an empty list"));
    }
    Some(Base::Debian { suite, packages: packages.into_iter().map(|(p, _)| p).collect() })
}

fn read_lock(node: &Node, problems: &mut Problems) -> Vec<(String, String)> {
    let mut lock = Vec::new();
    let Some(entries) = problems.keep(node.entries()) else { return lock };
    for (ecosystem, key, value) in entries {
        if !ECOSYSTEMS.contains(&ecosystem) {
            let error = LoadError::new(&key.place, &format!("nothing is known to lock for `{ecosystem}`"))
                .wanted(&ECOSYSTEMS.join(", "));
            problems.push(match suggest(ecosystem, &ECOSYSTEMS) {
                Some(near) => error.fix(&format!("write `{near}`")),
                None => error.fix("declare its files by hand under `inputs`"),
            });
        }
        let Some(from) = problems.keep(value.string()) else { continue };
        if !is_path_below(from) {
            problems.push(value.mismatch("a path below the source, as in Cargo.lock"));
        }
        lock.push((ecosystem.to_owned(), from.to_owned()));
    }
    lock
}

/// `uri` and `sha256`, which every input has.
fn read_source(fields: &Fields<'_>, problems: &mut Problems) -> Option<(String, Digest)> {
    let uri = fields.required("uri", problems);
    let digest = fields.required("sha256", problems)?;
    let hex = problems.keep(digest.string())?;
    let parsed = Digest::from_hex(Algorithm::Sha256, hex)
        .map_err(|e| LoadError::new(&digest.place, &e.to_string()).fix("write what `sha256sum FILE` prints"));
    let parsed = problems.keep(parsed);
    let node = uri?;
    let uri = problems.keep(node.string())?;
    if uri.is_empty() || uri.contains(char::is_control) || is_secret("", uri) {
        problems.push(
            LoadError::new(&node.place, "this is no URI that could be published with the provenance")
                .wanted("a URI without user name, password or token")
                .fix("let the operator of the builder hold the credential, or put the file into its store"),
        );
    }
    Some((uri.to_owned(), parsed?))
}

/// An input without a name of its own: a package of the root.
pub(crate) fn bare_input(node: &Node, problems: &mut Problems) -> Option<Input> {
    let fields = Fields::read(node, "a package", &["uri", "sha256"], problems)?;
    let (uri, digest) = read_source(&fields, problems)?;
    Some(Input { uri, digest, name: String::new(), built_by: None })
}

/// An input with the path under which the build finds it.
pub(crate) fn named_input(node: &Node, problems: &mut Problems) -> Option<Input> {
    let fields = Fields::read(node, "an input", &["uri", "sha256", "name", "built-by"], problems)?;
    let source = read_source(&fields, problems);
    let node = fields.required("name", problems)?;
    let name = problems.keep(node.string())?;
    if !is_path_below(name) {
        problems.push(node.mismatch("a path below /build/inputs, without `..` and leading slash"));
        return None;
    }
    let built_by = match fields.optional("built-by") {
        Some(node) => Some(problems.keep(node.string())?.to_owned()),
        None => None,
    };
    let (uri, digest) = source?;
    Some(Input { uri, digest, name: name.to_owned(), built_by })
}

fn read_action(fields: &Fields<'_>, problems: &mut Problems) -> Option<Action> {
    let command = fields.required("command", problems);
    let mut limits = Limits::DEFAULT;
    if let Some(node) = fields.optional("time") {
        let span = problems.keep(node.string()).and_then(Span::parse);
        let span = span.filter(|s| s.as_seconds() <= 86_400);
        limits.time =
            problems.keep(span.ok_or_else(|| node.mismatch("a span of time up to 24h, as in 10m")))?;
    }
    limits.memory = size(fields, "memory", limits.memory, problems);
    limits.disk = size(fields, "disk", limits.disk, problems);
    let number = |key: &str, default: u64, most: u64, problems: &mut Problems| {
        fields.optional(key).and_then(|n| problems.keep(n.number(1, most))).unwrap_or(default)
    };
    limits.processes = number("processes", limits.processes, 32_768, problems);
    limits.files = number("files", limits.files, 10_000_000, problems);
    let environment = fields.optional("environment").map_or_else(Vec::new, |n| read_environment(n, problems));
    let node = command?;
    let mut words = Vec::new();
    for word in problems.keep(node.list())? {
        let text = problems.keep(word.string())?;
        refuse_secret(word, "", text, problems);
        words.push(text.to_owned());
    }
    if attest::redact::has_secret(&words) && !words.iter().any(|word| is_secret("", word)) {
        problems.push(secret(node));
    }
    if words.is_empty() {
        problems.push(node.mismatch("the words of a command"));
        return None;
    }
    if words.iter().take(2).eq(&ASSEMBLER) {
        let message = "`portcullis image` in provenance says that no command ran";
        problems.push(LoadError::new(&node.place, message).fix("write `image:` in place of `command:`"));
    }
    Some(Action { command: words, environment, limits })
}

/// `512MiB`, `4GiB`.
fn size(fields: &Fields<'_>, key: &str, default: u64, problems: &mut Problems) -> u64 {
    let Some(node) = fields.optional(key) else { return default };
    let read = |text: &str| {
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
        let unit = match unit {
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        number.parse::<u64>().ok().filter(|n| (1..=1 << 20).contains(n)).map(|n| n * unit)
    };
    let value = problems.keep(node.string()).and_then(read);
    problems.keep(value.ok_or_else(|| node.mismatch("a size, as in 512MiB or 4GiB"))).unwrap_or(default)
}

fn read_environment(node: &Node, problems: &mut Problems) -> Vec<(String, String)> {
    let mut environment = Vec::new();
    let Some(entries) = problems.keep(node.entries()) else { return environment };
    for (name, key, value) in entries {
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit());
        if FIXED.contains(&name) || name.starts_with("LD_") {
            problems.push(
                LoadError::new(&key.place, &format!("`{name}` is fixed in every build")).fix("remove it"),
            );
        } else if !is_name || name.is_empty() {
            problems.push(key.mismatch("the name of a variable: letters, digits and `_`"));
        }
        let Some(text) = problems.keep(value.string()) else { continue };
        refuse_secret(value, name, text, problems);
        environment.push((name.to_owned(), text.to_owned()));
    }
    environment
}

/// A definition is public, and so is the provenance that repeats it.
pub(super) fn refuse_secret(node: &Node, name: &str, value: &str, problems: &mut Problems) {
    if is_secret(name, value) {
        problems.push(secret(node));
    }
}

fn secret(node: &Node) -> LoadError {
    LoadError::new(&node.place, "this looks like a secret, and provenance would publish it")
        .fix("take it out of the definition, and change it wherever it is used: it stands in the history")
        .fix("a build needs no secret: it has no network; sign or publish after it")
}

fn read_target(
    node: &Node,
    inputs: &[Input],
    tests: &[(String, Test)],
    problems: &mut Problems,
) -> Option<Target> {
    let known: Vec<&str> = ACTION.iter().copied().chain(["image", "outputs", "tests"]).collect();
    let fields = Fields::read(node, "a target", &known, problems)?;
    let (action, image) = match fields.optional("image") {
        Some(node) => {
            refuse_action(&fields, problems);
            let image = read_image(node, inputs, problems);
            let action = image.as_ref().map(|i| Action {
                command: i.command(),
                environment: Vec::new(),
                limits: Limits::DEFAULT,
            });
            (action, image)
        }
        None => (read_action(&fields, problems), None),
    };
    let makes_image = fields.optional("image").is_some();
    let outputs = fields.required("outputs", problems);
    let mut named = Vec::new();
    for (test, place) in fields.optional("tests").and_then(|n| problems.keep(n.strings())).unwrap_or_default()
    {
        if !tests.iter().any(|(name, _)| *name == test) {
            let known: Vec<&str> = tests.iter().map(|(name, _)| name.as_str()).collect();
            let error = LoadError::new(&place, &format!("there is no test `{test}`"));
            problems.push(match suggest(&test, &known) {
                Some(near) => error.fix(&format!("write `{near}`")),
                None => error.fix(&format!("define `{test}` under `tests`")),
            });
        }
        if !makes_image && tests.iter().any(|(name, t)| *name == test && t.is_in_image) {
            let message = format!("the test `{test}` runs in an image, and this target makes none");
            problems
                .push(LoadError::new(&place, &message).fix(&format!("remove `image: true` from `{test}`")));
        }
        named.push(test);
    }
    let node = outputs?;
    let outputs = problems.keep(node.strings())?;
    check_outputs(&outputs, problems);
    if makes_image && outputs.len() != 1 {
        problems.push(node.mismatch("one output, the image, as in [shop.oci.tar]"));
    }
    let outputs = outputs.into_iter().map(|(o, _)| o).collect();
    Some(Target { action: action?, image, outputs, tests: named })
}

/// Nothing runs for an image: what a command has would be read by nobody.
fn refuse_action(fields: &Fields<'_>, problems: &mut Problems) {
    for key in ACTION {
        if let Some(node) = fields.optional(key) {
            let message = format!("`{key}` is for a command, and an image is assembled without one");
            problems.push(LoadError::new(&node.place, &message).fix(&format!(
                "remove `{key}`, or `image`; what the image's own process gets stands below `image`"
            )));
        }
    }
}

fn check_outputs(outputs: &[(String, attest::yaml::Place)], problems: &mut Problems) {
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    for (index, (output, place)) in outputs.iter().enumerate() {
        if !is_path_below(output) {
            let message = format!("`{}` is no path below the source", output.escape_debug());
            problems.push(LoadError::new(place, &message).fix("write it as in bin/shop, without `..`"));
        }
        let is_taken = outputs.iter().take(index).any(|(other, _)| name(other) == name(output));
        if is_taken || output.ends_with(".sigstore.json") || name(output).starts_with('.') {
            let message = format!("`{}` cannot be published under its name", name(output).escape_debug());
            problems.push(LoadError::new(place, &message).fix(
                "give every output a file name of its own, that begins with no dot and does not end in .sigstore.json",
            ));
        }
    }
}

fn read_test(node: &Node, problems: &mut Problems) -> Option<Test> {
    let known: Vec<&str> = ACTION.iter().copied().chain(["image", "junit"]).collect();
    let fields = Fields::read(node, "a test", &known, problems)?;
    let action = read_action(&fields, problems);
    let junit = match fields.optional("junit") {
        Some(node) => {
            let path = problems.keep(node.string())?;
            if !is_path_below(path) {
                problems.push(node.mismatch("a path below the source"));
            }
            Some(path.to_owned())
        }
        None => None,
    };
    let is_in_image = fields.optional("image").and_then(|n| problems.keep(n.boolean())).unwrap_or(false);
    Some(Test { action: action?, is_in_image, junit })
}
