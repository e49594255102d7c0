//! Runs cases: a namespace for each, some at a time, against Portcullis or against a webhook that always says yes.

use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::case::{Action, Case, Expect, Place, Step};
use super::cluster::{Cluster, Person, Said};
use super::fixtures::Images;
use super::other::{Manner, Other};
use super::register::{Hook, register};
use super::schema::at;
use super::webhook::{Claim, Webhook};

/// Who decides.
pub enum Judge {
    /// A webhook that always says yes: what kubectl then refuses, no webhook refused.
    Yes(Other),
    Portcullis(Box<Webhook>),
}

pub struct World<'c> {
    pub cluster: &'c Cluster,
    pub images: &'c Images,
    pub judge: Judge,
}

/// What one case came to: how long it took, and what was wrong.
pub struct Ran {
    pub name: String,
    pub took: Duration,
    pub wrong: Option<String>,
}

impl<'c> World<'c> {
    /// Namespaces `NAME-00`, `NAME-01`, … for the cases, and the webhooks that look at them.
    pub fn start(
        cluster: &'c Cluster,
        images: &'c Images,
        name: &str,
        cases: &[Case],
        is_real: bool,
    ) -> Self {
        let names: Vec<String> = (0..cases.len()).map(|n| namespace(name, n)).collect();
        let judge = if is_real {
            let claims = cases.iter().zip(&names).map(|(case, name)| claim(&case.place, name)).collect();
            let webhook = Webhook::start(cluster, images, claims);
            register(cluster, &Hook::validating(name, "validate.portcullis.dev", &webhook.url("validate")));
            let pinning = Hook::mutating(name, "mutate.portcullis.dev", &webhook.url("mutate"));
            register(cluster, &pinning.only("pinned"));
            Judge::Portcullis(Box::new(webhook))
        } else {
            let other = Other::start(&cluster.folder, Manner::Yes);
            register(cluster, &Hook::validating(name, "yes.example.com", &other.url));
            Judge::Yes(other)
        };
        let labels: Vec<String> = cases
            .iter()
            .map(|case| match case.place {
                Place::Pinned => format!(r#""world":"{name}","pinned":"yes""#),
                _ => format!(r#""world":"{name}""#),
            })
            .collect();
        cluster.namespaces(&names, &labels);
        Self { cluster, images, judge }
    }

    /// Runs the cases, three at a time: kubectl mostly waits.
    pub fn run(&self, name: &str, cases: &[Case], only: Option<&str>) -> Vec<Ran> {
        let waiting: Mutex<VecDeque<usize>> = Mutex::new((0..cases.len()).collect());
        let ran = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    loop {
                        let next = waiting.lock().unwrap().pop_front();
                        let Some(number) = next else { return };
                        let case = &cases[number];
                        if only.is_some_and(|word| !case.name.contains(word)) {
                            continue;
                        }
                        let result = self.run_one(case, &namespace(name, number));
                        let how = if result.wrong.is_some() { "WRONG" } else { "right" };
                        eprintln!("{how} {:>6.2} s  {}", result.took.as_secs_f64(), result.name);
                        ran.lock().unwrap().push(result);
                    }
                });
            }
        });
        ran.into_inner().unwrap()
    }

    fn run_one(&self, case: &Case, namespace: &str) -> Ran {
        let start = Instant::now();
        let wrong = case.steps.iter().enumerate().find_map(|(number, step)| {
            let result = catch_unwind(AssertUnwindSafe(|| self.step(step, namespace)));
            let wrong = match result {
                Ok(Ok(())) => return None,
                Ok(Err(wrong)) => wrong,
                Err(_) => "it panicked, see above".to_owned(),
            };
            Some(format!("step {} of {} in {namespace}: {wrong}", number + 1, case.steps.len()))
        });
        Ran { name: case.name.clone(), took: start.elapsed(), wrong }
    }

    fn step(&self, step: &Step, namespace: &str) -> Result<(), String> {
        let is_real = matches!(self.judge, Judge::Portcullis(_));
        if step.is_for_portcullis && !is_real {
            return Ok(());
        }
        match &step.action {
            Action::Act(act) => {
                act(self, namespace);
                return Ok(());
            }
            Action::Kubectl { args, input, editor } => {
                let args: Vec<String> = args.iter().map(|arg| self.filled(arg, namespace)).collect();
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                let input = self.filled(input, namespace);
                let run = || self.cluster.kubectl_with(step.who, namespace, &args, &input, editor);
                let told = |wrong: String, said: &Said| {
                    let (who, stdout, stderr) = (step.who.name(), &said.stdout, &said.stderr);
                    format!("{who}: kubectl {args:?}: {wrong}\nexit {}\n{stdout}{stderr}", said.exit)
                };
                if let Expect::Eventually(text) = &step.expect {
                    eventually(&run, text).map_err(|said| told(format!("`{text}` never came"), &said))?;
                } else {
                    let said = run();
                    let expect = self.filled_expect(&step.expect, namespace);
                    check(&expect, &said, is_real).map_err(|wrong| told(wrong, &said))?;
                }
            }
        }
        if is_real { self.audit(step, namespace) } else { Ok(()) }
    }

    /// `{ns}`, `{uid:KIND/NAME}`.
    fn filled(&self, text: &str, namespace: &str) -> String {
        let world = namespace.rsplit_once('-').unwrap().0;
        let mut text = text.replace("{ns}", namespace).replace("{world}", world);
        while let Some((before, rest)) = text.split_once("{uid:") {
            let (object, after) = rest.split_once('}').unwrap();
            let args = ["get", object, "-o", "jsonpath={.metadata.uid}"];
            let said = self.cluster.kubectl(Person::ClusterAdmin, namespace, &args, "");
            assert_eq!(said.exit, 0, "{object}: {}", said.stderr);
            text = format!("{before}{}{after}", said.stdout);
        }
        text
    }

    fn filled_expect(&self, expect: &Expect, namespace: &str) -> Expect {
        let filled = |lines: &[String]| lines.iter().map(|line| self.filled(line, namespace)).collect();
        match expect {
            Expect::Fine(lines) => Expect::Fine(filled(lines)),
            Expect::Warned(lines) => Expect::Warned(filled(lines)),
            Expect::Denied(lines) => Expect::Denied(filled(lines)),
            Expect::Refused { rules, lines } => {
                Expect::Refused { rules: rules.clone(), lines: filled(lines) }
            }
            Expect::Kubernetes(_) | Expect::Eventually(_) => expect.clone(),
        }
    }

    fn audit(&self, step: &Step, namespace: &str) -> Result<(), String> {
        for (user, name, text) in &step.audit {
            let user = if user.is_empty() { step.who.name() } else { user };
            let is_right = |found: &Option<String>| match found {
                None => text.is_empty(),
                Some(found) => !text.is_empty() && found.contains(text),
            };
            let (start, mut found) = (Instant::now(), self.annotation(user, namespace, name));
            // an event is written when the answer is out
            while !is_right(&found) && start.elapsed() < Duration::from_secs(2) {
                std::thread::sleep(Duration::from_millis(50));
                found = self.annotation(user, namespace, name);
            }
            if !is_right(&found) {
                return Err(format!("the audit log says {name} = {found:?} for {user}, wanted {text:?}"));
            }
        }
        Ok(())
    }

    /// The newest annotation of ours with this name, on something that this user did in the namespace.
    fn annotation(&self, user: &str, namespace: &str, name: &str) -> Option<String> {
        let text = |event: &attest::Json, path: &[&str]| Some(at(event, path)?.as_str().ok()?.to_owned());
        let events = self.cluster.audit().into_iter().rev().filter(|event| {
            text(event, &["objectRef", "namespace"]).as_deref() == Some(namespace)
                && text(event, &["user", "username"]).as_deref() == Some(user)
        });
        let ours = |event: &attest::Json| {
            let annotations = at(event, &["annotations"])?.as_object().ok()?;
            let is_ours = annotations.iter().any(|(key, _)| key.contains("portcullis.dev/"));
            let (_, value) =
                annotations.iter().find(|(key, _)| key.ends_with(&format!("portcullis.dev/{name}")))?;
            is_ours.then(|| value.as_str().unwrap_or_default().to_owned())
        };
        let judged = |event: &attest::Json| {
            at(event, &["annotations"]).is_some_and(|found| found.to_string().contains("portcullis.dev/"))
        };
        let newest = events.into_iter().find(judged)?;
        ours(&newest)
    }

    pub fn webhook(&self) -> &Webhook {
        match &self.judge {
            Judge::Portcullis(webhook) => webhook,
            Judge::Yes(_) => panic!("this step is for Portcullis only"),
        }
    }

    /// Writes another policy for a case's own environment, and waits until it is in force.
    pub fn replace_policy(&self, namespace: &str, policy: &str) {
        self.webhook().write_policy(&format!("own/{namespace}"), namespace, policy);
        self.webhook().await_reload();
    }
}

