//! Against a real kube-apiserver, where it is installed: what is there, what is not, and what we may not read.

#[path = "../../cli/tests/tools/port.rs"]
mod port;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cluster::{Cluster, ClusterError};
use port::free_port;

const PATIENCE: Duration = Duration::from_secs(10);
const CERTIFICATES: &str = r#"set -e
new() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.key -subj "$2" "${@:3}"; }
sign() { openssl x509 -req -in $1.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out $1.crt -extfile names; }
new ca /CN=ca -x509 -days 2 -out ca.crt
echo subjectAltName=IP:127.0.0.1 > names
new api /CN=api -out api.csr; sign api
new admin /O=system:masters/CN=admin -out admin.csr; sign admin
new nobody /CN=nobody -out nobody.csr; sign nobody
openssl ecparam -name prime256v1 -genkey -noout -out accounts.key
"#;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn programs() -> Option<PathBuf> {
    let folder = std::env::home_dir().unwrap().join(".cache/portcullis/kubernetes/1.37.2");
    if ["etcd", "kube-apiserver", "kubectl"].iter().all(|program| folder.join(program).exists()) {
        return Some(folder);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "the Kubernetes programs must be there in CI: {}",
        folder.display()
    );
    eprintln!(
        "\n*** SKIPPED: no Kubernetes programs at {}. This test checked NOTHING ***\n",
        folder.display()
    );
    None
}

fn start(program: &Path, dir: &Path, args: &[String]) -> Running {
    let log = fs::File::create(dir.join(format!("{}.log", program.file_name().unwrap().display()))).unwrap();
    // it is gone when the test is gone, however that ends
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(args).current_dir(dir);
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    Running(command.spawn().unwrap())
}

fn kubeconfig(dir: &Path, port: u16, who: &str) -> PathBuf {
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts:\n- {{name: a, context: {{cluster: a, user: a}}}}\n\
         users:\n- {{name: a, user: {{client-certificate: {who}.crt, client-key: {who}.key}}}}\n\
         clusters:\n- {{name: a, cluster: {{server: 'https://127.0.0.1:{port}', certificate-authority: ca.crt}}}}\n"
    );
    let path = dir.join(format!("{who}.yaml"));
    fs::write(&path, text).unwrap();
    path
}

fn kubectl(programs: &Path, config: &Path, args: &[&str]) -> bool {
    let mut command = Command::new(programs.join("kubectl"));
    command.arg("--kubeconfig").arg(config).args(args).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().unwrap().success()
}

/// etcd and an API server on their way up.
fn cluster(programs: &Path, dir: &Path) -> (u16, Running, Running) {
    let made =
        Command::new("bash").args(["-c", CERTIFICATES]).current_dir(dir).stderr(Stdio::null()).status();
    assert!(made.unwrap().success());
    let (etcd_port, peer_port, api_port) = (free_port(), free_port(), free_port());
    let etcd = [
        "--data-dir=etcd".to_owned(),
        "--unsafe-no-fsync".to_owned(),
        format!("--listen-client-urls=http://127.0.0.1:{etcd_port}"),
        format!("--advertise-client-urls=http://127.0.0.1:{etcd_port}"),
        format!("--listen-peer-urls=http://127.0.0.1:{peer_port}"),
    ];
    let api = [
        format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
        format!("--secure-port={api_port}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        "--tls-cert-file=api.crt".to_owned(),
        "--tls-private-key-file=api.key".to_owned(),
        "--client-ca-file=ca.crt".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        "--service-account-key-file=accounts.key".to_owned(),
        "--service-account-signing-key-file=accounts.key".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--disable-admission-plugins=ServiceAccount".to_owned(),
    ];
    let etcd = start(&programs.join("etcd"), dir, &etcd);
    let api = start(&programs.join("kube-apiserver"), dir, &api);
    (api_port, etcd, api)
}

#[tokio::test]
async fn what_a_real_api_server_says() {
    let Some(programs) = programs() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (port, _etcd, api) = cluster(&programs, dir.path());
    let (admin, nobody) = (kubeconfig(dir.path(), port, "admin"), kubeconfig(dir.path(), port, "nobody"));
    let started = Instant::now();
    while !kubectl(&programs, &admin, &["get", "--raw", "/readyz"]) {
        let log = || fs::read_to_string(dir.path().join("kube-apiserver.log")).unwrap_or_default();
        assert!(started.elapsed() < Duration::from_secs(120), "no API server:\n{}", log());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(kubectl(&programs, &admin, &["create", "deployment", "web", "--image=registry.example/shop:1"]));
    assert!(kubectl(&programs, &admin, &["create", "cronjob", "c", "--image=a/b", "--schedule=0 0 1 1 *"]));

    let ours = Cluster::from_kubeconfig(&admin).await.unwrap();
    let get = |kind: &'static str, name: &'static str| {
        let version = if kind == "CronJob" { "batch/v1" } else { "apps/v1" };
        let ours = ours.clone();
        async move { ours.get(version, kind, Some("default"), name, PATIENCE).await }
    };
    let web = get("Deployment", "web").await.unwrap().unwrap();
    let metadata = web.as_object().unwrap().object("metadata").unwrap();
    assert_eq!(metadata.string("uid").unwrap().len(), 36);
    assert!(get("CronJob", "c").await.unwrap().is_some());
    assert_eq!(get("Deployment", "absent").await, Ok(None));
    assert_eq!(get("StatefulSet", "web").await, Ok(None));
    assert_eq!(ours.get("v1", "Pod", Some("no-such-namespace"), "web", PATIENCE).await, Ok(None));

    let others = Cluster::from_kubeconfig(&nobody).await.unwrap();
    let error = others.get("apps/v1", "Deployment", Some("default"), "web", PATIENCE).await.unwrap_err();
    assert_eq!(error, ClusterError::Forbidden("Deployment default/web".to_owned()));
    // another authority vouches for the server: nobody knows who answers
    fs::copy(dir.path().join("nobody.crt"), dir.path().join("ca.crt")).unwrap();
    let misled = Cluster::from_kubeconfig(&admin).await.unwrap();
    let error = misled.get("apps/v1", "Deployment", Some("default"), "web", PATIENCE).await.unwrap_err();
    assert!(matches!(error, ClusterError::Unreachable(_)), "{error}");
    // it goes away, and that is no absence
    drop(api);
    let error = get("Deployment", "web").await.unwrap_err();
    assert!(error.is_passing(), "{error}");
}
