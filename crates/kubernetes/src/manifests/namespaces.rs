//! Which namespaces are judged how. Only a namespace's name selects: it is the one label that no tenant can edit.

use std::collections::{BTreeMap, BTreeSet};

use attest::{Json, Object};
use policy::{Book, Mode, OnOutage};

use super::{Reach, Serve, Settings};

/// The label that the API server itself keeps equal to the namespace's name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The namespaces by what happens in them.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    /// Nothing is judged.
    pub(super) excluded: BTreeSet<String>,
    /// Every policy there admits where the choke point is down.
    pub(super) open: BTreeSet<String>,
    /// Every policy there is enforced.
    pub(super) enforced: BTreeSet<String>,
    /// Some policy there only tells.
    pub(super) dry_run: BTreeSet<String>,
    pub(super) notes: Vec<String>,
}

impl Namespaces {
    pub(super) fn of(settings: &Settings, serve: &Serve, book: &Book) -> Self {
        let mut claimed: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for environment in &serve.mapping.environments {
            for namespace in &environment.namespaces {
                claimed.entry(namespace).or_default().insert(&environment.name);
            }
        }
        let mut all = Self::default();
        // where the choke point runs elsewhere, its namespace would be a hole by a name that anybody may take
        let own = matches!(settings.reach, Reach::Service { .. }).then_some(settings.namespace.as_str());
        for name in settings.excluded.iter().map(String::as_str).chain(own) {
            if claimed.contains_key(name) && Some(name) != own {
                all.notes.push(format!("{name} is judged, since an environment claims it"));
            } else {
                all.excluded.insert(name.to_owned());
            }
        }
        for (namespace, environments) in claimed {
            if Some(namespace) == own {
                all.notes.push(format!(
                    "{namespace} is the choke point's own namespace: no environment reaches it"
                ));
                continue;
            }
            all.place(namespace, &environments, book);
        }
        all
    }

    fn place(&mut self, namespace: &str, environments: &BTreeSet<&str>, book: &Book) {
        let (mut is_open, mut is_enforced) = (true, true);
        for environment in environments {
            let mut policies = book.guarding(environment).peekable();
            if policies.peek().is_none() {
                is_open = false;
                self.notes.push(format!(
                    "no policy guards {environment}: everything in {namespace} that belongs to it is refused"
                ));
            }
            for policy in policies {
                is_open &= policy.on_outage() == OnOutage::Admit;
                is_enforced &= policy.mode() == Mode::Enforce;
            }
        }
        let wants_open =
            environments.iter().flat_map(|e| book.guarding(e)).any(|p| p.on_outage() == OnOutage::Admit);
        if wants_open && !is_open {
            self.notes.push(format!("{namespace} is closed while the choke point is down: not all policies there say on-outage: admit"));
        }
        if is_open {
            self.open.insert(namespace.to_owned());
        }
        let place = if is_enforced { &mut self.enforced } else { &mut self.dry_run };
        place.insert(namespace.to_owned());
    }

    /// The namespaces that an environment claims, and that are closed while the choke point is down.
    pub(super) fn closed(&self) -> impl Iterator<Item = &String> {
        self.enforced.union(&self.dry_run).filter(|name| !self.open.contains(*name))
    }

    /// Selects all namespaces but the ones that are excluded or open.
    pub(super) fn closed_selector(&self) -> Json {
        selector("NotIn", self.excluded.union(&self.open).cloned().collect())
    }

    /// Selects all namespaces but the ones that are excluded.
    pub(super) fn judged_selector(&self) -> Json {
        selector("NotIn", self.excluded.clone())
    }
}

/// Selects namespaces by their names; all of them where no name is taken out.
pub(super) fn selector(operator: &str, names: BTreeSet<String>) -> Json {
    if names.is_empty() && operator == "NotIn" {
        return Object::new().into();
    }
    let names: Vec<String> = names.into_iter().collect();
    let expression = Object::new().with("key", NAME_LABEL).with("operator", operator).with("values", names);
    Object::new().with("matchExpressions", Json::Array(vec![expression.into()])).into()
}
