//! A component by the place where its registry serves it: our own provenance names inputs by their URIs.

use crate::component::Component;
use crate::purl::decode;

/// The component behind a registry's URI; nothing where the URI is of no registry that is known.
pub(super) fn component(uri: &str) -> Option<Component> {
    let rest = uri.strip_prefix("https://")?;
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let (host, path) = rest.split_once('/')?;
    let path = decode(path).ok()?;
    match host {
        "static.crates.io" | "crates.io" => crates(&path),
        "registry.npmjs.org" => npm(&path),
        "proxy.golang.org" => go(&path),
        "files.pythonhosted.org" => python(path.rsplit('/').next()?),
        "rubygems.org" => gem(path.rsplit('/').next()?),
        "repo1.maven.org" | "repo.maven.apache.org" => maven(&path),
        _ if path.ends_with(".deb") || path.ends_with(".dsc") => debian(host, &path),
        _ => None,
    }
}

/// `crates/NAME/NAME-VERSION.crate`.
fn crates(path: &str) -> Option<Component> {
    let (folder, file) = path.rsplit_once('/')?;
    let name = folder.rsplit('/').next()?;
    let version = file.strip_prefix(name)?.strip_prefix('-')?.strip_suffix(".crate")?;
    Some(Component::package("crates.io", name, version))
}

/// `NAME/-/BASE-VERSION.tgz`.
fn npm(path: &str) -> Option<Component> {
    let (name, file) = path.split_once("/-/")?;
    let base = name.rsplit('/').next()?;
    let version = file.strip_prefix(base)?.strip_prefix('-')?.strip_suffix(".tgz")?;
    Some(Component::package("npm", name, version))
}

/// `MODULE/@v/VERSION.zip`; a go.mod file is no code.
fn go(path: &str) -> Option<Component> {
    let (module, file) = path.split_once("/@v/")?;
    let version = unescaped(file.strip_suffix(".zip")?);
    Some(Component::package("Go", &unescaped(module), &version))
}

/// The proxy protocol writes an upper-case letter as `!` and its lower-case one.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('!');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut characters = part.chars();
        out.extend(characters.next().map(|c| c.to_ascii_uppercase()));
        out.push_str(characters.as_str());
    }
    out
}

/// `NAME-VERSION-….whl` or `NAME-VERSION.tar.gz`.
fn python(file: &str) -> Option<Component> {
    if let Some(stem) = file.strip_suffix(".whl") {
        let mut parts = stem.split('-');
        let (name, version) = (parts.next()?, parts.next()?);
        return Some(Component::package("PyPI", name, version));
    }
    let stem = [".tar.gz", ".tar.bz2", ".zip"].into_iter().find_map(|end| file.strip_suffix(end))?;
    let (name, version) = stem.rsplit_once('-')?;
    Some(Component::package("PyPI", name, version))
}

/// `NAME-VERSION.gem`, or with a platform behind it.
fn gem(file: &str) -> Option<Component> {
    let stem = file.strip_suffix(".gem")?;
    let is_version =
        |at: &usize| stem.get(at + 1..).is_some_and(|v| v.starts_with(|c: char| c.is_ascii_digit()));
    let at = stem.match_indices('-').map(|(at, _)| at).find(is_version)?;
    let version = stem.get(at + 1..)?.split('-').next()?;
    Some(Component::package("RubyGems", stem.get(..at)?, version))
}

/// `maven2/GROUP/ARTIFACT/VERSION/FILE`.
fn maven(path: &str) -> Option<Component> {
    let mut parts: Vec<&str> = path.strip_prefix("maven2/")?.split('/').collect();
    let _file = parts.pop()?;
    let (version, artifact) = (parts.pop()?, parts.pop()?);
    (!parts.is_empty())
        .then(|| Component::package("Maven", &format!("{}:{artifact}", parts.join(".")), version))
}

/// `…/pool/main/o/openssl/libssl3_3.0.11-1_amd64.deb`: the folder is the source package, of which advisories speak. The
/// file's name lacks the epoch; matching knows that a version without one is not sure to be older.
fn debian(host: &str, path: &str) -> Option<Component> {
    let (_, pool) = path.split_once("pool/")?;
    let parts: Vec<&str> = pool.split('/').collect();
    let [_, _, source, file] = parts.as_slice() else { return None };
    let mut words = file.split('_');
    let (name, version) = (words.next()?, words.next()?);
    let version = version.strip_suffix(".dsc").unwrap_or(version);
    let is_ubuntu = host.ends_with("ubuntu.com") || path.starts_with("ubuntu/");
    let family = if is_ubuntu { "Ubuntu" } else { "Debian" };
    let source = Some(((*source).to_owned(), None));
    Some(Component { source, ..Component::package(family, name, version) })
}
