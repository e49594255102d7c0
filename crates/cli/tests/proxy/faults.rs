//! A proxy under load and fault: nothing that was not decided arrives, nothing stays, and everybody hears why.

use std::fs;
use std::io::{BufRead as _, Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use attest::Digest;

use crate::raw::Raw;
use crate::said;
use crate::site::{Policy, Site, TLS, address, proxy, until};
use crate::tools::serving::Serving;
use crate::upstream::Recorder;

fn site(upstream: &str, more: &str) -> Site {
    let section = format!(
        "  - name: files
    kind: put
    {TLS}
    upstream: {{ url: \"{upstream}\", connect: 2s, answer: 1s, credentials: login }}
    as: files.example
    {more}
    routes: [{{ names: [\"releases/*\"], environment: prod/files }}]
"
    );
    let site = Site::new(&[Policy::tested("prod/files", "files.example/releases/*")], &section);
    site.test(&Digest::sha256(b"good"));
    fs::write(site.at("good"), "good").unwrap();
    fs::write(site.at("login"), "Basic c2VjcmV0OnNlY3JldA==").unwrap();
    site
}

fn put(site: &Site, running: &Serving) -> (u16, String) {
    let url = format!("{}/releases/shop", proxy(running, "files"));
    said(site.curl("ci").args(["-D", "-", "-T"]).arg(site.at("good")).arg(url))
}

/// Bytes that are held, as the numbers have it.
fn held(running: &Serving) -> String {
    let text = running.read("/metrics");
    let line = text.lines().find_map(|l| l.strip_prefix("portcullis_proxy_held_bytes{proxy=\"files\"} "));
    line.unwrap_or("none").to_owned()
}

/// Files without a name that the process has open.
fn open_files(running: &Serving) -> usize {
    let all = fs::read_dir(format!("/proc/{}/fd", running.pid())).unwrap();
    let links = all.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    links.filter(|link| link.to_string_lossy().contains("(deleted)")).count()
}

#[test]
fn an_upstream_that_fails_is_said_so_and_never_asked_twice() {
    // nobody there
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let down = site(&format!("http://{gone}"), "");
    let running = down.start();
    let (status, text) = put(&down, &running);
    assert!(status == 502 && text.contains("does not answer"), "{status} {text}");
    assert!(!text.contains("c2Vj") && !text.contains(&gone.to_string()), "{text}");
    assert!(!text.contains("before sending it again"), "nothing can have arrived: {text}");
    assert!(text.contains("record: ") && text.contains("nothing of it arrived"), "{text}");
    running.event_with(&["\"upstream-failed\"", "\"proxy\":\"files\""]);
    drop(running);

    // one that takes it and says nothing
    let silent = Recorder::saying(|_, _| {
        std::thread::sleep(Duration::from_secs(20));
        false
    });
    down_is(&down, &silent.url());
    let running = down.start();
    let began = Instant::now();
    let (status, text) = put(&down, &running);
    assert!(status == 504 && text.contains("no answer within 1 s"), "{status} {text}");
    assert!(text.contains("look whether it is there before sending it again"), "{text}");
    assert!(text.contains("put to the same place again, change nothing"), "{text}");
    let line = running.event("\"proxied\"");
    let line = attest::json::parse(line.as_bytes()).unwrap();
    let record = line.as_object().unwrap().string("receipt").unwrap();
    assert!(record.split_once(':').unwrap().0.parse::<u64>().is_ok(), "{record}");
    assert!(text.contains(&format!("record: {record}, which admits it")), "{record}: {text}");
    running.event_with(&["\"upstream-failed\"", &format!("\"records\":[\"{record}\"]")]);
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    assert_eq!(silent.seen().len(), 1, "not asked twice");
    drop(running);

    // one that hangs up: at once, and after an answer on a connection that could be used again
    let rude = Recorder::saying(|_, _| false);
    down_is(&down, &rude.url());
    let running = down.start();
    let (status, text) = put(&down, &running);
    assert!(status == 502 && text.contains("before sending it again"), "{status} {text}");
    assert_eq!(rude.seen().len(), 1, "not asked twice");
    drop(running);
    let brief = Recorder::saying(|_, stream| {
        stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").unwrap();
        false
    });
    down_is(&down, &brief.url());
    let running = down.start();
    for _ in 0..5 {
        let (status, text) = put(&down, &running);
        assert_eq!(status, 201, "{text}");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(brief.seen().len(), 5);
    drop(running);

    // one that breaks off in the middle of its answer, or never ends it
    for is_cut in [true, false] {
        let half = Recorder::saying(move |_, stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").unwrap();
            if !is_cut {
                std::thread::sleep(Duration::from_secs(20));
            }
            false
        });
        down_is(&down, &half.url());
        let running = down.start();
        let began = Instant::now();
        let url = format!("{}/releases/shop", proxy(&running, "files"));
        let output = down.curl("ci").arg(url).output().unwrap();
        assert!(!output.status.success(), "half an answer is none: {output:?}");
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    }
}

/// Another upstream for the next start.
fn down_is(site: &Site, url: &str) {
    let text = fs::read_to_string(site.at("serve.yaml")).unwrap();
    let begin = text.find("url: \"http://127").unwrap();
    let end = begin + text[begin..].find(',').unwrap();
    fs::write(site.at("serve.yaml"), format!("{}url: \"{url}\"{}", &text[..begin], &text[end..])).unwrap();
}

#[test]
fn what_the_upstream_says_of_itself_stays_here() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let elsewhere = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:{port}/elsewhere\r\ncontent-length: 0\r\n\r\n"
    );
    let answers = [
        "HTTP/1.1 201 Created\r\nLocation: http://127.0.0.1:PORT/made?x=y\r\nSet-Cookie: a=b\r\nAlt-Svc: h3\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 201 Created\r\nX-Echo: c2VjcmV0OnNlY3JldA==\r\nLocation: /made\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=upstream\r\nX: c2VjcmV0OnNlY3JldA==\r\ncontent-length: 4\r\n\r\nwho?",
        &elsewhere,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ]
    .map(str::to_owned);
    let turn = std::sync::atomic::AtomicUsize::new(0);
    let upstream = Recorder::saying(move |seen, stream| {
        let answer = &answers[turn.fetch_add(1, std::sync::atomic::Ordering::SeqCst)];
        let host = seen.header("host").unwrap();
        stream.write_all(answer.replace("127.0.0.1:PORT", &host).as_bytes()).is_ok()
    });
    let site = site(&upstream.url(), "");
    let running = site.start();
    let own = proxy(&running, "files");
    let (status, text) = put(&site, &running);
    assert!(status == 201 && text.contains(&format!("{own}/made?x=y")), "{text}");
    assert!(
        !text.to_lowercase().contains("set-cookie") && !text.to_lowercase().contains("alt-svc"),
        "{text}"
    );
    assert!(!text.contains(&format!(":{}/", upstream.port)), "{text}");
    let (status, text) = put(&site, &running);
    assert!(status == 201 && text.contains("/made") && !text.contains("c2Vj"), "{text}");
    let (status, text) = put(&site, &running);
    assert!(status == 502 && text.contains("to the proxy's own login"), "{status} {text}");
    assert!(!text.to_lowercase().contains("www-authenticate") && !text.contains("c2Vj"), "{text}");
    let (status, text) = put(&site, &running);
    assert!(
        status == 502 && text.contains("somewhere else") && !text.contains("elsewhere\r"),
        "{status} {text}"
    );
    let (status, text) = put(&site, &running);
    assert!(status == 502, "{status} {text}");
}

#[test]
fn a_body_that_does_not_come_whole_leaves_nothing() {
    let upstream = Recorder::start();
    let site = site(&upstream.url(), "limits: { body: 2MiB, held: 3MiB, requests: 8, time: 3s }");
    let running = site.start();
    let to = address(&running, "files");
    let head = |length: usize| {
        format!("PUT /releases/shop HTTP/1.1\r\nhost: proxy.example\r\ncontent-length: {length}\r\n\r\n")
    };
    let begun = |length: usize, sent: usize| {
        let mut client = Raw::connect(&site, &to, "ci");
        client.send(head(length).as_bytes());
        client.send(&vec![b'x'; sent]);
        client
    };
    // too much, said beforehand or not
    let mut client = begun(3 << 20, 0);
    assert!(client.answer().starts_with("HTTP/1.1 413"));
    let mut client = Raw::connect(&site, &to, "ci");
    client.send(
        b"PUT /releases/shop HTTP/1.1\r\nhost: proxy.example\r\ntransfer-encoding: chunked\r\n\r\n300000\r\n",
    );
    client.send(&vec![b'x'; 3 << 20]);
    let (text, is_closed) = client.rest(Duration::from_secs(10));
    assert!(is_closed && (text.is_empty() || text.starts_with("HTTP/1.1 413")), "{text}");

    // reset in the middle: on disk already, and gone
    let client = begun(1 << 20, 700 << 10);
    until("nothing is held", || held(&running) != "0" && open_files(&running) == 1);
    client.reset();
    until("what was held stays", || held(&running) == "0" && open_files(&running) == 0);

    // no room for two of them
    let first = begun(2 << 20, 1800 << 10);
    until("the first is not held", || held(&running).parse::<u64>().unwrap() > 1 << 20);
    let mut second = begun(2 << 20, 1800 << 10);
    let (text, _) = second.rest(Duration::from_secs(2));
    assert!(
        text.is_empty() || text.starts_with("HTTP/1.1 503") && text.contains("come again later"),
        "{text}"
    );
    running.event_with(&["\"not-held\"", "too much waits"]);
    drop(first);
    until("what was held stays", || held(&running) == "0" && open_files(&running) == 0);

    // too slow: never whole in its time
    let mut client = begun(1000, 10);
    let (text, _) = client.rest(Duration::from_secs(8));
    assert!(text.starts_with("HTTP/1.1 408") && text.contains("not there within 3 s"), "{text}");
    // as many as there may be, and the next one hears so
    let waiting: Vec<Raw> = (0..8).map(|_| begun(1000, 10)).collect();
    std::thread::sleep(Duration::from_millis(500));
    let mut client = begun(4, 4);
    assert!(client.answer().starts_with("HTTP/1.1 429"));
    drop(waiting);

    assert!(upstream.seen().is_empty(), "{:?}", upstream.seen());
    until("it does not serve again", || put(&site, &running).0 == 200);
    assert_eq!(fs::read_dir(site.at("spool")).unwrap().count(), 0);
}

#[test]
fn a_killed_proxy_leaves_nothing_and_a_spool_that_is_full_or_gone_is_said_so() {
    let upstream = Recorder::start();
    let site = site(&upstream.url(), "");
    let running = site.start();
    let to = address(&running, "files");
    let mut client = Raw::connect(&site, &to, "ci");
    client.send(b"PUT /releases/shop HTTP/1.1\r\nhost: proxy.example\r\ncontent-length: 4000000\r\n\r\n");
    client.send(&vec![b'x'; 2_000_000]);
    until("nothing is held", || open_files(&running) == 1);
    running.signal("KILL");
    drop(running);
    assert_eq!(fs::read_dir(site.at("spool")).unwrap().count(), 0);
    assert!(upstream.seen().is_empty());

    let running = site.start();
    assert_eq!(put(&site, &running).0, 200);
    assert!(running.read("/readyz").contains("\"proxies\":\"ok\""));
    fs::remove_dir(site.at("spool")).unwrap();
    until("it is still ready", || running.read("/readyz").contains("no body can wait in"));
    let large = site.at("large");
    fs::write(&large, vec![b'x'; 200_000]).unwrap();
    let url = format!("{}/releases/shop", proxy(&running, "files"));
    let (status, text) = said(site.curl("ci").arg("-T").arg(large).arg(url));
    assert!(status == 507 && text.contains("the body cannot be held"), "{status} {text}");
    assert_eq!(upstream.seen().len(), 1);
}

/// A small disk, unmounted when it is dropped.
struct Disk(std::path::PathBuf);

impl Disk {
    /// Nothing, said loudly, where nobody may mount one.
    fn mount(at: std::path::PathBuf) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        let mut mount = std::process::Command::new("mount");
        let done = mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&at).output().unwrap();
        if !done.status.success() {
            eprintln!("\n*** SKIPPED: only root can mount a small disk; NOTHING was filled ***\n");
            return None;
        }
        Some(Self(at))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        std::process::Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

#[test]
fn a_full_disk_refuses_what_does_not_fit_and_serves_what_does() {
    let upstream = Recorder::start();
    let site = site(&upstream.url(), "");
    let Some(_disk) = Disk::mount(site.at("spool")) else { return };
    let running = site.start();
    let file = site.at("large");
    fs::write(&file, vec![b'x'; 2 << 20]).unwrap();
    let url = format!("{}/releases/large", proxy(&running, "files"));
    let (status, text) = said(site.curl("ci").arg("-T").arg(file).arg(url));
    assert!(status == 507 && text.contains("No space left"), "{status} {text}");
    until("what was held stays", || held(&running) == "0" && open_files(&running) == 0);
    assert!(upstream.seen().is_empty());
    let body = vec![b'y'; 500_000];
    site.test(&Digest::sha256(&body));
    let file = site.at("fits");
    fs::write(&file, body).unwrap();
    let url = format!("{}/releases/fits", proxy(&running, "files"));
    let (status, text) = said(site.curl("ci").arg("-T").arg(file).arg(url));
    assert_eq!(status, 200, "{text}");
}

/// Reads a body of any size, keeps nothing of it, and gives its digest.
fn sink() -> (u16, std::sync::mpsc::Receiver<(u64, Digest)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, (told, heard)) = (listener.local_addr().unwrap().port(), std::sync::mpsc::channel());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let told = told.clone();
            std::thread::spawn(move || {
                let mut reader = std::io::BufReader::with_capacity(256 << 10, stream.try_clone().unwrap());
                let mut length = 0_u64;
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap() == 0 {
                        return;
                    }
                    length =
                        line.strip_prefix("content-length: ").map_or(length, |l| l.trim().parse().unwrap());
                    if line == "\r\n" {
                        break;
                    }
                }
                let (mut body, mut piece) = (reader.take(length), vec![0; 256 << 10]);
                let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
                let mut came = 0;
                loop {
                    let count = body.read(&mut piece).unwrap();
                    if count == 0 {
                        break;
                    }
                    digest.update(&piece[..count]);
                    came += count as u64;
                }
                told.send((came, sha256(digest))).unwrap();
                stream
                    .write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                    .unwrap();
            });
        }
    });
    (port, heard)
}

