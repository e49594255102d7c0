//! One case of the table: who does what, and what the person at kubectl must see.

use super::cluster::Person;
use super::world::World;

/// Where a case's namespace belongs.
#[derive(Clone, Debug)]
pub enum Place {
    /// `prod/shop`: enforced.
    Shop,
    /// `dry/shop`: the same policy in dry run.
    DryRun,
    /// `prod/pinned`: as `prod/shop`, and the mutating webhook writes digests.
    Pinned,
    /// In no environment.
    Unclaimed,
    /// An environment of its own with this policy, and these kinds guarded in it. `{ns}` is the namespace.
    Own(&'static str, &'static [&'static str]),
}

type Act = Box<dyn Fn(&World<'_>, &str) + Send + Sync>;

pub enum Action {
    Kubectl { args: Vec<String>, input: String, editor: String },
    Act(Act),
}

/// What must come of a step.
#[derive(Clone, Debug)]
pub enum Expect {
    /// Exit 0, and each of these in what kubectl says.
    Fine(Vec<String>),
    /// Exit 0 and a `Warning:` with each of these: the policy is in dry run, or something else is not as it should be.
    Warned(Vec<String>),
    /// Our webhook says no, for exactly these rules, and each line stands in the message.
    Refused { rules: Vec<String>, lines: Vec<String> },
    /// Our webhook says no to something that is no deployment, with these lines.
    Denied(Vec<String>),
    /// Kubernetes itself says no, with this text.
    Kubernetes(String),
    /// Asked again for a while, until kubectl prints this.
    Eventually(String),
}

pub struct Step {
    pub who: Person,
    pub action: Action,
    pub expect: Expect,
    /// User (empty: who does the step), name and text of audit annotations; an empty text: there is none of that name.
    /// The texts are as in `spec.containers[0].image=admit`.
    pub audit: Vec<(String, String, String)>,
    /// Makes sense only where something really decides.
    pub is_for_portcullis: bool,
}

pub struct Case {
    pub name: String,
    pub place: Place,
    pub steps: Vec<Step>,
}

/// A case in `prod/shop`.
pub fn case(name: &str) -> Case {
    Case { name: name.to_owned(), place: Place::Shop, steps: Vec::new() }
}

impl Case {
    pub fn place(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// The tenant runs kubectl with these words, `'…'` as in a shell, and with this on standard input. `{ns}` is the namespace,
    /// `{world}` the label by which the webhook looks at it, `{uid:KIND/NAME}` the uid of what is there.
    pub fn tenant(self, command: &str, input: impl Into<String>) -> Self {
        self.kubectl(Person::Tenant, command, input.into())
    }

    pub fn admin(self, command: &str, input: impl Into<String>) -> Self {
        self.kubectl(Person::NamespaceAdmin, command, input.into())
    }

    pub fn root(self, command: &str, input: impl Into<String>) -> Self {
        self.kubectl(Person::ClusterAdmin, command, input.into())
    }

    fn kubectl(self, who: Person, command: &str, input: String) -> Self {
        self.step(who, Action::Kubectl { args: words(command), input, editor: "false".to_owned() })
    }

    /// Something else than kubectl.
    pub fn act(self, act: impl Fn(&World<'_>, &str) + Send + Sync + 'static) -> Self {
        self.step(Person::ClusterAdmin, Action::Act(Box::new(act))).for_portcullis()
    }

    /// The case's own policy becomes this.
    pub fn policy(self, policy: &'static str) -> Self {
        self.act(move |world, namespace| world.replace_policy(namespace, policy))
    }

    fn step(mut self, who: Person, action: Action) -> Self {
        let expect = Expect::Fine(Vec::new());
        self.steps.push(Step { who, action, expect, audit: Vec::new(), is_for_portcullis: false });
        self
    }

    fn last(mut self, change: impl FnOnce(&mut Step)) -> Self {
        change(self.steps.last_mut().unwrap());
        self
    }

    /// kubectl says this too.
    pub fn says(self, lines: &[&str]) -> Self {
        self.last(|step| step.expect = Expect::Fine(owned(lines)))
    }

    pub fn warned(self, lines: &[&str]) -> Self {
        self.last(|step| step.expect = Expect::Warned(owned(lines)))
    }

    pub fn refused(self, rules: &[&str], lines: &[&str]) -> Self {
        self.last(|step| step.expect = Expect::Refused { rules: owned(rules), lines: owned(lines) })
    }

    pub fn denied(self, lines: &[&str]) -> Self {
        self.last(|step| step.expect = Expect::Denied(owned(lines)))
    }

    pub fn kubernetes(self, text: &str) -> Self {
        self.last(|step| step.expect = Expect::Kubernetes(text.to_owned()))
    }

    pub fn eventually(self, text: &str) -> Self {
        self.last(|step| step.expect = Expect::Eventually(text.to_owned()))
    }

    /// The API server's audit log has this annotation of ours for the step.
    pub fn audited(self, name: &str, text: &str) -> Self {
        self.last(|step| step.audit.push((String::new(), name.to_owned(), text.to_owned())))
    }

    /// For something that a controller did.
    pub fn audited_for(self, controller: &str, name: &str, text: &str) -> Self {
        let user = format!("system:serviceaccount:kube-system:{controller}");
        self.last(|step| step.audit.push((user, name.to_owned(), text.to_owned())))
    }

    pub fn editor(self, program: &str) -> Self {
        self.last(|step| {
            if let Action::Kubectl { editor, .. } = &mut step.action {
                *editor = program.to_owned();
            }
        })
    }

    pub fn for_portcullis(self) -> Self {
        self.last(|step| step.is_for_portcullis = true)
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Words as a shell makes them, with single quotes only.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in command.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}
