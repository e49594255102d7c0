//! Secrets inside one text: a command, a URI, a DSN, a file of settings. Only the secret goes; what is around it stays.

use super::{REDACTED, is_marked, is_secret_name, is_token, with_option};

/// Texts that are still changing after so many rounds are replaced as a whole.
const ROUNDS: usize = 6;

/// Replaces every secret in a text.
///
/// Every round is repeated until nothing changes: a recorded case is redacted again when it is read, and other bytes
/// than those that were recorded would be another case.
pub(super) fn redact_text(text: &mut String) {
    if is_plain(text) {
        return;
    }
    for _ in 0..ROUNDS {
        let next = round(text);
        if next == *text {
            return;
        }
        *text = next;
    }
    REDACTED.clone_into(text);
}

/// Whether no round can change a text. All that any of them changes has a space, or another sign that is looked for here;
/// or it is a token. Most texts of a request have none, and are looked at once.
pub(super) fn is_plain(text: &str) -> bool {
    let may_tell = |byte| matches!(byte, 0..=b' ' | b'"' | b'=' | b'@' | 0x80..);
    !text.bytes().any(may_tell) && !text.split(ends_token).any(is_token)
}

pub(super) fn round(text: &str) -> String {
    if is_marked(text) {
        return REDACTED.to_owned();
    }
    let text = with_option(text, is_secret_name).unwrap_or_else(|| text.to_owned());
    tokens(&told(&quoted(&pairs(&credentials(&text)))))
}

/// A name as it stands before `=` or `:`.
fn last_name(text: &str) -> &str {
    let is_between = |c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    text.rsplit(is_between).next().unwrap_or("")
}

/// `NAME=value`: among a shell's words, in a query, in a file of settings.
fn pairs(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once('=') {
        out.push_str(before);
        out.push('=');
        rest = after;
        if is_secret_name(last_name(before)) {
            let (value, tail) = after.split_at(end_of_value(after));
            // base64 ends with `==`, and shells compare with it
            let is_value = !value.chars().all(|c| c == '=');
            out.push_str(if is_value { REDACTED } else { value });
            rest = tail;
        }
    }
    out + rest
}

/// Where a shell's word ends. A comma does not end it: half a password would stay.
fn end_of_value(text: &str) -> usize {
    let (mut quote, mut is_escaped) = (None, false);
    let mut is_end = |c: char| {
        if is_escaped {
            is_escaped = false;
            return false;
        }
        match (quote, c) {
            (_, '\\') => is_escaped = true,
            (Some(open), c) if open == c => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, c) => return c.is_whitespace() || matches!(c, ';' | '&' | '|'),
            _ => {}
        }
        false
    };
    text.char_indices().find(|(_, c)| is_end(*c)).map_or(text.len(), |(index, _)| index)
}

/// `"name":"value"`: JSON inside a text.
fn quoted(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once("\":") {
        out.push_str(before);
        out.push_str("\":");
        rest = after;
        let value = after.trim_start();
        if let Some(inside) = value.strip_prefix('"').filter(|_| is_secret_name(last_name(before))) {
            let (space, _) = after.split_at(after.len() - value.len());
            out.push_str(space);
            out.push('"');
            out.push_str(REDACTED);
            let (_, tail) = inside.split_at(end_of_string(inside));
            rest = tail;
        }
    }
    out + rest
}

fn end_of_string(text: &str) -> usize {
    let mut is_escaped = false;
    let mut is_end = |c: char| {
        let ends = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    };
    text.char_indices().find(|(_, c)| is_end(*c)).map_or(text.len(), |(index, _)| index)
}

/// A word that says what the next one is: `--password x`, `X-Api-Key: x`, `Bearer x`.
fn told(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut is_told, mut open) = (false, None);
    for piece in text.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        let (_, space) = piece.split_at(word.len());
        let says = says_what_follows(word) || (is_told && word.eq_ignore_ascii_case("basic"));
        if let Some(quote) = open {
            out.push_str(if word.is_empty() { word } else { REDACTED });
            open = (!word.ends_with(quote)).then_some(quote);
        } else if is_told && !says && !matches!(word, "" | "\\") {
            out.push_str(REDACTED);
            let quote = word.chars().next().filter(|c| matches!(c, '"' | '\''));
            open = quote.filter(|quote| word.len() == 1 || !word.ends_with(*quote));
            is_told = false;
        } else {
            out.push_str(word);
            is_told = says || (is_told && matches!(word, "" | "\\"));
        }
        // a line that ends after `password:` begins a map
        is_told = is_told && (word.ends_with('\\') || !space.contains('\n'));
        out.push_str(space);
    }
    out
}

