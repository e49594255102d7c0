//! JSON to layout, strictly: an unknown field is an error, since another verifier may read it.

use std::collections::{BTreeMap, BTreeSet};

use attest::json::{ShapeError, each};
use attest::time::parse_time;
use attest::{Json, Object};

use super::key::{KeyRefused, read_key};
use super::link::{only, words};
use super::model::{Inspection, Layout, LayoutKey, Step};
use super::rule::Rule;

const MAX_STEPS: usize = 200;
const MAX_RULES: usize = 1000;
const MAX_KEYS: usize = 500;

impl Layout {
    /// Reads what is signed.
    ///
    /// # Errors
    /// [`ShapeError`] with the path of what is wrong.
    pub fn read(object: &Object) -> Result<Self, ShapeError> {
        const KNOWN: [&str; 8] =
            ["_type", "expires", "readme", "keys", "steps", "inspect", "rootcas", "intermediatecas"];
        only(object, &KNOWN)?;
        let kind = object.string("_type")?;
        if kind != "layout" {
            return Err(ShapeError::new("_type", "layout", kind));
        }
        object.optional_string("readme")?;
        let expires = object.string("expires")?;
        let steps = at_most("steps", object.array("steps")?, MAX_STEPS)?;
        let inspections = at_most("inspect", object.optional_array("inspect")?, MAX_STEPS)?;
        let layout = Self {
            expires: parse_time(expires).ok_or_else(|| {
                ShapeError::new("expires", "a time in UTC, as in 2026-11-22T09:00:00Z", expires)
            })?,
            steps: each("steps", steps, |item| Step::read(item.as_object()?))?,
            inspections: each("inspect", inspections, |item| Inspection::read(item.as_object()?))?,
            keys: keys(object)?,
            has_authorities: ["rootcas", "intermediatecas"].iter().any(|key| object.get(key).is_some()),
        };
        layout.check()?;
        Ok(layout)
    }

    /// What no single field shows: names that mean two things, or nothing.
    fn check(&self) -> Result<(), ShapeError> {
        // a layout without steps would be met by anything
        if self.steps.is_empty() {
            return Err(ShapeError::new("steps", "at least one step", "none"));
        }
        let names = self.steps.iter().map(|s| &s.name).chain(self.inspections.iter().map(|i| &i.name));
        let mut known = BTreeSet::new();
        for name in names {
            if !known.insert(name.as_str()) {
                return Err(ShapeError::new(
                    "",
                    "steps and inspections with a name of their own",
                    &format!("`{name}` twice"),
                ));
            }
        }
        for step in &self.steps {
            if let Some(id) = step.pubkeys.iter().find(|id| !self.keys.contains_key(*id)) {
                let found = format!("`{id}` in step {}, which `keys` does not have", step.name);
                return Err(ShapeError::new("pubkeys", "ids of keys that the layout has", &found));
            }
        }
        let of_steps = self.steps.iter().flat_map(|s| s.materials.iter().chain(&s.products));
        let of_inspections = self.inspections.iter().flat_map(|i| i.materials.iter().chain(&i.products));
        for rule in of_steps.chain(of_inspections) {
            if let Rule::Match { from, .. } = rule
                && !known.contains(from.as_str())
            {
                return Err(ShapeError::new(
                    "",
                    "rules that match with a step of this layout",
                    &rule.to_string(),
                ));
            }
        }
        Ok(())
    }
}

impl Step {
    fn read(object: &Object) -> Result<Self, ShapeError> {
        const KNOWN: [&str; 8] = [
            "_type",
            "name",
            "pubkeys",
            "threshold",
            "expected_command",
            "expected_materials",
            "expected_products",
            "cert_constraints",
        ];
        only(object, &KNOWN)?;
        kind(object, "step")?;
        let threshold = object.int("threshold")?;
        let constraints = object.optional_array("cert_constraints")?;
        Ok(Self {
            name: name(object)?,
            pubkeys: words(object, "pubkeys")?,
            // none would be met by nobody having done it
            threshold: usize::try_from(threshold).ok().filter(|n| *n > 0).ok_or_else(|| {
                ShapeError::new("threshold", "a whole number from 1 on", &threshold.to_string())
            })?,
            command: words(object, "expected_command")?,
            materials: rules(object, "expected_materials")?,
            products: rules(object, "expected_products")?,
            has_constraints: !constraints.is_empty(),
        })
    }
}

impl Inspection {
    fn read(object: &Object) -> Result<Self, ShapeError> {
        only(object, &["_type", "name", "run", "expected_materials", "expected_products"])?;
        kind(object, "inspection")?;
        Ok(Self {
            name: name(object)?,
            run: words(object, "run")?,
            materials: rules(object, "expected_materials")?,
            products: rules(object, "expected_products")?,
        })
    }
}

fn kind(object: &Object, wanted: &str) -> Result<(), ShapeError> {
    match object.string("_type")? {
        found if found == wanted => Ok(()),
        found => Err(ShapeError::new("_type", wanted, found)),
    }
}

/// A name that can be part of a file's name and of nothing else (PYSEC-2021-376 was such a name).
fn name(object: &Object) -> Result<String, ShapeError> {
    let name = object.string("name")?;
    let is_plain = !name.is_empty()
        && name.len() <= 200
        && !name.starts_with('.')
        && !name.contains(['/', '\\'])
        && !name.chars().any(char::is_control);
    if is_plain {
        return Ok(name.to_owned());
    }
    Err(ShapeError::new(
        "name",
        "1 to 200 bytes, no slash, no control character, no dot in front",
        &format!("{name:?}"),
    ))
}

fn rules(object: &Object, key: &str) -> Result<Vec<Rule>, ShapeError> {
    each(key, at_most(key, object.optional_array(key)?, MAX_RULES)?, Rule::read)
}

fn at_most<'a>(key: &str, items: &'a [Json], most: usize) -> Result<&'a [Json], ShapeError> {
    if items.len() > most {
        return Err(ShapeError::new(key, &format!("at most {most} entries"), &items.len().to_string()));
    }
    Ok(items)
}

/// The keys. One that cannot be used is kept with its reason: it matters where a step needs it.
fn keys(object: &Object) -> Result<BTreeMap<String, LayoutKey>, ShapeError> {
    let listed = object.object("keys")?;
    if listed.len() > MAX_KEYS {
        return Err(ShapeError::new("keys", "at most 500 keys", &listed.len().to_string()));
    }
    let read = |(id, value): (&str, &Json)| {
        let key = value.as_object().map_err(|e| e.within(id).within("keys"))?;
        Ok((id.to_owned(), read_key(key)))
    };
    let keys: BTreeMap<String, LayoutKey> = listed.iter().map(read).collect::<Result<_, ShapeError>>()?;
    let private =
        keys.iter().find(|(_, key)| matches!(key, Err(KeyRefused(why)) if why.contains("private key")));
    match private {
        Some((id, _)) => {
            Err(ShapeError::new(&format!("keys.{id}"), "a public key alone", "a private key beside it"))
        }
        None => Ok(keys),
    }
}
