//! Objects to YAML that a person reviews, and that every YAML reader reads the same way.

use attest::Json;

/// Words and numbers that some reader takes for something else than text.
const WORDS: [&str; 11] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "~", ""];

/// One object as a YAML document.
#[must_use]
pub fn document(object: &Json) -> String {
    let mut out = String::new();
    block(&mut out, object, 0);
    out
}

/// Objects as one file.
#[must_use]
pub fn documents(objects: &[Json]) -> String {
    objects.iter().map(document).collect::<Vec<_>>().join("---\n")
}

fn block(out: &mut String, value: &Json, indent: usize) {
    match value {
        Json::Object(object) if !object.is_empty() => {
            for (key, value) in object.iter() {
                out.push_str(&format!("{:indent$}{}:", "", plain(key)));
                below(out, value, indent);
            }
        }
        Json::Array(items) if !items.is_empty() => {
            for item in items {
                let mut text = String::new();
                block(&mut text, item, indent + 2);
                let text = text.strip_prefix(&" ".repeat(indent + 2)).unwrap_or(&text);
                out.push_str(&format!("{:indent$}- {text}", ""));
            }
        }
        other => out.push_str(&format!("{:indent$}{}\n", "", inline(other))),
    }
}

/// What stands after a key.
fn below(out: &mut String, value: &Json, indent: usize) {
    match value {
        Json::Object(object) if !object.is_empty() => {
            out.push('\n');
            block(out, value, indent + 2);
        }
        Json::Array(items) if !items.is_empty() => {
            out.push('\n');
            block(out, value, indent + 2);
        }
        Json::String(text) if is_page(text) => page(out, text, indent + 2),
        other => out.push_str(&format!(" {}\n", inline(other))),
    }
}

fn inline(value: &Json) -> String {
    match value {
        Json::String(text) => plain(text),
        other => other.to_string(),
    }
}

/// A text without quotes where that cannot be read as anything else.
fn plain(text: &str) -> String {
    let mut bytes = text.bytes();
    let starts = bytes.next().is_some_and(|b| b.is_ascii_alphabetic());
    let goes_on = bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'/' | b'-'));
    let is_word = WORDS.contains(&text.to_ascii_lowercase().as_str());
    if starts && goes_on && !is_word { text.to_owned() } else { Json::from(text).to_string() }
}

/// Whether a text of several lines can stand as it is.
fn is_page(text: &str) -> bool {
    let is_odd = |c: char| c.is_control() && c != '\n' || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
    text.trim_end_matches('\n').contains('\n')
        && !text.starts_with([' ', '\n'])
        && !text.ends_with("\n\n")
        && !text.contains(is_odd)
        && text.lines().all(|line| !line.ends_with(' '))
}

fn page(out: &mut String, text: &str, indent: usize) {
    out.push_str(if text.ends_with('\n') { " |\n" } else { " |-\n" });
    for line in text.lines() {
        if line.is_empty() {
            out.push('\n');
        } else {
            out.push_str(&format!("{:indent$}{line}\n", ""));
        }
    }
}
