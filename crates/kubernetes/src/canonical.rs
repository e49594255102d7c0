//! One text for one value: RFC 8785, except that numbers stay as the API server wrote them.
//!
//! Keys are sorted by UTF-16 code units, there is no white space, and strings are escaped as RFC 8785 says. A number
//! that is no integer of 53 bits is not rounded to a double, as the RFC would have it: the text of the API server, which
//! has one spelling for one value, stands.

use attest::{Json, Object};

/// The canonical text of a value.
#[must_use]
pub fn canonical(value: &Json) -> String {
    sorted(value).to_string()
}

fn sorted(value: &Json) -> Json {
    match value {
        Json::Object(object) => {
            let mut pairs: Vec<(&str, &Json)> = object.iter().collect();
            pairs.sort_by(|a, b| a.0.encode_utf16().cmp(b.0.encode_utf16()));
            // one by one under known-new keys would be quadratic in a map of ten thousand annotations
            Json::Object(Object::from_unique(pairs.into_iter().map(|(k, v)| (k.to_owned(), sorted(v)))))
        }
        Json::Array(items) => Json::Array(items.iter().map(sorted).collect()),
        Json::Null | Json::Bool(_) | Json::Int(_) | Json::Number(_) | Json::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use attest::json::{Limits, parse_with};

    #[test]
    fn order_and_spelling_of_keys_do_not_matter_and_of_numbers_do() {
        let text = |t: &str| canonical(&parse_with(t.as_bytes(), Limits::default().exact()).unwrap());
        assert_eq!(text(r#"{"b":1,"a":{"d":[2,1],"c":"é"}}"#), r#"{"a":{"c":"é","d":[2,1]},"b":1}"#);
        assert_eq!(text(r#"{"\u0061":1.50}"#), r#"{"a":1.50}"#);
        assert_ne!(text(r#"{"a":1.5}"#), text(r#"{"a":"1.5"}"#));
        // RFC 8785, section 3.2.3: UTF-16 puts the astral character before the private-use one
        assert_eq!(text("{\"\u{fb33}\":1,\"\u{1f600}\":2}"), "{\"\u{1f600}\":2,\"\u{fb33}\":1}");
    }
}