fn namespace(world: &str, number: usize) -> String {
    format!("{world}-{number:02}")
}

fn claim(place: &Place, namespace: &str) -> Claim {
    let own = |environment: &str| Claim::new(namespace, environment);
    match place {
        Place::Shop => own("prod/shop"),
        Place::DryRun => own("dry/shop"),
        Place::Pinned => own("prod/pinned"),
        Place::Unclaimed => own(""),
        Place::Own(policy, kinds) => {
            Claim { policy: Some(policy), guarded: kinds, ..own(&format!("own/{namespace}")) }
        }
    }
}

fn eventually(run: &dyn Fn() -> Said, text: &str) -> Result<(), Said> {
    let start = Instant::now();
    loop {
        let said = run();
        if said.exit == 0 && said.stdout.contains(text) {
            return Ok(());
        }
        if start.elapsed() > Duration::from_secs(70) {
            return Err(said);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn check(expect: &Expect, said: &Said, is_real: bool) -> Result<(), String> {
    let all = format!("{}{}", said.stdout, said.stderr);
    match expect {
        Expect::Refused { rules, lines } if is_real => check_refusal(said, rules, lines),
        Expect::Warned(lines) if is_real => {
            let warnings: String = said.stderr.lines().filter(|l| l.starts_with("Warning: ")).collect();
            check_exit(said, 0)?;
            check_lines(&warnings, lines)
        }
        Expect::Denied(lines) if is_real => {
            check_exit(said, 1)?;
            check_lines(&said.stderr, &["denied the request".to_owned()])?;
            check_lines(&said.stderr, lines)
        }
        Expect::Refused { .. } | Expect::Warned(_) | Expect::Denied(_) => check_exit(said, 0),
        Expect::Fine(lines) => {
            check_exit(said, 0)?;
            check_lines(&all, lines)
        }
        Expect::Kubernetes(text) => {
            if said.exit == 0 || said.stderr.contains("admission webhook") {
                return Err("Kubernetes itself was to refuse".to_owned());
            }
            check_lines(&all, std::slice::from_ref(text))
        }
        Expect::Eventually(_) => Ok(()),
    }
}

fn check_exit(said: &Said, exit: i32) -> Result<(), String> {
    if said.exit == exit { Ok(()) } else { Err(format!("wanted the exit code {exit}")) }
}

fn check_lines(text: &str, lines: &[String]) -> Result<(), String> {
    match lines.iter().find(|line| !text.contains(line.as_str())) {
        Some(line) => Err(format!("wanted `{line}` in it")),
        None => Ok(()),
    }
}

/// The message in kubectl's output is complete and readable: every rule by name, and no other; what was wanted and found;
/// how to mend it.
fn check_refusal(said: &Said, rules: &[String], lines: &[String]) -> Result<(), String> {
    let text = &said.stderr;
    if said.exit != 1 {
        return Err("wanted a refusal".to_owned());
    }
    check_lines(text, &["admission webhook \"".to_owned(), "denied the request".to_owned()])?;
    let found = rules_in(text);
    let wanted: BTreeSet<&str> = rules.iter().map(String::as_str).collect();
    if found != wanted {
        return Err(format!("wanted the rules {wanted:?}, found {found:?}"));
    }
    let errors = text.matches("error[").count();
    let count = |label: &str| text.matches(label).count();
    if count("\n  fix  ") < errors || count("\n  artifact  ") + count("\n  place  ") < errors {
        return Err(format!("{errors} findings, and not for each where it is and how to mend it"));
    }
    // before it, kubectl says what it sent
    let ours = text.rsplit("denied the request").next().unwrap_or(text);
    for never in ["does not meet policy", "\\n", "Some(", "Error {", "\u{1b}"] {
        if ours.contains(never) {
            return Err(format!("`{never:?}` is not for people"));
        }
    }
    check_lines(text, lines)
}

/// The rules that a message names.
pub fn rules_in(text: &str) -> BTreeSet<&str> {
    text.split("error[").skip(1).filter_map(|part| part.split_once(']')).map(|(rule, _)| rule).collect()
}
