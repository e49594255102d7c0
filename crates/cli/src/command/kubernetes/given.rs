//! What cannot be right about arguments, said before anything is written: a cluster would say it late, or never.

use crate::failure::Failure;

fn refused(message: &str, wanted: &str, found: &str, fix: &str) -> Failure {
    let failure = Failure::new(message).code("manifests-refused");
    failure.line("wanted", wanted).line("found", found).line("fix", fix)
}

/// A namespace's name, as the API server takes it.
pub(super) fn namespace(option: &str, name: &str) -> Result<(), Failure> {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_name = (1..=63).contains(&name.len()) && name.chars().all(is_inner);
    if is_name && !name.starts_with('-') && !name.ends_with('-') {
        return Ok(());
    }
    let message = format!("{option} is no namespace's name");
    let wanted = "at most 63 lower-case letters, digits and `-`, as in portcullis";
    Err(refused(&message, wanted, &format!("{name:?}"), "write the name of one namespace"))
}

/// As the chart's schema takes it too.
pub(super) fn storage(size: &str) -> Result<(), Failure> {
    let number = ["Mi", "Gi", "Ti"].iter().find_map(|unit| size.strip_suffix(unit)).unwrap_or_default();
    let is_number = number.chars().all(|c| c.is_ascii_digit());
    if is_number && !number.is_empty() && !number.starts_with('0') {
        return Ok(());
    }
    let wanted = "a whole number with Mi, Gi or Ti, as in 10Gi";
    Err(refused(
        "--storage is no size of a volume",
        wanted,
        &format!("{size:?}"),
        "write a size: --storage 10Gi",
    ))
}

/// The webhooks' own paths are put behind it, and the choke point answers at no others.
pub(super) fn url(url: &str) -> Result<(), Failure> {
    let fix = "leave out what stands behind the port";
    let wrong =
        |fix| refused("--url is no choke point's address", "https://HOST:PORT", &format!("{url:?}"), fix);
    let rest = url.strip_prefix("https://").ok_or_else(|| wrong("begin it with https://"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if !path.is_empty() || host.contains(['?', '#']) {
        return Err(wrong(fix));
    }
    if host.is_empty() || host.contains(['@', '\\']) || host.contains(char::is_whitespace) {
        return Err(wrong("write the host's name, and its port"));
    }
    Ok(())
}

/// An account that nobody has as it is written: a colon stands in the names of groups and of Kubernetes' own accounts.
pub(super) fn odd_account(option: &str, name: &str) -> Option<String> {
    let is_known = ["group:", "system:"].iter().any(|prefix| name.starts_with(prefix));
    (name.contains(':') && !is_known).then(|| {
        format!(
            "{option} {name} means a user of this very name; groups are group:NAME, service accounts \
                 system:serviceaccount:NAMESPACE:NAME"
        )
    })
}
