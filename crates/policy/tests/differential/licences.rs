//! SPDX expressions for the reference evaluator, as far as the model has them: words, exceptions, AND, OR, brackets.
//! As independent of the engine, and of the library that it uses.

/// Whether what a part says of its licence can be met by licences that are wanted. What cannot be read cannot.
pub fn is_met(expression: &str, is_wanted: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let met = any(&mut rest, is_wanted);
    met == Some(true) && rest.is_empty()
}

/// AND binds more closely than OR. None: it cannot be read.
fn any(rest: &mut &[&str], is_wanted: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut met = all(rest, is_wanted)?;
    while take(rest, "OR") {
        met |= all(rest, is_wanted)?;
    }
    Some(met)
}

fn all(rest: &mut &[&str], is_wanted: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut met = one(rest, is_wanted)?;
    while take(rest, "AND") {
        met &= one(rest, is_wanted)?;
    }
    Some(met)
}

fn one(rest: &mut &[&str], is_wanted: &dyn Fn(&str) -> bool) -> Option<bool> {
    if take(rest, "(") {
        let met = any(rest, is_wanted)?;
        return take(rest, ")").then_some(met);
    }
    let (licence, after) = rest.split_first()?;
    *rest = after;
    if take(rest, "WITH") {
        let (exception, after) = rest.split_first()?;
        *rest = after;
        return Some(is_wanted(&format!("{licence} WITH {exception}")));
    }
    Some(is_wanted(licence))
}

fn take(rest: &mut &[&str], word: &str) -> bool {
    match rest.split_first() {
        Some((first, after)) if *first == word => *rest = after,
        _ => return false,
    }
    true
}

/// Without the exception, `-only`, `-or-later` or `+`: none of them makes another licence of it.
pub fn plain(licence: &str) -> &str {
    let (name, _) = licence.split_once(" WITH ").unwrap_or((licence, ""));
    let name = name.strip_suffix("-only").or_else(|| name.strip_suffix("-or-later")).unwrap_or(name);
    name.strip_suffix('+').unwrap_or(name)
}
