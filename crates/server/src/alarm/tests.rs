//! Sinks on real sockets: they answer, refuse, hang, and come back.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use attest::Object;
use aws_lc_rs::hmac;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;
use crate::webhook::{AlarmMail, AlarmWebhook, MailTls};

const SECRET: &str = "a secret that is shared, 32 bytes.";

fn clock() -> crate::Clock {
    Arc::new(|| jiff::Timestamp::from_second(1_800_000_000).unwrap())
}

fn notice(what: &str) -> Notice {
    let body = Object::new()
        .with("id", "undecided-0123456789abcdef")
        .with("severity", "critical")
        .with("what", what)
        .with("fix", "stop it")
        .with("fields", Object::new().with("workload", "eu-1/shop/Deployment/web"));
    Notice { sequence: 17, event: "alarm", body, ..Notice::test("log.example", clock()()) }
}

/// Answers each connection with the next of these; keeps what came.
fn http(answers: Vec<&'static str>) -> (String, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
            let mut body = vec![0; length.map_or(0, |n| n.parse().unwrap())];
            reader.read_exact(&mut body).unwrap();
            send.send((head, String::from_utf8(body).unwrap())).unwrap();
            if answer == "hang" {
                std::thread::sleep(Duration::from_secs(30));
            }
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (address, receive)
}

