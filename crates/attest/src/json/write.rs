//! Value to text: one compact form, one for people. Both are deterministic.

use std::fmt;

use super::{Json, Object};

impl fmt::Display for Json {
    /// The compact form: no white space, keys in their order.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        write(&mut out, self, None, 0);
        f.write_str(&out)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        write_object(&mut out, self, None, 0);
        f.write_str(&out)
    }
}

impl Json {
    /// The form for people: two spaces a level.
    #[must_use]
    pub fn pretty(&self) -> String {
        let mut out = String::new();
        write(&mut out, self, Some(2), 0);
        out
    }
}

fn write(out: &mut String, value: &Json, indent: Option<usize>, level: usize) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(true) => out.push_str("true"),
        Json::Bool(false) => out.push_str("false"),
        Json::Int(number) => out.push_str(&number.to_string()),
        Json::Number(number) => out.push_str(number.text()),
        Json::String(text) => write_string(out, text),
        Json::Array(items) if items.is_empty() => out.push_str("[]"),
        Json::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                separate(out, index, indent, level + 1);
                write(out, item, indent, level + 1);
            }
            line(out, indent, level);
            out.push(']');
        }
        Json::Object(object) => write_object(out, object, indent, level),
    }
}

fn write_object(out: &mut String, object: &Object, indent: Option<usize>, level: usize) {
    if object.is_empty() {
        out.push_str("{}");
        return;
    }
    out.push('{');
    for (index, (key, value)) in object.iter().enumerate() {
        separate(out, index, indent, level + 1);
        write_string(out, key);
        out.push_str(if indent.is_some() { ": " } else { ":" });
        write(out, value, indent, level + 1);
    }
    line(out, indent, level);
    out.push('}');
}

fn separate(out: &mut String, index: usize, indent: Option<usize>, level: usize) {
    if index > 0 {
        out.push(',');
    }
    line(out, indent, level);
}

fn line(out: &mut String, indent: Option<usize>, level: usize) {
    if let Some(width) = indent {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', width * level));
    }
}

/// Escapes as RFC 8785 does: the short forms where there are some, `\u00xx` for other control characters.
fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}
