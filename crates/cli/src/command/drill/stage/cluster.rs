//! A throw-away API server of Kubernetes with its store, where this machine has them. It has no nodes: nothing runs, and
//! everything before that is real.

use std::fs::OpenOptions;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use server::{Client, ClientTls};

use super::{Stage, word};
use crate::command::drill::outcome::Trial;
use crate::failure::Failure;
use crate::keys;

const ABSENT: &str = "no kube-apiserver on this machine";
/// Each is in the folder with the other.
const PROGRAMS: [&str; 2] = ["etcd", "kube-apiserver"];
/// Below a user's home: where this project builds them, in a folder of their version.
const BUILT: &str = ".cache/portcullis/kubernetes";
/// How long they may take to be ready.
const WITHIN: Duration = Duration::from_secs(60);
const MAX_ANSWER: u64 = 1 << 20;
const AUDIT: &str = r#"{"apiVersion":"audit.k8s.io/v1","kind":"Policy","omitStages":["RequestReceived"],"rules":[{"level":"None","users":["system:apiserver"]},{"level":"Metadata"}]}"#;
const KUBECONFIG: &str = "apiVersion: v1
kind: Config
current-context: drill
clusters: [{ name: drill, cluster: { server: \"URL\", certificate-authority: \"CA\" } }]
contexts: [{ name: drill, context: { cluster: drill, user: drill } }]
users: [{ name: drill, user: { token: \"TOKEN\" } }]
";
/// It is nobody's cluster: who has the token may do everything, and nobody else anything.
const SETTINGS: [&str; 12] = [
    "--bind-address=127.0.0.1",
    // nobody is told of it, and a machine without a network has none of its own
    "--advertise-address=10.0.0.1",
    "--authorization-mode=AlwaysAllow",
    "--anonymous-auth=false",
    // there are no controllers that would make the accounts of Pods
    "--disable-admission-plugins=ServiceAccount",
    "--endpoint-reconciler-type=none",
    "--service-account-issuer=https://kubernetes.default.svc",
    "--service-cluster-ip-range=10.0.0.0/24",
    "--audit-log-mode=blocking",
    "--audit-log-path=audit.jsonl",
    "--audit-policy-file=audit-policy.json",
    "--token-auth-file=tokens.csv",
];

pub(crate) struct ApiServer {
    dir: PathBuf,
    client: Client,
    processes: Vec<Child>,
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        // the store goes last
        for process in self.processes.iter_mut().rev() {
            process.kill().ok();
            process.wait().ok();
        }
    }
}

impl Stage<'_> {
    /// What is tried with an API server; where there is none, that it was not.
    pub(crate) fn with_api_server(
        &self,
        what: &[&'static str],
        stage: impl FnOnce(&ApiServer) -> Result<Vec<Trial>, Failure>,
    ) -> Result<Vec<Trial>, Failure> {
        match programs(self.kubernetes.as_deref(), keys::home(BUILT).ok().as_deref()) {
            Some(programs) => {
                self.output.progress("     starting a throw-away API server of Kubernetes");
                stage(&ApiServer::start(self, &programs)?)
            }
            None => Ok(what.iter().map(|what| Trial::NotStaged { what, why: ABSENT }).collect()),
        }
    }
}

/// The folder with the programs: the one that was named, or one that was built.
fn programs(named: Option<&Path>, built: Option<&Path>) -> Option<PathBuf> {
    let versions = built.and_then(|built| std::fs::read_dir(built).ok()).into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = versions.map(|version| version.path()).collect();
    versions.sort();
    let mut all = named.map(Path::to_owned).into_iter().chain(versions.into_iter().rev());
    all.find(|folder| PROGRAMS.iter().all(|program| folder.join(program).is_file()))
}

fn cannot(what: &str, found: &dyn std::fmt::Display) -> Failure {
    Failure::new(&format!("kube-apiserver is on this machine, and {what}"))
        .line("found", &found.to_string())
        .line("fix", "mend it, so that the drill can stage what is tried with it")
}

/// A port that is free now.
fn port() -> Result<u16, Failure> {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).map_err(|e| cannot("there is no port for it", &e))
}

impl ApiServer {
    fn start(stage: &Stage<'_>, programs: &Path) -> Result<Self, Failure> {
        let dir = stage.fresh("cluster")?;
        // for its certificate, and the authority of that
        stage.portcullis(&["init", &word(&dir.join("files"))])?.worked()?;
        let (store, peer, own) = (port()?, port()?, port()?);
        let (store, peer) = (format!("http://127.0.0.1:{store}"), format!("http://127.0.0.1:{peer}"));
        let url = format!("https://127.0.0.1:{own}");
        let (token, ca) = (keys::invocation()?, dir.join("files/tls/ca.crt"));
        let text = KUBECONFIG.replace("URL", &url).replace("CA", &word(&ca)).replace("TOKEN", &token);
        keys::write(&dir.join("kubeconfig"), &text)?;
        keys::write(&dir.join("tokens.csv"), &format!("{token},drill,1,system:masters\n"))?;
        keys::write(&dir.join("audit-policy.json"), AUDIT)?;
        keys::write(&dir.join("audit.jsonl"), "")?;
        let tls = ClientTls { ca: Some(ca), identity: None };
        let client = Client::new(&url, &tls, Some(token)).map_err(|e| cannot("cannot be asked", &e))?;
        let mut started = Self { dir, client, processes: Vec::new() };
        started.spawn(
            &programs.join("etcd"),
            &[
                "--name=one",
                "--data-dir=etcd",
                "--unsafe-no-fsync",
                "--log-level=error",
                &format!("--listen-client-urls={store}"),
                &format!("--advertise-client-urls={store}"),
                &format!("--listen-peer-urls={peer}"),
                &format!("--initial-advertise-peer-urls={peer}"),
                &format!("--initial-cluster=one={peer}"),
            ],
        )?;
        let (certificate, key) = ("files/tls/server.crt", "files/tls/server.key");
        let more = [
            format!("--secure-port={own}"),
            format!("--etcd-servers={store}"),
            format!("--tls-cert-file={certificate}"),
            format!("--tls-private-key-file={key}"),
            format!("--service-account-key-file={certificate}"),
            format!("--service-account-signing-key-file={key}"),
        ];
        let settings: Vec<&str> = SETTINGS.into_iter().chain(more.iter().map(String::as_str)).collect();
        started.spawn(&programs.join("kube-apiserver"), &settings)?;
        started.wait()?;
        Ok(started)
    }

    fn spawn(&mut self, program: &Path, settings: &[&str]) -> Result<(), Failure> {
        let failed = |e: std::io::Error| cannot("does not start", &e);
        let log = OpenOptions::new().create(true).append(true).open(self.dir.join("cluster.log"));
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &self.dir).current_dir(&self.dir);
        command.args(settings).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.map_err(failed)?);
        self.processes.push(command.spawn().map_err(failed)?);
        Ok(())
    }

    fn wait(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        while !matches!(self.ask("GET", "/readyz", ""), Ok(200)) {
            let has_ended = self.processes.iter_mut().any(|one| one.try_wait().ok().flatten().is_some());
            if has_ended || began.elapsed() > WITHIN {
                let said = std::fs::read_to_string(self.dir.join("cluster.log")).unwrap_or_default();
                return Err(cannot("is not ready", &said.lines().last().unwrap_or("it says nothing")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Result<u16, Failure> {
        let failed = |e: &dyn std::fmt::Display| cannot("does not answer", e);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|e| failed(&e))?.block_on(async {
            let headers = [("content-type", "application/json"), ("accept", "application/json")];
            let sent = self.client.send(method, path, &headers, body.into()).await;
            let answer = sent.map_err(|e| failed(&e))?;
            let status = answer.status;
            answer.all(MAX_ANSWER).await.map_err(|e| failed(&e))?;
            Ok(status)
        })
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    pub(crate) fn audit_log(&self) -> PathBuf {
        self.dir.join("audit.jsonl")
    }

    /// Writes an object, which no webhook is asked about.
    pub(crate) fn create(&self, path: &str, object: &str) -> Result<(), Failure> {
        match self.ask("POST", path, object)? {
            201 => Ok(()),
            other => Err(cannot("does not take an object", &format!("{path}: HTTP {other}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_named_comes_before_what_was_built_where_it_has_both_programs() {
        let dir = tempfile::tempdir().unwrap();
        let (named, built) = (dir.path().join("named"), dir.path().join("built"));
        let put = |folder: &Path, names: &[&str]| {
            std::fs::create_dir_all(folder).unwrap();
            names.iter().for_each(|name| std::fs::write(folder.join(name), "").unwrap());
        };
        assert_eq!(programs(None, None), None);
        put(&named, &["etcd"]);
        assert_eq!(programs(Some(&named), Some(&built)), None);
        put(&built.join("1.37.2"), &PROGRAMS);
        assert_eq!(programs(Some(&named), Some(&built)), Some(built.join("1.37.2")));
        put(&named, &PROGRAMS);
        assert_eq!(programs(Some(&named), Some(&built)), Some(named.clone()));
    }
}