fn post(dir: &Path, address: &str) -> AlarmSink {
    let secret = dir.join("secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    AlarmSink::Webhook(AlarmWebhook { url: format!("http://{address}/T/topsecret"), secret, ca: None })
}

#[test]
fn a_webhook_gets_what_is_signed_under_the_shared_secret() {
    let dir = tempfile::tempdir().unwrap();
    let (address, came) = http(vec!["HTTP/1.1 204 No Content\r\n\r\n"]);
    teller(&post(dir.path(), &address), &clock()).tell(&notice("it runs")).unwrap();
    let (head, body) = came.recv().unwrap();
    assert!(head.starts_with("POST /T/topsecret HTTP/1.1\r\n"), "{head}");
    let signature =
        head.lines().find_map(|l| l.strip_prefix("portcullis-signature: t=1800000000,v1=")).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = attest::digest::parse_hex(signature).unwrap();
    hmac::verify(&key, format!("1800000000.{body}").as_bytes(), &tag).unwrap();
    let json = attest::json::parse(body.as_bytes()).unwrap();
    let json = json.as_object().unwrap();
    assert_eq!((json.string("event"), json.int("sequence")), (Ok("alarm"), Ok(17)));
    assert_eq!(json.object("alarm").unwrap().string("what"), Ok("it runs"));
    assert!(!body.contains(SECRET) && !head.contains(SECRET));
}

#[test]
fn a_webhook_that_refuses_redirects_or_hangs_is_a_failure_in_bounded_time_without_a_secret() {
    let dir = tempfile::tempdir().unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (address, _came) = http(vec![
        "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/elsewhere\r\ncontent-length: 0\r\n\r\n",
        "noise",
        "hang",
    ]);
    let short = dir.path().join("short");
    std::fs::write(&short, "guessable").unwrap();
    let weak = AlarmSink::Webhook(AlarmWebhook { url: format!("http://{gone}/"), secret: short, ca: None });
    let sink = post(dir.path(), &address);
    let began = Instant::now();
    for (sink, words) in [
        (&sink, "it answers 500"),
        (&sink, "it answers 302"),
        (&sink, "the connection failed"),
        (&sink, "no answer within 10 s"),
        (&post(dir.path(), &gone), "the connection failed"),
        (&weak, "less than 32 bytes"),
    ] {
        let failed = teller(sink, &clock()).tell(&notice("x")).unwrap_err();
        assert!(failed.contains(words), "{words}: {failed}");
        assert!(!failed.contains("topsecret") && !failed.contains(SECRET), "{failed}");
    }
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(name(&sink).0, format!("webhook {address}"));
}

#[test]
fn a_dead_sink_does_not_keep_another_from_being_told() {
    let dir = tempfile::tempdir().unwrap();
    let (address, _came) = http(vec!["hang"]);
    let file = dir.path().join("alarms.jsonl");
    let start = |sink: &AlarmSink| {
        let (name, digest) = name(sink);
        let source = Arc::new(|from| Ok((Vec::new(), from)));
        let (file, tell) = (dir.path().join(format!("{digest}.json")), teller(sink, &clock()));
        let (metrics, pace) = (AlarmMetrics::default(), deliver::Pace::default());
        let delivery = deliver::Delivery { name, tell, file, source, metrics, pace };
        Outbox::start(delivery, 0, &[]).unwrap()
    };
    let all = [start(&post(dir.path(), &address)), start(&AlarmSink::File(file.clone()))];
    let began = Instant::now();
    all.iter().for_each(|outbox| outbox.push(&notice("it runs")));
    assert!(began.elapsed() < Duration::from_millis(500), "telling holds nobody up");
    while !std::fs::read_to_string(&file).is_ok_and(|text| text.contains("it runs")) {
        assert!(began.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_line_that_was_cut_off_stays_a_line_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("alarms.jsonl");
    let mut sink = teller(&AlarmSink::File(file.clone()), &clock());
    sink.tell(&notice("one")).unwrap();
    let whole = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, whole.get(..40).unwrap()).unwrap();
    sink.tell(&notice("two")).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(attest::json::parse(lines[1].as_bytes()).is_ok() && text.ends_with('\n'));
    let full = teller(&AlarmSink::File(PathBuf::from("/dev/full")), &clock()).tell(&notice("x")).unwrap_err();
    assert!(full.contains("/dev/full cannot be written"), "{full}");
}

/// A mail server for one connection after the other: says what it is told to, with STARTTLS.
struct MailServer {
    dir: tempfile::TempDir,
    port: u16,
    mails: Arc<Mutex<Vec<String>>>,
    /// What was said before TLS, and after it.
    said: Arc<Mutex<[String; 2]>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Manner {
    StartTls,
    /// Does not offer it: somebody in between takes it away.
    Plain,
    /// Refuses the recipient.
    Refuses,
    Hangs,
}

impl MailServer {
    fn start(manners: Vec<Manner>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let openssl = |args: &str| {
            let output =
                Command::new("openssl").args(args.split(' ')).current_dir(dir.path()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        openssl(&format!(
            "req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=ca -addext basicConstraints=critical,CA:TRUE"
        ));
        openssl(&format!("req -new {key} -keyout server.key -out server.csr -subj /CN=mail"));
        std::fs::write(dir.path().join("san"), "subjectAltName=IP:127.0.0.1").unwrap();
        openssl(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out server.pem",
        );
        let chain = CertificateDer::pem_file_iter(dir.path().join("server.pem"))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let key = PrivateKeyDer::from_pem_file(dir.path().join("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let tls = Arc::new(tls.with_no_client_auth().with_single_cert(chain, key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mails, said) =
            (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new([const { String::new() }; 2])));
        let (kept, heard) = (Arc::clone(&mails), Arc::clone(&said));
        std::thread::spawn(move || {
            for manner in manners {
                let (stream, _) = listener.accept().unwrap();
                if manner == Manner::Hangs {
                    std::thread::sleep(Duration::from_secs(30));
                    continue;
                }
                // a client that goes away is what some tests want
                converse(stream, manner, &tls, &kept, &heard).ok();
            }
        });
        Self { dir, port, mails, said }
    }

    fn sink(&self, tls: MailTls, ca: &str, password: Option<&str>) -> AlarmSink {
        let login = password.map(|password| {
            let file = self.dir.path().join("password");
            std::fs::write(&file, format!("{password}\n")).unwrap();
            ("portcullis".to_owned(), file)
        });
        AlarmSink::Mail(AlarmMail {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            tls,
            from: "portcullis@acme.example".to_owned(),
            to: vec!["oncall@acme.example".to_owned()],
            login,
            ca: Some(self.dir.path().join(ca)),
        })
    }
}

fn converse(
    mut plain: TcpStream,
    manner: Manner,
    tls: &Arc<rustls::ServerConfig>,
    mails: &Mutex<Vec<String>>,
    said: &Mutex<[String; 2]>,
) -> std::io::Result<()> {
    plain.write_all(b"220 mail.example\r\n")?;
    if !speak(&mut plain, manner, false, mails, said)? {
        return Ok(());
    }
    let connection = rustls::ServerConnection::new(Arc::clone(tls)).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, plain);
    speak(&mut stream, manner, true, mails, said).map(drop)
}

/// Whether TLS is to begin.
fn speak(
    stream: &mut (impl Read + Write),
    manner: Manner,
    is_tls: bool,
    mails: &Mutex<Vec<String>>,
    said: &Mutex<[String; 2]>,
) -> std::io::Result<bool> {
    let (mut line, mut mail, mut in_mail) = (String::new(), String::new(), false);
    loop {
        let mut byte = [0];
        if stream.read(&mut byte)? == 0 {
            return Ok(false);
        }
        line.push(char::from(byte[0]));
        if !line.ends_with("\r\n") {
            continue;
        }
        let said_now = std::mem::take(&mut line);
        said.lock().unwrap()[usize::from(is_tls)].push_str(&said_now);
        if in_mail {
            if said_now == ".\r\n" {
                in_mail = false;
                mails.lock().unwrap().push(std::mem::take(&mut mail));
                stream.write_all(b"250 kept\r\n")?;
            } else {
                mail.push_str(&said_now);
            }
            continue;
        }
        let word = said_now.split([' ', '\r', ':']).next().unwrap().to_ascii_uppercase();
        let answer: &[u8] = match word.as_str() {
            "EHLO" if is_tls => b"250-mail.example\r\n250 AUTH PLAIN LOGIN\r\n",
            "EHLO" if manner == Manner::Plain => b"250-mail.example\r\n250 AUTH PLAIN LOGIN\r\n",
            "EHLO" => b"250-mail.example\r\n250 STARTTLS\r\n",
            "STARTTLS" => {
                stream.write_all(b"220 begin\r\n")?;
                return Ok(true);
            }
            "AUTH" => b"235 welcome\r\n",
            "RCPT" if manner == Manner::Refuses => b"550 5.1.1 nobody here\r\n",
            "DATA" => {
                in_mail = true;
                b"354 go on\r\n"
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n")?;
                return Ok(false);
            }
            _ => b"250 ok\r\n",
        };
        stream.write_all(answer)?;
    }
}

#[test]
fn a_mail_goes_out_under_tls_with_the_password_and_is_the_same_each_time() {
    let server = MailServer::start(vec![Manner::StartTls; 2]);
    let mut sink = teller(&server.sink(MailTls::StartTls, "ca.pem", Some("hunter2")), &clock());
    sink.tell(&notice("it runs\r\nBcc: everybody@evil.example")).unwrap();
    sink.tell(&notice("it runs\r\nBcc: everybody@evil.example")).unwrap();
    let mails = server.mails.lock().unwrap().clone();
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[0], mails[1], "a mail that came twice is one");
    assert!(mails[0].contains("Message-ID: <undecided-0123456789abcdef.17@portcullis>"), "{}", mails[0]);
    assert!(mails[0].contains("eu-1/shop/Deployment/web") && mails[0].contains("stop it"), "{}", mails[0]);
    let head = mails[0].split("\r\n\r\n").next().unwrap();
    assert!(!head.lines().any(|line| line.to_lowercase().starts_with("bcc")), "{head}");
    let [before, after] = server.said.lock().unwrap().clone();
    assert!(!before.contains("AUTH") && !before.contains("MAIL"), "{before}");
    assert!(after.contains("AUTH PLAIN"), "{after}");
}

#[test]
fn a_mail_server_without_tls_of_another_authority_or_that_refuses_is_a_failure_without_a_secret() {
    let server = MailServer::start(vec![Manner::Plain, Manner::StartTls, Manner::Refuses, Manner::Hangs]);
    std::fs::copy(server.dir.path().join("server.pem"), server.dir.path().join("other.pem")).unwrap();
    let began = Instant::now();
    for (ca, words) in
        [("ca.pem", "STARTTLS"), ("other.pem", "certificate"), ("ca.pem", "nobody here"), ("ca.pem", "")]
    {
        let sink = server.sink(MailTls::StartTls, ca, Some("hunter2"));
        let failed = teller(&sink, &clock()).tell(&notice("x")).unwrap_err();
        assert!(failed.to_lowercase().contains(&words.to_lowercase()), "{words}: {failed}");
        assert!(!failed.contains("hunter2"), "{failed}");
    }
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    let [before, _] = server.said.lock().unwrap().clone();
    assert!(!before.contains("AUTH"), "no password without TLS: {before}");
    assert!(server.mails.lock().unwrap().is_empty());
}

#[test]
fn a_test_says_of_each_sink_what_came_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (address, came) = http(vec!["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]);
    let sinks = [
        post(dir.path(), &address),
        AlarmSink::File(dir.path().join("alarms.jsonl")),
        AlarmSink::File(PathBuf::from("/dev/full")),
    ];
    let results = test(&sinks, "log.example", &clock());
    assert_eq!(results.iter().map(|(_, r)| r.is_ok()).collect::<Vec<_>>(), [true, true, false]);
    assert!(came.recv().unwrap().1.contains("nothing is wrong"));
}
