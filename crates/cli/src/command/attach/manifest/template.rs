//! Where Pod templates stand in a manifest, what images they use, and what a manifest says apart from its layout.

use std::collections::BTreeMap;

use attest::yaml::{Node, Value};

const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];
/// Lists of lists of objects are no manifest.
const MAX_LISTS: usize = 4;

/// One step from a value to one in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(&'static str),
    Item(usize),
}

/// A Pod, or the template of Pods.
pub(super) struct Template<'a> {
    /// For people, as in `Deployment shop/web`.
    pub(super) name: String,
    pub(super) node: &'a Node,
    /// The key that the template stands under; a Pod stands under none.
    pub(super) key: Option<&'a Node>,
    /// From the document to the template.
    pub(super) path: Vec<Step>,
}

pub(super) fn pairs(node: &Node) -> &[(Node, Node)] {
    match &node.value {
        Value::Map(pairs) => pairs,
        _ => &[],
    }
}

fn items(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(items) => items,
        _ => &[],
    }
}

pub(super) fn text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, .. } => Some(text),
        _ => None,
    }
}

/// The pair of a key in a map.
pub(super) fn pair<'a>(node: &'a Node, key: &str) -> Option<&'a (Node, Node)> {
    pairs(node).iter().find(|(k, _)| text(k) == Some(key))
}

fn get<'a>(node: &'a Node, path: &[&str]) -> Option<&'a Node> {
    path.iter().try_fold(node, |node, key| pair(node, key).map(|(_, value)| value))
}

/// Every template of a document.
pub(super) fn all(root: &Node) -> Vec<Template<'_>> {
    let mut found = Vec::new();
    collect(root, &[], 0, &mut found);
    found
}

fn collect<'a>(object: &'a Node, path: &[Step], depth: usize, found: &mut Vec<Template<'a>>) {
    let kind = get(object, &["kind"]).and_then(text).unwrap_or("an object without kind");
    if kind.ends_with("List") && depth < MAX_LISTS {
        let list = get(object, &["items"]).map(items).unwrap_or_default();
        for (number, item) in list.iter().enumerate() {
            let path = [path, &[Step::Key("items"), Step::Item(number)]].concat();
            collect(item, &path, depth + 1, found);
        }
        return;
    }
    let below: &[&'static str] = match kind {
        "Pod" => &[],
        "PodTemplate" => &["template"],
        "CronJob" => &["spec", "jobTemplate", "spec", "template"],
        // also what other projects define after their likeness
        _ => &["spec", "template"],
    };
    let Some(node) = get(object, below) else { return };
    let key = below.split_last().and_then(|(last, before)| Some(&pair(get(object, before)?, last)?.0));
    let word = |field| get(object, &["metadata", field]).and_then(text);
    let namespace = word("namespace").map(|n| format!("{n}/")).unwrap_or_default();
    let name =
        format!("{kind} {namespace}{}", word("name").or(word("generateName")).unwrap_or("without a name"));
    let path = path.iter().cloned().chain(below.iter().map(|key| Step::Key(key))).collect();
    found.push(Template { name, node, key, path });
}

impl<'a> Template<'a> {
    /// The images of its containers, and of its volumes.
    pub(super) fn images(&self) -> Vec<&'a str> {
        let Some(spec) = get(self.node, &["spec"]) else { return Vec::new() };
        let lists = CONTAINERS.into_iter().filter_map(|list| get(spec, &[list]));
        let containers = lists.flat_map(items).filter_map(|c| get(c, &["image"]));
        let volumes = get(spec, &["volumes"]).map(items).unwrap_or_default();
        let mounted = volumes.iter().filter_map(|v| get(v, &["image", "reference"]));
        containers.chain(mounted).filter_map(text).collect()
    }

    /// What an annotation says.
    pub(super) fn annotation(&self, name: &str) -> Option<&'a str> {
        get(self.node, &["metadata", "annotations", name]).and_then(text)
    }
}

/// What a document says, apart from its layout: no places, no order of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    /// The characters, and whether they could be read as something else than text.
    Scalar(String, bool),
    List(Vec<Tree>),
    Map(BTreeMap<String, Tree>),
}

impl Tree {
    pub(super) fn of(node: &Node) -> Self {
        match &node.value {
            Value::Scalar { text, plain } => Self::Scalar(text.clone(), *plain),
            Value::List(items) => Self::List(items.iter().map(Self::of).collect()),
            Value::Map(pairs) => {
                let named = |(key, value): &(Node, Node)| Some((text(key)?.to_owned(), Self::of(value)));
                Self::Map(pairs.iter().filter_map(named).collect())
            }
        }
    }

    /// Says the annotation of the template at a path; nothing where there is no place for it.
    pub(super) fn annotate(&mut self, path: &[Step], name: &str, value: &str) -> Option<()> {
        let template = path.iter().try_fold(self, |tree, step| match (tree, step) {
            (Self::Map(map), Step::Key(key)) => map.get_mut(*key),
            (Self::List(items), Step::Item(number)) => items.get_mut(*number),
            _ => None,
        })?;
        let annotations = template.field("metadata")?.field("annotations")?;
        let Self::Map(map) = annotations else { return None };
        map.insert(name.to_owned(), Self::Scalar(value.to_owned(), false));
        Some(())
    }

    /// A map in this map, made where it is absent.
    fn field(&mut self, key: &str) -> Option<&mut Self> {
        match self {
            Self::Map(map) => Some(map.entry(key.to_owned()).or_insert_with(|| Self::Map(BTreeMap::new()))),
            _ => None,
        }
    }
}