fn sha256(digest: aws_lc_rs::digest::Context) -> Digest {
    Digest::from_bytes(attest::Algorithm::Sha256, digest.finish().as_ref().to_vec()).unwrap()
}

#[test]
fn a_large_body_takes_little_memory_and_arrives_whole() {
    let megabytes = setting("PORTCULLIS_MEGABYTES", 256);
    let (port, heard) = sink();
    let site = site(&format!("http://127.0.0.1:{port}"), "limits: { body: 20GiB }");
    let text = fs::read_to_string(site.at("serve.yaml")).unwrap().replace("answer: 1s", "answer: 60s");
    fs::write(site.at("serve.yaml"), text).unwrap();
    let piece: Vec<u8> = (0..1 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    (0..megabytes).for_each(|_| digest.update(&piece));
    let digest = sha256(digest);
    site.test(&digest);
    let running = site.start();
    assert_eq!(put(&site, &running).0, 201);
    heard.recv().unwrap();
    let before = peak(&running);
    let mut client = Raw::connect(&site, &address(&running, "files"), "ci");
    client.patience(Duration::from_secs(1800));
    let length = megabytes << 20;
    let head =
        format!("PUT /releases/large HTTP/1.1\r\nhost: proxy.example\r\ncontent-length: {length}\r\n\r\n");
    let began = Instant::now();
    client.send(head.as_bytes());
    (0..megabytes).for_each(|_| client.send(&piece));
    let answer = client.answer();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let grown = peak(&running) - before;
    println!("{megabytes} MiB in {:?}: VmHWM grew by {grown} KiB from {before} KiB", began.elapsed());
    assert!(grown < 64 << 10, "{grown} KiB");
    assert_eq!(heard.recv().unwrap(), (length, digest));
}

/// The most memory that the process ever had, in KiB.
fn peak(running: &Serving) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn a_thousand_come_at_once_and_each_is_decided_about() {
    let upstream = Recorder::start();
    let site = site(&upstream.url(), "");
    let running = site.start();
    let to = address(&running, "files");
    let body = vec![b'g'; 40_000];
    site.test(&Digest::sha256(&body));
    let count = 1000;
    let mut clients: Vec<Raw> = std::thread::scope(|scope| {
        let begin = |_| {
            let (site, to, body) = (&site, &to, &body);
            scope.spawn(move || {
                let begin = |_| {
                    let mut client = Raw::connect(site, to, "ci");
                    let head =
                        "PUT /releases/shop HTTP/1.1\r\nhost: proxy.example\r\ncontent-length: 40000\r\n\r\n";
                    client.send(head.as_bytes());
                    client.send(&body[..20_000]);
                    client
                };
                (0..count / 4).map(begin).collect::<Vec<_>>()
            })
        };
        let threads: Vec<_> = (0..4).map(begin).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    until("not all are here", || held(&running) == (20_000 * count).to_string());
    // every tenth lies about what it sends
    for (number, client) in clients.iter_mut().enumerate() {
        let rest = if number % 10 == 0 { vec![b'b'; 20_000] } else { body[20_000..].to_vec() };
        client.send(&rest);
    }
    let (mut admitted, mut rejected) = (0, 0);
    for (number, client) in clients.iter_mut().enumerate() {
        let answer = client.answer();
        let wanted = if number % 10 == 0 { "HTTP/1.1 403" } else { "HTTP/1.1 200" };
        assert!(answer.starts_with(wanted), "{number}: {answer}");
        if number % 10 == 0 { rejected += 1 } else { admitted += 1 }
    }
    assert_eq!((admitted, rejected), (900, 100));
    let seen = upstream.seen();
    assert_eq!(seen.len(), 900);
    assert!(seen.iter().all(|seen| seen.body.as_deref() == Some(&body)));
    drop(clients);
    until("what was held stays", || held(&running) == "0" && open_files(&running) == 0);
}

#[test]
fn evidence_counts_as_it_is_when_the_body_is_whole() {
    let upstream = Recorder::start();
    let site = site(&upstream.url(), "");
    let running = site.start();
    let to = address(&running, "files");
    let digest = Digest::sha256(b"late");
    let begun = || {
        let mut client = Raw::connect(&site, &to, "ci");
        client.send(b"PUT /releases/shop HTTP/1.1\r\nhost: proxy.example\r\ncontent-length: 4\r\n\r\nla");
        std::thread::sleep(Duration::from_millis(200));
        client
    };
    let mut client = begun();
    client.send(b"te");
    assert!(client.answer().starts_with("HTTP/1.1 403"));
    // brought while the body comes in
    let mut client = begun();
    site.test(&digest);
    client.send(b"te");
    assert!(client.answer().starts_with("HTTP/1.1 200"));
    // and another in its place
    let mut client = begun();
    site.test_as(&digest, "ci-tests", "failed");
    client.send(b"te");
    let text = client.answer();
    assert!(text.starts_with("HTTP/1.1 403") && text.contains("error[tests]"), "{text}");
    // the policy is another one meanwhile
    site.test(&digest);
    let mut client = begun();
    site.policy(&Policy::tested("prod/files", "other.example/releases/*"));
    running.event("\"reloaded\"");
    client.send(b"te");
    let text = client.answer();
    assert!(text.starts_with("HTTP/1.1 403"), "{text}");
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn a_grant_for_this_artifact_speaks_for_itself_and_no_other_does() {
    let upstream = Recorder::start();
    let site = site(&upstream.url(), "");
    let running = site.start();
    let url = format!("{}/releases/shop", proxy(&running, "files"));
    let put = |body: &str, more: &[&str]| {
        fs::write(site.at("burning"), body).unwrap();
        said(site.curl("ci").args(more).arg("-T").arg(site.at("burning")).arg(&url))
    };
    let any = site.grant("prod/files", None);
    site.grant("prod/files", Some(&Digest::sha256(b"another")));
    site.grant("prod/elsewhere", Some(&Digest::sha256(b"burning")));
    let (status, text) = put("burning", &[]);
    assert!(status == 403 && text.contains("error[signed-by]"), "{status} {text}");
    assert!(upstream.seen().is_empty());
    // one for everything must be named
    let header = format!("Portcullis-Breakglass: {any}");
    assert_eq!(put("burning", &["-H", &header]).0, 200);
    running.event_with(&["\"proxied\"", "\"basis\":\"breakglass\""]);
    assert_eq!(put("burning", &[]).0, 403);
    site.grant("prod/files", Some(&Digest::sha256(b"burning")));
    assert_eq!(put("burning", &[]).0, 200);
    assert_eq!(running.count("\"basis\":\"breakglass\""), 2);
    // what is admitted anyway uses none
    site.grant("prod/files", Some(&Digest::sha256(b"good")));
    assert_eq!(put("good", &[]).0, 200);
    assert_eq!(running.count("\"basis\":\"breakglass\""), 2);
    until("nobody is told", || {
        fs::read_to_string(site.at("alarms.jsonl")).unwrap_or_default().contains("breakglass")
    });
}
