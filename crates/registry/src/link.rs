//! The `Link` header by which a list goes on (RFC 8288), as far as registries write it.

/// The target of the relation `next`; nothing where there is none.
///
/// # Errors
/// Where the header is none, or names two next pages.
pub(crate) fn next(header: &str) -> Result<Option<String>, &'static str> {
    let mut found = None;
    let mut rest = header.trim();
    while !rest.is_empty() {
        let inner = rest.strip_prefix('<').ok_or("a Link header that is none")?;
        let (target, after) = inner.split_once('>').ok_or("a Link header that is none")?;
        let (parameters, following) = split(after);
        if is_next(parameters) && found.replace(target.to_owned()).is_some() {
            return Err("two next pages");
        }
        rest = following.trim();
    }
    Ok(found)
}

/// Parameters up to the comma that ends them, and what follows it; a comma in quotes ends nothing.
fn split(text: &str) -> (&str, &str) {
    let mut is_quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => {
                return (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
            }
            _ => {}
        }
    }
    (text, "")
}

fn is_next(parameters: &str) -> bool {
    parameters.split(';').filter_map(|p| p.split_once('=')).any(|(key, value)| {
        key.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found() {
        for (header, wanted) in [
            ("", Ok(None)),
            (r#"</v2/a?n=1&last=b>; rel="next""#, Ok(Some("/v2/a?n=1&last=b"))),
            (r#"</v2/a?n=1>;rel=next"#, Ok(Some("/v2/a?n=1"))),
            (r#"</p>; rel="prev"; title="a, b", </n>; rel="next""#, Ok(Some("/n"))),
            (r#"</p>; rel="prev""#, Ok(None)),
            (r#"</a>; rel=next, </b>; rel=next"#, Err("two next pages")),
            ("nonsense", Err("a Link header that is none")),
            ("</a", Err("a Link header that is none")),
        ] {
            assert_eq!(next(header).as_ref().map(Option::as_deref).map_err(|e| *e), wanted, "{header}");
        }
    }
}
