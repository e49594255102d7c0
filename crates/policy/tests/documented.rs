//! Row 69 of docs/failures.md: every key that the schema documents under `require` is read. Leaving it out, or giving it
//! another value, turns the decision of one of the golden cases at least, with nothing else changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use attest::yaml::{Node, Value};
use attest::{Json, TrustRoot};
use policy::scenario::TestFile;
use policy::{Book, Guardrails, SourceFile};

/// The keys below `require`, as `source/reviewed/by`.
fn documented() -> BTreeSet<String> {
    let schema = policy::language::schema();
    let require = schema.as_object().unwrap().object("properties").unwrap().get("require").unwrap().clone();
    let mut keys = BTreeSet::new();
    walk(&require, "", &mut keys);
    keys
}

fn walk(schema: &Json, at: &str, keys: &mut BTreeSet<String>) {
    let Ok(schema) = schema.as_object() else { return };
    if let Some(Json::Object(properties)) = schema.get("properties") {
        for (name, below) in properties.iter() {
            keys.insert(join(at, name));
            walk(below, &join(at, name), keys);
        }
    }
    for inside in ["items", "additionalProperties"] {
        schema.get(inside).into_iter().for_each(|below| walk(below, at, keys));
    }
    for one_of in ["anyOf", "oneOf", "allOf"] {
        let shapes = schema.get(one_of).and_then(|s| s.as_array().ok());
        shapes.into_iter().flatten().for_each(|below| walk(below, at, keys));
    }
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}/{name}") }
}

/// A value as JSON, which is YAML.
fn write(node: &Node) -> String {
    match &node.value {
        Value::Scalar { text, plain: true } => text.clone(),
        Value::Scalar { text, .. } => Json::from(text.as_str()).to_string(),
        Value::List(items) => format!("[{}]", items.iter().map(write).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{}: {}", write(key), write(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Everything that stands there in another way, with the key that was changed or left out.
fn others(node: &Node, at: &str) -> Vec<(String, Node)> {
    let with = |value: Value| Node { place: node.place.clone(), value };
    match &node.value {
        Value::Scalar { text, .. } => {
            let number = text.parse::<u64>().map(|n| (n + 1).to_string()).ok();
            let words = ["1s", "400d", "true", "false", "low", "critical", "MIT"].map(str::to_owned);
            let words = words.into_iter().chain(number).chain([format!("{text}x"), turned(text)]);
            words
                .flat_map(|word| [true, false].map(|plain| Value::Scalar { text: word.clone(), plain }))
                .map(|value| (at.to_owned(), with(value)))
                .collect()
        }
        Value::List(items) => {
            let mut all = Vec::new();
            for (number, item) in items.iter().enumerate() {
                let set = |value: Option<Node>| {
                    let mut items = items.clone();
                    match value {
                        Some(value) => drop(std::mem::replace(&mut items[number], value)),
                        None => drop(items.remove(number)),
                    }
                    with(Value::List(items))
                };
                all.push((at.to_owned(), set(None)));
                all.extend(others(item, at).into_iter().map(|(key, other)| (key, set(Some(other)))));
            }
            all
        }
        Value::Map(entries) => {
            let mut all = Vec::new();
            for (number, (name, value)) in entries.iter().enumerate() {
                let key = join(at, name.string().unwrap());
                let mut without = entries.clone();
                without.remove(number);
                all.push((key.clone(), with(Value::Map(without))));
                all.extend(others(value, &key).into_iter().map(|(key, other)| {
                    let mut entries = entries.clone();
                    entries[number].1 = other;
                    (key, with(Value::Map(entries)))
                }));
            }
            all
        }
    }
}

/// A digest stays one.
fn turned(text: &str) -> String {
    let last = if text.ends_with('0') { '1' } else { '0' };
    format!("{}{last}", text.get(..text.len().saturating_sub(1)).unwrap_or_default())
}

struct Golden {
    tests: TestFile,
    files: BTreeMap<String, String>,
}

impl Golden {
    fn read(folder: &Path) -> Self {
        let text = fs::read_to_string(folder.join("cases.test.yaml")).unwrap();
        let files = fs::read_dir(folder.join("book")).unwrap().map(|entry| {
            let path = entry.unwrap().path();
            let name = format!("book/{}", path.file_name().unwrap().to_str().unwrap());
            (name, fs::read_to_string(path).unwrap())
        });
        Self { tests: TestFile::parse("cases.test.yaml", &text).unwrap(), files: files.collect() }
    }

    fn book(&self, file: &str, text: &str) -> Option<Book> {
        let text = |name: &str, old: &String| if name == file { text.to_owned() } else { old.clone() };
        let files = self.files.iter().map(|(n, old)| SourceFile { name: n.clone(), text: text(n, old) });
        Book::load(files.collect(), &Guardrails::none()).ok()
    }

    /// Whether a case of this environment is decided in another way when the file's text is this one.
    fn turns(&self, root: &TrustRoot, environment: &str, file: &str, text: &str) -> bool {
        let Some(book) = self.book(file, text) else { return false };
        let before = self.book("", "").unwrap();
        let is_met = |book: &Book, test: &policy::scenario::Scenario| test.run(book, root).verdict.is_met();
        let mut tests = self.tests.tests.iter().filter(|test| test.environment == environment);
        tests.any(|test| is_met(&before, test) != is_met(&book, test))
    }
}

#[test]
fn row_69_every_key_of_the_schema_turns_a_decision() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules");
    let root = fs::read_to_string(rules.join("trust-root.yaml")).unwrap();
    let root = TrustRoot::parse("trust-root.yaml", &root).unwrap();
    let mut open = documented();
    assert!(open.len() > 40 && open.contains("source/reviewed/by"), "{open:?}");
    let mut folders: Vec<_> = fs::read_dir(&rules).unwrap().map(|e| e.unwrap().path()).collect();
    folders.retain(|path| path.is_dir());
    folders.push(rules.join("../documented"));
    folders.sort();
    for folder in folders {
        let golden = Golden::read(&folder);
        let book = golden.book("", "").unwrap();
        for test in &golden.tests.tests {
            assert_eq!(test.run(&book, &root).difference, None, "{}: {}", folder.display(), test.name);
        }
        for (file, text) in &golden.files {
            let node = Node::parse(file, text).unwrap();
            let Value::Map(entries) = &node.value else { panic!("{file}") };
            let field =
                |name: &str| entries.iter().find(|(key, _)| key.string().ok() == Some(name)).map(|(_, v)| v);
            let environment = field("environment").unwrap().string().unwrap();
            let Some(require) = field("require") else { continue };
            for (key, other) in others(require, "") {
                let changed = Node {
                    place: node.place.clone(),
                    value: Value::Map(
                        entries
                            .iter()
                            .map(|(name, value)| {
                                (
                                    name.clone(),
                                    if std::ptr::eq(value, require) { other.clone() } else { value.clone() },
                                )
                            })
                            .collect(),
                    ),
                };
                if open.contains(&key) && golden.turns(&root, environment, file, &write(&changed)) {
                    // what holds a key that turns is read, too
                    open.retain(|known| *known != key && !key.starts_with(&format!("{known}/")));
                }
            }
        }
    }
    assert!(open.is_empty(), "documented, and no golden case turns by it alone: {open:#?}");
}
