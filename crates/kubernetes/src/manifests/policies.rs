//! The admission policies: what the API server itself refuses, whether or not the choke point runs.

use attest::Json;

use super::namespaces::Namespaces;
use super::template::{self, Values};
use super::{Account, ManifestError, Reach, Serve, Settings, kinds};

const TEMPLATE: &str = include_str!("templates/policies.yaml");
const POD: &str = include_str!("templates/pod.cel");
const IMAGES: &str = include_str!("templates/images.cel");

/// The parts of Kubernetes itself that write into every namespace.
const SYSTEM_USERS: [&str; 3] =
    ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler"];
const SYSTEM_GROUPS: [&str; 2] = ["system:nodes", "system:serviceaccounts:kube-system"];

pub(super) fn objects(
    settings: &Settings,
    serve: &Serve,
    namespaces: &Namespaces,
) -> Result<Vec<Json>, ManifestError> {
    let names =
        |names: &std::collections::BTreeSet<String>| Json::from(names.iter().cloned().collect::<Vec<_>>());
    let mut values = Values::from([
        ("namespace", Json::from(settings.namespace.as_str())),
        ("image_rules", Json::Array(kinds::image_rules())),
        ("enforced", names(&namespaces.enforced)),
        ("dry_run", names(&namespaces.dry_run)),
        ("closed", Json::from(list(&namespaces.closed().cloned().collect::<Vec<_>>())?)),
        ("controllers", Json::from(list(&serve.mapping.controllers)?)),
        ("is_keeper", Json::from(is_one_of(&settings.keepers)?)),
        ("is_emergency", Json::from(is_one_of(&settings.emergency)?)),
        ("is_system", Json::from(is_one_of(&system())?)),
        ("own_images", Json::from(own_images(settings)?)),
    ]);
    values.extend(images("pod", "images", "object", "variables.pod"));
    values.extend(images("old_pod", "old_images", "oldObject", "variables.oldPod"));
    let objects = template::fill("policies.yaml", TEMPLATE, &values)?;
    let is_outside = matches!(settings.reach, Reach::Url(_));
    Ok(objects.into_iter().filter(|o| selects_something(o) && !(is_outside && is_own(o))).collect())
}

/// The expressions that find a Pod, and its images, in an object or in what was there before.
fn images(
    pod: &'static str,
    images: &'static str,
    object: &str,
    variable: &str,
) -> [(&'static str, Json); 2] {
    let guard = |text: String, otherwise: &str| match object {
        "oldObject" => format!("request.operation == 'UPDATE' ? ({text}) : {otherwise}"),
        _ => text,
    };
    let one_line = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    [
        (pod, Json::from(guard(one_line(POD).replace("OBJECT", object), "{}"))),
        (images, Json::from(one_line(IMAGES).replace("POD", variable))),
    ]
}

/// A binding that selects no namespace would be refused by the API server, and none is needed.
fn selects_something(object: &Json) -> bool {
    let path = ["spec", "matchResources", "namespaceSelector", "matchExpressions"];
    let at = path.iter().try_fold(object, |at, key| at.as_object().ok()?.get(key));
    let expressions = at.and_then(|v| v.as_array().ok()).unwrap_or_default();
    expressions.iter().all(|e| {
        let names = e.as_object().ok().and_then(|o| o.get("values")?.as_array().ok());
        names.is_none_or(|names| !names.is_empty())
    })
}

/// Whether an object guards the choke point's own namespace, which there is none of where it runs elsewhere.
fn is_own(object: &Json) -> bool {
    let name =
        object.as_object().ok().and_then(|o| o.get("metadata")?.as_object().ok()?.get("name")?.as_str().ok());
    name.is_some_and(|name| name.starts_with("own-"))
}

fn own_images(settings: &Settings) -> Result<String, ManifestError> {
    let image = match &settings.reach {
        Reach::Service { image } if template::is_mark(image) => return Ok(template::mark("own-images")),
        Reach::Service { image } => Some(image.clone()),
        Reach::Url(_) => None,
    };
    list(&image.into_iter().chain(settings.also_images.iter().cloned()).collect::<Vec<_>>())
}

fn system() -> Vec<Account> {
    let users = SYSTEM_USERS.iter().map(|name| Account::User((*name).to_owned()));
    users.chain(SYSTEM_GROUPS.iter().map(|name| Account::Group((*name).to_owned()))).collect()
}

/// An expression that is true for these accounts.
fn is_one_of(accounts: &[Account]) -> Result<String, ManifestError> {
    let (mut users, mut groups) = (Vec::new(), Vec::new());
    for account in accounts {
        match account {
            Account::User(name) => users.push(name.clone()),
            Account::Group(name) => groups.push(name.clone()),
        }
    }
    let mut parts = Vec::new();
    if !users.is_empty() {
        parts.push(format!("request.userInfo.username in {}", list(&users)?));
    }
    if !groups.is_empty() {
        parts.push(format!("request.userInfo.?groups.orValue([]).exists(g, g in {})", list(&groups)?));
    }
    Ok(if parts.is_empty() { "false".to_owned() } else { format!("({})", parts.join(" || ")) })
}

/// A list of texts. What could end a text early is no name of anything.
fn list(texts: &[String]) -> Result<String, ManifestError> {
    let is_odd = |c: char| c.is_control() || matches!(c, '\'' | '"' | '\\');
    if let Some(odd) = texts.iter().find(|t| t.is_empty() || t.contains(is_odd) || t.contains("${")) {
        let wanted = "a name without quotes, backslashes and control characters";
        return Err(ManifestError::new(
            "a name that cannot be written down",
            wanted,
            odd,
            "name it otherwise",
        ));
    }
    let quoted: Vec<String> = texts.iter().map(|t| format!("'{t}'")).collect();
    Ok(format!("[{}]", quoted.join(", ")))
}
