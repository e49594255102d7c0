//! The canonical layout of a policy file: white space only. Comments, order and meaning stay as they are.

use attest::LoadError;
use attest::yaml::{Node, Value};

/// Lays a file out: spaces for line ends of other systems, no blanks at line ends, no two empty lines in a row, one
/// line end at the end. Twice is the same as once.
///
/// # Errors
/// [`LoadError`] where the text is not in the language, or would mean something else afterwards: then nothing is
/// changed.
pub fn format(file: &str, text: &str) -> Result<String, LoadError> {
    let before = Node::parse(file, text)?;
    let mut out = String::new();
    let mut empty = 0;
    for line in text.replace("\r\n", "\n").split('\n') {
        let line = line.trim_end();
        empty = if line.is_empty() { empty + 1 } else { 0 };
        if line.is_empty() && (empty > 1 || out.is_empty()) {
            continue;
        }
        out.push_str(line);
        out.push('\n');
    }
    let out = format!("{}\n", out.trim_end());
    let after = Node::parse(file, &out)?;
    if means_the_same(&before, &after) {
        Ok(out)
    } else {
        Err(LoadError::new(&before.place, "the file cannot be laid out without changing what it means")
            .fix("remove blanks at the ends of lines inside block texts by hand"))
    }
}

fn means_the_same(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (Value::Scalar { .. }, Value::Scalar { .. }) => a.value == b.value,
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| means_the_same(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            let same = |(x, y): (&(Node, Node), &(Node, Node))| {
                means_the_same(&x.0, &y.0) && means_the_same(&x.1, &y.1)
            };
            a.len() == b.len() && a.iter().zip(b).all(same)
        }
        _ => false,
    }
}
