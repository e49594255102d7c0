//! A Kubernetes manifest gets its annotation: on the Pod templates that use the artifact, and everywhere else every byte
//! stays. What came out is read again and compared: it says what the old text said, and the annotation.

mod edit;
mod template;

use std::path::Path;

use attest::Digest;
use attest::yaml::Node;

use super::annotation::Annotation;
use crate::failure::Failure;
use crate::input;
use edit::Text;
use template::{Template, Tree};

/// A manifest with its annotations.
pub(crate) struct Edited {
    pub(crate) text: String,
    /// The templates that were annotated, in words.
    pub(crate) templates: Vec<String>,
}

pub(crate) fn edit(
    file: &Path,
    artifact: &Digest,
    tag: Option<&str>,
    annotation: &Annotation,
    replace: bool,
) -> Result<Edited, Failure> {
    let old = input::text("manifest", file)?;
    let name = file.display().to_string();
    let documents = documents(&name, &old)?;
    let uses = |image: &str| {
        image.rsplit_once('@').is_some_and(|(_, digest)| digest == artifact.to_string())
            || tag.is_some_and(|tag| image == tag)
    };
    let mut text = Text::new(&old);
    let (mut templates, mut images) = (Vec::new(), Vec::new());
    let mut wanted: Vec<Tree> = documents.iter().map(Tree::of).collect();
    for (document, tree) in documents.iter().zip(&mut wanted) {
        for template in template::all(document) {
            images.extend(template.images());
            if !template.images().iter().any(|image| uses(image)) {
                continue;
            }
            let standing = template.annotation(annotation.name()).filter(|_| !replace);
            let merged = annotation.after(standing)?;
            merged.check_size()?;
            let value = merged.value();
            let layout = || not_edited(file, &template, annotation, &value);
            text.annotate(&template, annotation.name(), &value).ok_or_else(layout)?;
            tree.annotate(&template.path, annotation.name(), &value).ok_or_else(layout)?;
            templates.push(template.name.clone());
        }
    }
    if templates.is_empty() {
        return Err(unused(file, artifact, tag, &images));
    }
    let text = text.finish();
    let found = self::documents(&name, &text).map(|d| d.iter().map(Tree::of).collect::<Vec<_>>());
    if !found.is_ok_and(|found| found == wanted) {
        return Err(Failure::new(&format!(
            "{} is laid out in a way that is not edited here",
            file.display()
        ))
        .line("found", "the changed text would not say exactly what the old one says and the annotation")
        .line("fix", &format!("write it by hand: {}: \"{}\"", annotation.name(), annotation.value())));
    }
    Ok(Edited { text, templates })
}

/// The documents of a file, each read strictly. Lines of three dashes stand between them.
fn documents(name: &str, text: &str) -> Result<Vec<Node>, Failure> {
    let mut documents = Vec::new();
    let mut lines: Vec<&str> = Vec::new();
    let mut before = 0;
    let all: Vec<&str> = text.split('\n').collect();
    for (number, line) in all.iter().enumerate().chain([(all.len(), &"---")]) {
        if line.trim_end() != "---" {
            lines.push(line);
            continue;
        }
        let says_something = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        if lines.iter().any(says_something) {
            // empty lines before it, so that errors name the line in the file
            let padded = "\n".repeat(before) + &lines.join("\n");
            let root =
                Node::parse(name, &padded).map_err(|e| Failure::load("manifest-unreadable", vec![e]))?;
            documents.push(root);
        }
        before = number + 1;
        lines.clear();
    }
    Ok(documents)
}

fn not_edited(file: &Path, template: &Template<'_>, annotation: &Annotation, value: &str) -> Failure {
    Failure::new(&format!(
        "{} in {} is laid out in a way that is not edited here",
        template.name,
        file.display()
    ))
    .line("wanted", "`metadata` and `annotations` as maps, and the annotation's value on one line")
    .line("fix", &format!("write it by hand: {}: \"{value}\"", annotation.name()))
}

fn unused(file: &Path, artifact: &Digest, tag: Option<&str>, images: &[&str]) -> Failure {
    let mut wanted = format!("an image with @{}", artifact);
    if let Some(tag) = tag {
        wanted.push_str(&format!(", or {tag}"));
    }
    let mut images: Vec<&str> = images.to_vec();
    images.sort_unstable();
    images.dedup();
    let found = if images.is_empty() { "no Pod template".to_owned() } else { images.join(", ") };
    Failure::new(&format!("no Pod template in {} uses the artifact", file.display()))
        .code("unused")
        .found()
        .line("wanted", &wanted)
        .line("found", &found)
        .line("fix", "write the image with its digest; or give --tag, where a choke point pins tags")
}
