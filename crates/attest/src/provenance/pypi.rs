//! PyPI's publish attestation: a statement without a predicate. That it was published, by whom, and from where: all of it is
//! in the certificate.

use super::Provenance;
use crate::artifact::Artifact;
use crate::digest::Agreement;
use crate::statement::Statement;

/// The type of the statement.
pub const PYPI_PUBLISH: &str = "https://docs.pypi.org/attestations/publish/v1";

impl Provenance {
    /// What the statement says before the certificate is looked at: that it is one.
    #[must_use]
    pub(crate) fn of_pypi() -> Self {
        Self { format: "1.0".to_owned(), build_type: PYPI_PUBLISH.to_owned(), ..Self::default() }
    }
}

impl Statement {
    /// The package URLs under which it has the artifact among its subjects. They decide nothing: digests found the subject.
    #[must_use]
    pub fn packages(&self, artifact: &Artifact) -> Vec<String> {
        let is_it = |agreement: Agreement| agreement == Agreement::Same;
        let subjects = self.subjects.iter().filter(|s| is_it(s.digests.agrees(artifact.digests())));
        let package = |name: &str| match name {
            purl if purl.starts_with("pkg:") => Some(purl.to_owned()),
            file if self.predicate_type == PYPI_PUBLISH => package_of_file(file),
            _ => None,
        };
        subjects.filter_map(|subject| package(&subject.name)).collect()
    }
}

/// The package that a distribution file's name says (PyPA, "Binary distribution format", "Source distribution format").
fn package_of_file(file: &str) -> Option<String> {
    let (name, version) = match (file.strip_suffix(".whl"), file.strip_suffix(".tar.gz")) {
        (Some(wheel), _) => {
            let mut parts = wheel.split('-');
            (parts.next()?, parts.next()?)
        }
        (None, Some(source)) => source.rsplit_once('-')?,
        (None, None) => return None,
    };
    let mut normal = String::new();
    for piece in name.split(['-', '_', '.']).filter(|piece| !piece.is_empty()) {
        if !normal.is_empty() {
            normal.push('-');
        }
        normal.push_str(&piece.to_ascii_lowercase());
    }
    let is_whole = !normal.is_empty() && !version.is_empty();
    is_whole.then(|| format!("pkg:pypi/{normal}@{version}"))
}

#[cfg(test)]
mod tests {
    use super::package_of_file;

    #[test]
    fn a_distribution_file_names_its_package() {
        for (file, purl) in [
            ("rfc8785-0.1.2-py3-none-any.whl", Some("pkg:pypi/rfc8785@0.1.2")),
            ("gitlab_oidc_project-0.0.3.tar.gz", Some("pkg:pypi/gitlab-oidc-project@0.0.3")),
            ("Zope.Interface-6.0.tar.gz", Some("pkg:pypi/zope-interface@6.0")),
            ("shop.exe", None),
            ("-1.0.tar.gz", None),
        ] {
            assert_eq!(package_of_file(file).as_deref(), purl, "{file}");
        }
    }
}