fn says_what_follows(word: &str) -> bool {
    // JSON says where its string ends, and is read as such
    if word.ends_with("\":") {
        return false;
    }
    let word = word.trim_matches(['"', '\'', ',', '[', '(']);
    let is_header = word.strip_suffix(':').is_some_and(|name| is_secret_name(name.trim_matches(['"', '\''])));
    let scheme = word.rsplit(':').next().unwrap_or(word);
    let is_scheme = scheme.eq_ignore_ascii_case("bearer")
        || (scheme.len() < word.len() && scheme.eq_ignore_ascii_case("basic"));
    is_header || is_scheme || is_secret_flag(word)
}

/// Whether the word after this one is a secret. `-p` is not believed: it is a port, a path, a project or `mkdir -p` more
/// often than a password, and what a person reads of a command would be gone.
pub(super) fn is_secret_flag(word: &str) -> bool {
    let name = word.trim_start_matches('-');
    name.len() < word.len() && name.len() > 2 && !word.contains(['=', ':']) && is_secret_name(name)
}

/// `user:password@` before a host.
fn credentials(text: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>');
    let each = |piece: &str| if piece.contains("://") { of_uris(piece) } else { of_dsn(piece) };
    text.split_inclusive(is_end).map(each).collect()
}

fn of_uris(text: &str) -> String {
    let mut parts = text.split("://");
    let first = parts.next().unwrap_or("").to_owned();
    parts.fold(first, |out, part| format!("{out}://{}", of_uri(part)))
}

/// What stands after a scheme.
fn of_uri(text: &str) -> String {
    let (authority, path) = text.split_at(text.find(['/', '?', '#']).unwrap_or(text.len()));
    if let Some((_, host)) = authority.rsplit_once('@') {
        let kept = is_digest(host);
        return if kept { text.to_owned() } else { format!("{REDACTED}@{host}{path}") };
    }
    // a password with a `/`, `?` or `#` of its own: no port is written with other signs than digits
    let is_user =
        |(user, port): (&str, &str)| !user.starts_with('[') && port.contains(|c: char| !c.is_ascii_digit());
    match path.rsplit_once('@') {
        Some((_, host)) if authority.split_once(':').is_some_and(is_user) && !is_digest(host) => {
            format!("{REDACTED}@{host}")
        }
        _ => text.to_owned(),
    }
}

/// `user:password@tcp(db)/x`, `user:password@db:5432/x`. Not `shop:1@sha256:…`, and not `oidc:bob@example.com`.
fn of_dsn(text: &str) -> String {
    // found once: a tenant may send a megabyte of `@`
    let Some((user, _)) = text.split_once(':') else { return text.to_owned() };
    let slash = text.find('/').unwrap_or(text.len());
    let is_after = |index: usize| index > user.len();
    let split = text.rmatch_indices('@').filter(|(index, _)| is_after(*index)).find_map(|(index, _)| {
        let (_, right) = text.split_at(index);
        (is_call(right) || (index < slash && is_host(right))).then_some((user, right))
    });
    let Some((user, right)) = split else { return text.to_owned() };
    match user.rsplit_once('=') {
        Some((option, _)) => format!("{option}={REDACTED}{right}"),
        None => format!("{REDACTED}{right}"),
    }
}

/// `@tcp(`.
fn is_call(text: &str) -> bool {
    let text = text.strip_prefix('@').unwrap_or(text);
    let after = text.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
    after.len() < text.len() && after.starts_with('(')
}

/// `@host/` or `@host:1234`.
fn is_host(text: &str) -> bool {
    let text = text.strip_prefix('@').unwrap_or(text);
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let after = text.trim_start_matches(is_name);
    let port = |rest: &str| {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        (1..=5).contains(&digits) && !rest.chars().nth(digits).is_some_and(char::is_alphanumeric)
    };
    !is_digest(text) && (after.starts_with('/') || after.strip_prefix(':').is_some_and(port))
}

fn is_digest(text: &str) -> bool {
    ["sha256:", "sha384:", "sha512:"].iter().any(|algorithm| text.starts_with(algorithm))
}

/// Tokens that say by their beginning whose they are.
fn tokens(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for piece in text.split_inclusive(ends_token) {
        let word = piece.trim_end_matches(ends_token);
        let (_, end) = piece.split_at(word.len());
        out.push_str(if is_token(word) { REDACTED } else { word });
        out.push_str(end);
    }
    out
}

fn ends_token(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '"' | '\'' | '`' | '=' | ',' | '/' | ':' | ';' | '&' | '|' | '?' | '@' | '(' | ')')
}
