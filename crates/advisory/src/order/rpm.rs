//! Red Hat, SUSE and their kin: `[epoch:]version[-release]`, each part by `rpmvercmp`.

use super::number::{Number, digits, span};

/// A version of rpm, as it is ordered. A version without a release comes before every release of it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    epoch: Number,
    version: Vec<Token>,
    release: Option<Vec<Token>>,
}

/// In the order of `rpmvercmp`: a tilde comes before an end, a caret right after it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Token {
    Tilde,
    End,
    Caret,
    Letters(String),
    Number(Number),
}

pub(super) fn key(text: &str) -> (Key, bool) {
    let text = text.trim();
    let epoch = text.split_once(':').and_then(|(epoch, rest)| Some((Number::read(epoch)?, rest)));
    let (epoch, rest) = epoch.unwrap_or((Number::default(), text));
    let (version, release) = rest.split_once('-').map_or((rest, None), |(v, r)| (v, Some(r)));
    let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+~^".contains(&b));
    let is_read = version.bytes().any(|b| b.is_ascii_alphanumeric())
        && is_plain(version)
        && release.is_none_or(is_plain);
    (Key { epoch, version: tokens(version), release: release.map(tokens) }, is_read)
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (token, after) = match first {
            '~' => (Some(Token::Tilde), rest.strip_prefix('~').unwrap_or_default()),
            '^' => (Some(Token::Caret), rest.strip_prefix('^').unwrap_or_default()),
            c if c.is_ascii_digit() => {
                let (number, after) = digits(rest);
                (Number::read(number).map(Token::Number), after)
            }
            c if c.is_ascii_alphabetic() => {
                let (letters, after) = span(rest, |c| c.is_ascii_alphabetic());
                (Some(Token::Letters(letters.to_owned())), after)
            }
            _ => (None, span(rest, |c| !c.is_ascii_alphanumeric() && !matches!(c, '~' | '^')).1),
        };
        tokens.extend(token);
        rest = after;
    }
    tokens.push(Token::End);
    tokens
}
