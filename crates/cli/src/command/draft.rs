//! A translation on its way out: to the screen, or into a new folder that a person finishes and reviews.

use std::fs;
use std::path::Path;

use attest::{Json, Object};
use translate::{Draft, Effect};

use crate::failure::{Exit, Failure};
use crate::keys::{folder, write};
use crate::output::Output;

/// Tells a draft. Exit 1 where it lets in what the original refuses: then nobody can take it for the same.
pub(crate) fn tell(draft: &Draft, out: Option<&Path>, output: &Output) -> Result<Exit, Failure> {
    let mut human = String::new();
    match out {
        Some(dir) => {
            save(draft, dir)?;
            human.push_str(&format!(
                "wrote {}: trust-root.yaml and {} in book\n",
                dir.display(),
                count(draft)
            ));
            draft.untranslated.iter().for_each(|left| human.push_str(&format!("  {left}\n")));
        }
        None => {
            human.push_str(&format!("# file: trust-root.yaml\n{}", draft.trust_root));
            draft.policies.iter().for_each(|(name, text)| {
                human.push_str(&format!("---\n# file: book/{name}\n{text}"));
            });
            let in_policies: String = draft.policies.iter().map(|(_, text)| text.as_str()).collect();
            let elsewhere = draft.untranslated.iter().map(|left| format!("#   {left}\n"));
            let elsewhere: String = elsewhere.filter(|line| !in_policies.contains(line.as_str())).collect();
            if !elsewhere.is_empty() {
                human.push_str(&format!("---\n# in no file\n{elsewhere}"));
            }
        }
    }
    output.result(&human, || to_json(draft));
    let is_looser = draft.untranslated.iter().any(|left| left.effect == Effect::Looser);
    Ok(if is_looser { Exit::Found } else { Exit::Clean })
}

fn count(draft: &Draft) -> String {
    match draft.policies.len() {
        1 => "1 policy".to_owned(),
        n => format!("{n} policies"),
    }
}

fn save(draft: &Draft, dir: &Path) -> Result<(), Failure> {
    if fs::symlink_metadata(dir).is_ok() {
        return Err(Failure::new(&format!("{} is there already", dir.display()))
            .line("fix", "name a new folder: a draft never overwrites what somebody finished"));
    }
    folder(dir)?;
    write(&dir.join("trust-root.yaml"), &draft.trust_root)?;
    for (name, text) in &draft.policies {
        let path = dir.join("book").join(name);
        path.parent().map_or(Ok(()), folder)?;
        write(&path, text)?;
    }
    Ok(())
}

fn to_json(draft: &Draft) -> Json {
    let policies = draft.policies.iter().map(|(name, text)| {
        Json::from(Object::new().with("name", name.as_str()).with("text", text.as_str()))
    });
    let untranslated = draft.untranslated.iter().map(|left| {
        let object = Object::new().with("effect", left.effect.name()).with("place", left.place.as_str());
        Json::from(object.with("what", left.what.as_str()).with("why", left.why.as_str()))
    });
    Object::new()
        .with("trust_root", draft.trust_root.as_str())
        .with("policies", Json::Array(policies.collect()))
        .with("untranslated", Json::Array(untranslated.collect()))
        .into()
}
