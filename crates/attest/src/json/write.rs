//! Value to text: one compact form, one for people. Both are deterministic.

use std::fmt;

use super::parse::plain_run;
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

/// Escapes as RFC 8785 does: the short forms where there are some, `\u00xx` for other control characters. What needs none
/// is copied in runs.
fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    loop {
        // INVARIANT: a run ends before an ASCII byte or at the end, which are character boundaries
        let (run, after) = rest.split_at_checked(plain_run(rest.as_bytes())).unwrap_or((rest, ""));
        out.push_str(run);
        let mut chars = after.chars();
        match chars.next() {
            None => break,
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\u{8}') => out.push_str("\\b"),
            Some('\u{c}') => out.push_str("\\f"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
        rest = chars.as_str();
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_written_so_that_it_is_read_back_wherever_it_stands() {
        for before in 0..20 {
            for c in (0..0x300).filter_map(char::from_u32).chain(['\u{2028}', '\u{ffff}', '\u{1f600}']) {
                let text = format!("{}{c}é{c}{c}", "x".repeat(before));
                let written = Json::from(text.as_str()).to_string();
                let is_short = matches!(c, '"' | '\\' | '\u{8}' | '\u{c}' | '\n' | '\r' | '\t');
                let each = if is_short {
                    2
                } else if u32::from(c) < 0x20 {
                    6
                } else {
                    c.len_utf8()
                };
                assert_eq!(written.len(), before + 2 + 2 + 3 * each, "{written}");
                assert_eq!(super::super::parse(written.as_bytes()).unwrap(), Json::String(text));
            }
        }
    }
}
