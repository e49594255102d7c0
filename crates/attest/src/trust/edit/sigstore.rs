//! A Sigstore instance in the text: its trusted root as lines that people can compare, where the layout lets it have some.

use super::EditError;
use super::lines::Text;
use super::places::{field, quoted};
use crate::sigstore::Instance;
use crate::yaml::Node;

/// Adds an instance, or puts another trusted root in the place of its old one.
pub(super) fn set(text: &mut Text<'_>, root: &Node, instance: &Instance) -> Result<(), EditError> {
    let name = instance.name();
    let Some(section) = field(root, "sigstore") else {
        let lines =
            [vec![format!("  {name}:"), "    trusted-root: |".to_owned()], indented(instance, 6)].concat();
        return text.add_block(root, "sigstore:", &lines);
    };
    let Some(map) = field(section, name) else {
        if text.is_flow(section) {
            let value = on_one_line(instance);
            return text.add_field(section, &format!("{name}: {{ trusted-root: {value} }}"));
        }
        let lines = [vec!["  trusted-root: |".to_owned()], indented(instance, 4)].concat();
        return text.add_block(section, &format!("{name}:"), &lines);
    };
    let old = field(map, "trusted-root").ok_or_else(|| EditError::Layout(map.place.clone()))?;
    if text.is_flow(map) || text.is_flow(section) {
        return text.set_scalar(old, &on_one_line(instance));
    }
    text.set_block(map, old, &indented(instance, 2))
}

fn indented(instance: &Instance, by: usize) -> Vec<String> {
    let pad = " ".repeat(by);
    instance.text().lines().map(|line| format!("{pad}{line}")).collect()
}

/// The text in double quotes: between braces there is no room for lines.
fn on_one_line(instance: &Instance) -> String {
    quoted(instance.text()).replace('\n', "\\n")
}
