//! A real etcd, kube-apiserver and kube-controller-manager, and the people who use kubectl against them.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use attest::Json;
use server::{Client, ClientTls};

#[path = "../tools/port.rs"]
mod port;

pub use port::free_port;

use super::process::{Folder, Process};

/// The version that `scripts/kubernetes/build.sh` builds.
const VERSION: &str = include_str!("../../../../scripts/kubernetes/go.mod");

/// Who asks. Each has a client certificate and a kubeconfig.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Person {
    /// `system:masters`.
    ClusterAdmin,
    /// `admin` in the namespaces of the tests, and nothing elsewhere.
    NamespaceAdmin,
    /// `edit` there.
    Tenant,
}

impl Person {
    pub const ALL: [Self; 3] = [Self::ClusterAdmin, Self::NamespaceAdmin, Self::Tenant];

    pub fn name(self) -> &'static str {
        match self {
            Self::ClusterAdmin => "root@acme.example",
            Self::NamespaceAdmin => "nadia@acme.example",
            Self::Tenant => "tom@acme.example",
        }
    }

    fn subject(self) -> String {
        let group = if self == Self::ClusterAdmin { "system:masters" } else { "people" };
        format!("/O={group}/CN={}", self.name())
    }
}

/// What a program said.
#[derive(Debug)]
pub struct Said {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Where the four programs are.
pub struct Programs {
    etcd: PathBuf,
    api: PathBuf,
    controllers: Option<PathBuf>,
    pub kubectl: PathBuf,
}

impl Programs {
    /// From `KUBEBUILDER_ASSETS` where that is set, which has no controller manager; else what the project built.
    #[allow(clippy::disallowed_methods, reason = "a test's own settings")]
    pub fn find() -> Option<Self> {
        let version = VERSION.lines().find_map(|l| l.trim().strip_prefix("k8s.io/kubernetes v")).unwrap();
        let built = crate::tools::cache("kubernetes").join(version.split(' ').next().unwrap());
        let folder = std::env::var_os("KUBEBUILDER_ASSETS").map_or(built.clone(), PathBuf::from);
        let part = |name: &str| crate::tools::part(name, folder.join(name));
        let controllers = [&folder, &built].map(|f| f.join("kube-controller-manager"));
        Some(Self {
            etcd: part("etcd")?,
            api: part("kube-apiserver")?,
            kubectl: part("kubectl")?,
            controllers: controllers.into_iter().find(|file| file.exists()),
        })
    }
}

/// The cluster. It has no nodes: Pods stay `Pending`, and everything before that is real.
pub struct Cluster {
    pub folder: Folder,
    pub programs: Programs,
    pub port: u16,
    etcd_port: u16,
    etcd: Mutex<Option<Process>>,
    api: Mutex<Option<Process>>,
    controllers: Mutex<Option<Process>>,
    /// How long the start took.
    pub took: Duration,
}

const CONTROLLERS: &str = "deployment-controller,replicaset-controller,replicationcontroller-controller,statefulset-controller,\
    daemonset-controller,job-controller,cronjob-controller,serviceaccount-controller,namespace-controller,\
    garbage-collector-controller,root-ca-certificate-publisher-controller,clusterrole-aggregation-controller";

const AUDIT: &str = r#"{ "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [
  { "level": "None", "users": ["system:apiserver"] },
  { "level": "RequestResponse", "resources": [{ "group": "", "resources": ["pods", "pods/ephemeralcontainers"] }] },
  { "level": "Metadata" }
] }"#;

