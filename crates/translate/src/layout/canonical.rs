//! OLPC's canonical JSON: the bytes that the signatures of the old form cover.
//!
//! Keys sorted by code point, no white space, and in strings only `"` and `\` escaped. Our parser refuses duplicate keys
//! and fractions, so one document has exactly one canonical form.

use attest::{Json, Object};

/// The canonical bytes; nothing for a number that the form does not have.
#[must_use]
pub fn canonical(value: &Json) -> Option<Vec<u8>> {
    let mut out = String::new();
    write(&mut out, value)?;
    Some(out.into_bytes())
}

fn write(out: &mut String, value: &Json) -> Option<()> {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Json::Int(number) => out.push_str(&number.to_string()),
        Json::Number(_) => return None,
        Json::String(text) => string(out, text),
        Json::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(out, item)?;
            }
            out.push(']');
        }
        Json::Object(object) => map(out, object)?,
    }
    Some(())
}

fn map(out: &mut String, object: &Object) -> Option<()> {
    let mut pairs: Vec<(&str, &Json)> = object.iter().collect();
    // UTF-8 sorts as its code points do
    pairs.sort_by_key(|(key, _)| *key);
    out.push('{');
    for (index, (key, value)) in pairs.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        string(out, key);
        out.push(':');
        write(out, value)?;
    }
    out.push('}');
    Some(())
}

fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_and_only_two_characters_escaped() {
        let value =
            attest::json::parse(br#"{"b": [1, -2, null], "a": "q\"\\\n\u00e9/", "B": {"x": true}}"#).unwrap();
        let bytes = canonical(&value).unwrap();
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "{\"B\":{\"x\":true},\"a\":\"q\\\"\\\\\né/\",\"b\":[1,-2,null]}"
        );
    }
}
