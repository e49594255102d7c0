//! What a choke point would find if it began now: everything that is wrong with the files that its configuration names,
//! at once, and what a person might not have meant.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use attest::{LoadError, Place, PublicKey, Role, Scheme, SecretKey, Signer as _};
use jiff::Timestamp;
use policy::Book;

use crate::proxy;
use crate::webhook::certificates::Certificates;
use crate::webhook::config::{Api, Config, SummaryKey};
use crate::webhook::decide::MIN_SECRET;
use crate::webhook::files::Files;
use crate::webhook::registries::Registries;
use crate::webhook::{owners, summaries};

/// A kind of error, in a word for programs, and the error.
pub type Problem = (&'static str, LoadError);

const UNREADABLE: &str = "file-error";

/// What a start would find.
#[derive(Debug, Default)]
pub struct Checked {
    /// What is not there, and its file.
    pub missing: Vec<(&'static str, PathBuf)>,
    /// What is there and would be refused.
    pub problems: Vec<Problem>,
    /// What would start, and might surprise.
    pub notes: Vec<String>,
}

impl Checked {
    /// Why it would not start; what is missing is a reason too.
    #[must_use]
    pub fn refusals(&self) -> Vec<Problem> {
        let missing = self.missing.iter().map(|(what, file)| {
            let error = LoadError::new(&top(file), &format!("{what} is missing"));
            (UNREADABLE, error.wanted(what).found("no such file or folder").fix(NAMES))
        });
        missing.chain(self.problems.iter().cloned()).collect()
    }
}

const NAMES: &str = "check the name; names in the configuration are relative to its folder";

/// Looks at everything that the configuration names. Nothing is written, and no address is taken.
#[must_use]
pub fn check(config: &Config, now: Timestamp) -> Checked {
    let missing = config.named().into_iter().filter(|(_, file)| !file.exists());
    let missing: Vec<_> = missing.map(|(what, file)| (what, file.to_owned())).collect();
    let mut checked = Checked { missing, ..Checked::default() };
    let book = reviewed(config, &mut checked);
    log_key(&config.log.key, &mut checked);
    certificates(config, now, &mut checked);
    summary_key(config, &mut checked);
    release_keys(config, &mut checked);
    proxies(config, now, &mut checked);
    secret_key(config, &mut checked);
    kubeconfig(config, &mut checked);
    registries(config, &mut checked);
    notes(config, book.as_ref(), &mut checked.notes);
    checked
}

/// The beginning of a file that has no lines of its own to point at.
fn top(file: &Path) -> Place {
    Place { file: file.display().to_string().into(), line: 1, column: 1 }
}

impl Checked {
    fn has(&self, file: &Path) -> bool {
        self.missing.iter().all(|(_, missing)| missing != file)
    }

    fn refuse(
        &mut self,
        code: &'static str,
        file: &Path,
        message: &str,
        found: &dyn fmt::Display,
        fix: &str,
    ) {
        self.refuse_at(code, &top(file), message, found, fix);
    }

    fn refuse_at(
        &mut self,
        code: &'static str,
        place: &Place,
        message: &str,
        found: &dyn fmt::Display,
        fix: &str,
    ) {
        let error = LoadError::new(place, message).found(&found.to_string()).fix(fix);
        self.problems.push((code, error));
    }
}

fn reviewed(config: &Config, checked: &mut Checked) -> Option<Book> {
    let guardrails = config.guardrails.as_deref().filter(|file| checked.has(file));
    if !checked.has(&config.book) || guardrails.is_none() != config.guardrails.is_none() {
        return trust_root_alone(config, checked);
    }
    if !checked.has(&config.trust_root) {
        return None;
    }
    let files = match Files::read(config) {
        Ok(files) => files,
        Err(why) => {
            checked.refuse(UNREADABLE, &config.book, "the reviewed files cannot be read", &why, NAMES);
            return None;
        }
    };
    if let Err(errors) = files.load_trust_root() {
        checked.problems.extend(errors);
    }
    files.load_book().map_err(|errors| checked.problems.extend(errors)).ok()
}

fn trust_root_alone(config: &Config, checked: &mut Checked) -> Option<Book> {
    if checked.has(&config.trust_root) {
        match Files::read_trust_root(config) {
            Ok(Ok(_)) => {}
            Ok(Err(errors)) => checked.problems.extend(errors),
            Err(why) => {
                let message = "the trust root cannot be read";
                checked.refuse(UNREADABLE, &config.trust_root, message, &why, NAMES);
            }
        }
    }
    None
}

/// The key signs by itself, at any hour: nobody is there to give a passphrase.
fn log_key(file: &Path, checked: &mut Checked) {
    const CODE: &str = "log-key-invalid";
    const FIX: &str = "portcullis keygen log --algorithm ed25519 --no-passphrase";
    if !checked.has(file) {
        return;
    }
    let message = "the log's key cannot be used";
    match std::fs::read_to_string(file) {
        Err(e) => {
            checked.refuse(UNREADABLE, file, "the log's key cannot be read", &e, "let this user read it")
        }
        Ok(pem) => match SecretKey::from_pem(&pem, None) {
            Err(e) => checked.refuse(CODE, file, message, &e, FIX),
            Ok(key) if PublicKey::scheme(key.public()) != Scheme::Ed25519 => {
                let found = format!("a key for {}, where a log's is Ed25519", key.public().scheme().name());
                checked.refuse(CODE, file, "the log's key cannot sign a log", &found, FIX);
            }
            Ok(_) => {}
        },
    }
}

/// It signs by itself, and nothing but summaries.
fn summary_key(config: &Config, checked: &mut Checked) {
    const CODE: &str = "summary-key-invalid";
    let Some(settings) = &config.summaries else { return };
    let file = match &settings.key {
        SummaryKey::File(file) if !checked.has(file) => return,
        SummaryKey::File(file) => file,
        SummaryKey::Token(_) => &config.file,
    };
    let fix = "portcullis keygen summaries --no-passphrase";
    match summaries::key::open(&settings.key) {
        Err(why) => checked.refuse(CODE, file, "the key of summaries cannot be used", &why, fix),
        Ok(key) => {
            let Ok(Ok(root)) = Files::read_trust_root(config) else { return };
            if let Some(whose) = summaries::key::shared(key.public(), config, &root, Role::Verifier) {
                let message = "the key of summaries is used for something else too";
                checked.refuse(CODE, file, message, &format!("it is {whose}"), fix);
            }
        }
    }
}

/// Each signs in one protocol, and is nobody else's.
fn release_keys(config: &Config, checked: &mut Checked) {
    const CODE: &str = "release-key-invalid";
    let fix = "portcullis keygen release --no-passphrase";
    let Ok(Ok(root)) = Files::read_trust_root(config) else { return };
    let of_summaries = config.summaries.as_ref().and_then(|own| summaries::key::open(&own.key).ok());
    let mut known: Vec<(String, PublicKey)> =
        of_summaries.iter().map(|key| ("of summaries".to_owned(), key.public().clone())).collect();
    for own in &config.signing {
        if own.named().any(|file| !checked.has(file)) {
            continue;
        }
        let key = match summaries::key::open(&own.key) {
            Ok(key) => key,
            Err(why) => {
                let message = format!("the release key {} cannot be used", own.name);
                checked.refuse_at(CODE, &own.place, &message, &why, fix);
                continue;
            }
        };
        let other = known.iter().find(|(_, other)| other.spki() == key.public().spki());
        let other = other.map(|(name, _)| name.clone());
        if let Some(whose) =
            other.or_else(|| summaries::key::shared(key.public(), config, &root, Role::Signer))
        {
            let message = format!("the release key {} is used for something else too", own.name);
            checked.refuse_at(CODE, &own.place, &message, &format!("it is {whose}"), fix);
        }
        if let Err(why) = own.fits(key.as_ref()) {
            let message = format!("the release key {} does not sign in the form {}", own.name, own.family);
            let fix = "give a key and a block as docs/signing.md lists them";
            checked.refuse_at(CODE, &own.place, &message, &why, fix);
        }
        known.push((format!("the release key {}", own.name), key.public().clone()));
    }
}

fn certificates(config: &Config, now: Timestamp, checked: &mut Checked) {
    let webhook = &config.webhook;
    let files =
        [Some(&webhook.tls.certificate), Some(&webhook.tls.key), webhook.clients.as_ref().map(|c| &c.ca)];
    if !files.into_iter().flatten().all(|file| checked.has(file)) {
        return;
    }
    match Certificates::load(webhook.certificates()) {
        Err(e) => {
            let fix = "give PEM files that belong together: the chain with the webhook's own certificate first, and its key";
            checked.refuse("tls-invalid", &e.file, "this cannot be used for TLS", &e.why, fix);
        }
        Ok(certificates) => {
            let not_now = certificates.check(now).err();
            checked.notes.extend(not_now.map(|why| format!("{why}: /readyz says 503 with it")));
        }
    }
}

/// What a proxy names is opened as it would be, and a route leads to a policy.
fn proxies(config: &Config, now: Timestamp, checked: &mut Checked) {
    let is_there = |proxy: &&proxy::Config| proxy.named().iter().all(|(_, file)| checked.has(file));
    let found: Vec<_> =
        config.proxies.iter().filter(is_there).map(|own| (own, proxy::check(own, now))).collect();
    for (own, (refused, note)) in found {
        let message = format!("this cannot be used by the proxy {}", own.name);
        for e in refused {
            let fix = "give PEM files that belong together, and a login as `Basic …` or `Bearer …`";
            checked.refuse("proxy-invalid", &e.file, &message, &e.why, fix);
        }
        if let Err(why) = own.open() {
            let fix = "write the file as docs/proxy.md shows it";
            checked.refuse("proxy-invalid", &config.file, &message, &why, fix);
        }
        checked.notes.extend(note);
    }
    if let Some(why) = proxy::too_large(&config.proxies) {
        let message = "one body may have more than one requester may have waiting: it would never come in";
        let fix =
            "say `body`, `held` and `share` of `limits` for the proxies with one `spool` so that they fit";
        checked.refuse("proxy-invalid", &config.file, message, &why, fix);
    }
}

fn secret_key(config: &Config, checked: &mut Checked) {
    let Some(file) = config.webhook.secret_key.as_deref().filter(|file| checked.has(file)) else { return };
    let fix = "head -c 32 /dev/urandom > FILE, readable to the choke point alone";
    match std::fs::File::open(file).and_then(|opened| opened.metadata()) {
        Err(e) => checked.refuse(
            UNREADABLE,
            file,
            "the key for Secrets cannot be read",
            &e,
            "let this user read it",
        ),
        Ok(metadata) if usize::try_from(metadata.len()).unwrap_or(usize::MAX) < MIN_SECRET => {
            let found = format!("{} bytes, where at least {MIN_SECRET} are wanted", metadata.len());
            checked.refuse("secret-key-invalid", file, "the key for Secrets is too short", &found, fix);
        }
        Ok(_) => {}
    }
}

/// What is read is the file; the API server is not asked. Whether this process runs in a cluster is found out there.
fn kubeconfig(config: &Config, checked: &mut Checked) {
    let Some(api @ Api::Kubeconfig(file)) = &config.webhook.api else { return };
    if !checked.has(file) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let connected = match runtime {
        Err(e) => Err(e.to_string()),
        Ok(runtime) => runtime.block_on(owners::connect(Some(api))).map(drop),
    };
    if let Err(why) = connected {
        let fix = "give a kubeconfig whose current context names an https:// server with its authority";
        checked.refuse("kubeconfig-invalid", file, "the kubeconfig cannot be used", &why, fix);
    }
}

/// A login that is not there would be asked for at the first image.
fn registries(config: &Config, checked: &mut Checked) {
    let wrong = Registries::open(&config.registries).err().unwrap_or_default();
    for (file, why) in wrong.into_iter().filter(|(file, _)| checked.has(file)).collect::<Vec<_>>() {
        let fix = "give a config.json as `docker login` writes it without a helper";
        checked.refuse("registry-login-invalid", &file, "the login for a registry cannot be used", &why, fix);
    }
}

fn notes(config: &Config, book: Option<&Book>, notes: &mut Vec<String>) {
    let webhook = &config.webhook;
    if config.governance.is_none() {
        notes.push("books are taken without provenance: see `governance`".to_owned());
    }
    if let Some(book) = book {
        let routes = config.proxies.iter().flat_map(|proxy| &proxy.routes);
        let routed: BTreeSet<&String> = routes.map(|route| &route.environment).collect();
        let claimed = webhook.mapping.environments.iter().map(|environment| &environment.name);
        for name in claimed.chain(routed) {
            if book.guarding(name).next().is_none() {
                notes.push(format!(
                    "no policy guards {name}: what is deployed there is refused (policy-missing)"
                ));
            }
        }
        let asking = book.policies().iter().filter(|policy| policy.asks_for("requested-by"));
        for policy in asking.filter(|_| webhook.is_kubernetes && webhook.api.is_none()) {
            notes.push(format!(
                "{} asks who requested it, and there is no `webhook: api`: a controller's Pod was requested by its controller",
                policy.place().file
            ));
        }
    }
    let guards_secrets = webhook.mapping.guard.iter().any(|guard| guard.kinds.iter().any(|k| k == "Secret"));
    if guards_secrets && webhook.secret_key.is_none() {
        notes.push(
            "Secrets are guarded, and there is no `webhook: secret-key`: every one is refused".to_owned(),
        );
    }
}