const OBJECTS: &str = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"node-1"}}
{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"rollouts.argoproj.io"},"spec":{
"group":"argoproj.io","scope":"Namespaced","names":{"kind":"Rollout","plural":"rollouts","singular":"rollout"},
"versions":[{"name":"v1alpha1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}]}}
{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"more-for-tenants","labels":{"rbac.authorization.k8s.io/aggregate-to-edit":"true"}},
"rules":[{"apiGroups":["argoproj.io"],"resources":["rollouts"],"verbs":["*"]},
{"apiGroups":[""],"resources":["podtemplates","pods/ephemeralcontainers","pods/resize"],"verbs":["*"]}]}"#;

const AUTHORIZED: &str = "--authorization-mode=Node,RBAC";

impl Cluster {
    /// Starts everything; nothing where the programs are not installed.
    pub fn start() -> Option<Self> {
        let programs = Programs::find()?;
        let start = Instant::now();
        let folder = Folder::new();
        certificates(&folder);
        configuration(&folder);
        let (etcd_port, port) = (free_port(), free_port());
        let etcd = start_etcd(&programs, &folder, etcd_port);
        for person in Person::ALL {
            kubeconfig(&folder, port, person.name());
        }
        for program in ["controllers", "portcullis"] {
            kubeconfig(&folder, port, program);
        }
        let mut cluster = Self {
            folder,
            programs,
            port,
            etcd_port,
            etcd: Mutex::new(Some(etcd)),
            api: Mutex::new(None),
            controllers: Mutex::new(None),
            took: Duration::ZERO,
        };
        cluster.start_api();
        cluster.start_controllers();
        cluster.took = start.elapsed();
        // a node for DaemonSets, a custom resource that holds images, and people who may do what could bring an image
        cluster.prepare(&["create", "--validate=false", "-f", "-"], OBJECTS);
        cluster.prepare(&["patch", "node", "node-1", "-p", r#"{"spec":{"taints":null}}"#], "");
        let established =
            ["wait", "--for=condition=established", "crd/rollouts.argoproj.io", "--timeout=20s"];
        cluster.prepare(&established, "");
        Some(cluster)
    }

    /// Starts the API server, and waits until it is ready.
    pub fn start_api(&self) {
        let mut api =
            Process::start(&self.programs.api, &self.api_arguments(), &self.folder.at("apiserver.log"));
        let start = Instant::now();
        while self.get("/readyz").is_none_or(|(status, _)| status != 200) {
            let ended = api.ended();
            let is_late = start.elapsed() > Duration::from_secs(60);
            assert!(ended.is_none() && !is_late, "no API server, {ended:?}:\n{}", api.tail());
            std::thread::sleep(Duration::from_millis(50));
        }
        *self.api.lock().unwrap() = Some(api);
    }

    /// Ends the API server at once, as a crash does.
    pub fn kill_api(&self) {
        self.api.lock().unwrap().take();
    }

    /// Keeps what etcd has now, under this name.
    pub fn snapshot(&self, name: &str) {
        self.kill_api();
        self.copy_etcd("etcd", name);
        self.start_api();
    }

    /// Makes etcd have again what it had.
    pub fn restore(&self, name: &str) {
        self.kill_api();
        self.copy_etcd(name, "etcd");
        self.start_api();
    }

    /// Copies etcd's folder while nobody writes into it.
    fn copy_etcd(&self, from: &str, to: &str) {
        self.etcd.lock().unwrap().take();
        let (from, to) = (self.folder.text(from), self.folder.text(to));
        for words in [vec!["rm", "-rf", &to], vec!["cp", "-a", &from, &to]] {
            assert!(Command::new(words[0]).args(&words[1..]).status().unwrap().success(), "{words:?}");
        }
        *self.etcd.lock().unwrap() = Some(start_etcd(&self.programs, &self.folder, self.etcd_port));
    }

    pub fn start_controllers(&self) {
        let Some(program) = &self.programs.controllers else {
            eprintln!("\n*** no kube-controller-manager: what controllers make is NOT tried ***\n");
            return;
        };
        let at = |name: &str| self.folder.text(name);
        let args = [
            format!("--kubeconfig={}", at("controllers.yaml")),
            format!("--service-account-private-key-file={}", at("accounts.key")),
            format!("--root-ca-file={}", at("cluster.pem")),
            "--use-service-account-credentials".to_owned(),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            "--kube-api-qps=500".to_owned(),
            "--kube-api-burst=1000".to_owned(),
            format!("--controllers={CONTROLLERS}"),
        ];
        let log = self.folder.at("controllers.log");
        *self.controllers.lock().unwrap() = Some(Process::start(program, &args, &log));
    }

    pub fn has_controllers(&self) -> bool {
        self.controllers.lock().unwrap().is_some()
    }

    fn api_arguments(&self) -> Vec<String> {
        let at = |name: &str| self.folder.text(name);
        let mut args: Vec<String> = [
            AUTHORIZED,
            "--bind-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--allow-privileged=true",
            "--audit-log-mode=blocking",
            // ten thousand Pods fill the usual 100 MB, and what is then begun anew is no longer read
            "--audit-log-maxsize=4096",
            "--runtime-config=api/all=true",
            "--profiling=false",
        ]
        .map(str::to_owned)
        .to_vec();
        args.push(format!("--secure-port={}", self.port));
        args.push(format!("--etcd-servers=https://127.0.0.1:{}", self.etcd_port));
        for (flag, file) in [
            ("etcd-cafile", "cluster.pem"),
            ("etcd-certfile", "etcd-client.pem"),
            ("etcd-keyfile", "etcd-client.key"),
            ("tls-cert-file", "serving.pem"),
            ("tls-private-key-file", "serving.key"),
            ("client-ca-file", "cluster.pem"),
            ("service-account-key-file", "accounts.pub"),
            ("service-account-signing-key-file", "accounts.key"),
            ("admission-control-config-file", "admission.json"),
            ("audit-policy-file", "audit-policy.json"),
            ("audit-log-path", "audit.jsonl"),
        ] {
            args.push(format!("--{flag}={}", at(file)));
        }
        args
    }

    fn client(&self, person: &str) -> Client {
        let identity =
            Some((self.folder.at(&format!("{person}.pem")), self.folder.at(&format!("{person}.key"))));
        let tls = ClientTls { ca: Some(self.folder.at("cluster.pem")), identity };
        Client::new(&format!("https://127.0.0.1:{}", self.port), &tls, None).unwrap()
    }

    /// Asks the API as the cluster admin, without kubectl: status and answer; nothing where nobody answers.
    pub fn get(&self, path: &str) -> Option<(u16, Vec<u8>)> {
        self.ask("GET", path, "")
    }

    pub fn ask(&self, method: &str, path: &str, body: &str) -> Option<(u16, Vec<u8>)> {
        let client = self.client(Person::ClusterAdmin.name());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let headers = [("content-type", "application/json"), ("accept", "application/json")];
            let answer = client.send(method, path, &headers, body.as_bytes().to_vec()).await.ok()?;
            let status = answer.status;
            Some((status, answer.all(64 << 20).await.ok()?))
        })
    }

    /// Runs kubectl as somebody.
    pub fn kubectl(&self, person: Person, namespace: &str, args: &[&str], input: &str) -> Said {
        self.kubectl_with(person, namespace, args, input, "false")
    }

    /// With an editor, for `kubectl edit`.
    pub fn kubectl_with(
        &self,
        person: Person,
        namespace: &str,
        args: &[&str],
        input: &str,
        editor: &str,
    ) -> Said {
        self.kubectl_by(person.name(), namespace, args, input, editor)
    }

    /// With the kubeconfig `NAME.yaml` of the cluster's folder.
    pub fn kubectl_by(&self, name: &str, namespace: &str, args: &[&str], input: &str, editor: &str) -> Said {
        let mut command = Command::new(&self.programs.kubectl);
        command
            .env_clear()
            .env("HOME", self.folder.at(""))
            .env("PATH", "/usr/bin:/bin")
            .env("KUBE_EDITOR", editor);
        command.arg("--kubeconfig").arg(self.folder.at(&format!("{name}.yaml")));
        command.arg("--request-timeout=30s");
        if !namespace.is_empty() {
            command.args(["--namespace", namespace]);
        }
        command.args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (mut stdin, text) = (child.stdin.take().unwrap(), input.to_owned());
        let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()).ok());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let exit = output.status.code().unwrap_or(-1);
        Said { exit, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// kubectl as the cluster admin, for what a test needs before it begins.
    pub fn prepare(&self, args: &[&str], input: &str) -> String {
        let said = self.kubectl(Person::ClusterAdmin, "", args, input);
        assert_eq!(said.exit, 0, "kubectl {args:?}: {}\n{input}", said.stderr);
        said.stdout
    }

    /// Namespaces with these labels (JSON), with both people in their roles, and with the service account that every Pod wants.
    pub fn namespaces(&self, names: &[String], labels: &[String]) {
        let mut list = String::new();
        for (name, labels) in names.iter().zip(labels) {
            list += &format!(
                r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{name}","labels":{{{labels}}}}}}}
"#
            );
            for (person, role) in [(Person::NamespaceAdmin, "admin"), (Person::Tenant, "edit")] {
                list += &format!(
                    r#"{{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{{"name":"{role}","namespace":"{name}"}},
"roleRef":{{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"{role}"}},
"subjects":[{{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"{}"}}]}}
"#,
                    person.name()
                );
            }
            if !self.has_controllers() {
                list += &format!(
                    r#"{{"apiVersion":"v1","kind":"ServiceAccount","metadata":{{"name":"default","namespace":"{name}"}}}}
"#
                );
            }
        }
        self.prepare(&["create", "--validate=false", "-f", "-"], &list);
        let start = Instant::now();
        let is_there = |name: &String| {
            let path = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
            self.get(&path).is_some_and(|(status, _)| status == 200)
        };
        while !names.iter().all(is_there) {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "no service accounts; see {}",
                self.folder.text("")
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The audit events of the API server so far.
    pub fn audit(&self) -> Vec<Json> {
        let text = self.folder.read("audit.jsonl");
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        // a fraction in some object of somebody else is no event of ours
        complete.lines().filter_map(|line| attest::json::parse(line.as_bytes()).ok()).collect()
    }
}

fn certificates(folder: &Folder) {
    // the cluster's own; and the one by which the API server shows itself to webhooks
    folder.authority("cluster");
    folder.authority("webhook-clients");
    let hosts = "IP:127.0.0.1,IP:10.0.0.1,DNS:localhost,DNS:kubernetes.default.svc";
    folder.certificate("cluster", "serving", "/CN=kube-apiserver", "serverAuth", hosts);
    folder.certificate("cluster", "etcd", "/CN=etcd", "serverAuth,clientAuth", hosts);
    folder.certificate("cluster", "etcd-client", "/CN=kube-apiserver", "clientAuth", "");
    folder.certificate("cluster", "controllers", "/CN=system:kube-controller-manager", "clientAuth", "");
    folder.certificate(
        "webhook-clients",
        "webhook-client",
        "/CN=kube-apiserver",
        "clientAuth",
        "DNS:kube-apiserver",
    );
    folder.certificate("webhook-clients", "ci", "/CN=ci.example", "clientAuth", "DNS:ci.example");
    folder.certificate("cluster", "portcullis", "/CN=portcullis", "clientAuth", "");
    folder.authority("webhook-serving");
    folder.certificate(
        "webhook-serving",
        "webhook",
        "/CN=localhost",
        "serverAuth",
        "DNS:localhost,IP:127.0.0.1",
    );
    for person in Person::ALL {
        folder.certificate("cluster", person.name(), &person.subject(), "clientAuth", "");
    }
    folder.openssl("ecparam -name prime256v1 -genkey -noout -out accounts.key");
    folder.openssl("ec -in accounts.key -pubout -out accounts.pub");
}

fn configuration(folder: &Folder) {
    folder.write("audit-policy.json", AUDIT);
    let user = format!(
        r#"{{"name":"*","user":{{"client-certificate":"{}","client-key":"{}"}}}}"#,
        folder.text("webhook-client.pem"),
        folder.text("webhook-client.key")
    );
    let file = folder.write(
        "webhook-clients.json",
        &format!(r#"{{"apiVersion":"v1","kind":"Config","clusters":[],"contexts":[],"users":[{user}]}}"#),
    );
    let plugin = |name: &str| {
        format!(
            r#"{{"name":"{name}","configuration":{{"apiVersion":"apiserver.config.k8s.io/v1","kind":"WebhookAdmissionConfiguration","kubeConfigFile":"{file}"}}}}"#
        )
    };
    let plugins = [plugin("ValidatingAdmissionWebhook"), plugin("MutatingAdmissionWebhook")].join(",");
    folder.write(
        "admission.json",
        &format!(
            r#"{{"apiVersion":"apiserver.config.k8s.io/v1","kind":"AdmissionConfiguration","plugins":[{plugins}]}}"#
        ),
    );
}

fn start_etcd(programs: &Programs, folder: &Folder, port: u16) -> Process {
    let peer = free_port();
    let at = |name: &str| folder.text(name);
    let mut args =
        vec!["--name=one".to_owned(), "--unsafe-no-fsync".to_owned(), "--log-level=warn".to_owned()];
    for flag in ["listen-client-urls", "advertise-client-urls"] {
        args.push(format!("--{flag}=https://127.0.0.1:{port}"));
    }
    for flag in ["listen-peer-urls", "initial-advertise-peer-urls"] {
        args.push(format!("--{flag}=https://127.0.0.1:{peer}"));
    }
    args.push(format!("--initial-cluster=one=https://127.0.0.1:{peer}"));
    args.push(format!("--data-dir={}", at("etcd")));
    for prefix in ["", "peer-"] {
        args.push(format!("--{prefix}cert-file={}", at("etcd.pem")));
        args.push(format!("--{prefix}key-file={}", at("etcd.key")));
        args.push(format!("--{prefix}trusted-ca-file={}", at("cluster.pem")));
        args.push(format!("--{prefix}client-cert-auth"));
    }
    Process::start(&programs.etcd, &args, &folder.at("etcd.log"))
}

fn kubeconfig(folder: &Folder, port: u16, name: &str) {
    let at = |name: &str| folder.text(name);
    let text = format!(
        "apiVersion: v1
kind: Config
current-context: it
clusters: [{{ name: it, cluster: {{ server: \"https://127.0.0.1:{port}\", certificate-authority: {} }} }}]
contexts: [{{ name: it, context: {{ cluster: it, user: it }} }}]
users: [{{ name: it, user: {{ client-certificate: {}, client-key: {} }} }}]
",
        at("cluster.pem"),
        at(&format!("{name}.pem")),
        at(&format!("{name}.key")),
    );
    folder.write(&format!("{name}.yaml"), &text);
}
