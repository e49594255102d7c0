//! What each role may, what nobody may, and who is spoken to.

use std::process::Command;

use replicas::{CreateError, OpenError, open};

use crate::world::{ORIGIN, World, signer};

#[test]
fn a_writer_inserts_and_changes_nothing() {
    let world = World::new();
    let mut a = world.open(&world.writing(), "a");
    a.write(2);
    for (user, statement, table) in [
        ("writer", "UPDATE portcullis.entries_pending SET leaf = 'x'", "entries_pending"),
        ("writer", "DELETE FROM portcullis.entries_pending", "entries_pending"),
        ("writer", "TRUNCATE portcullis.entries_pending", "entries_pending"),
        ("writer", "DELETE FROM portcullis.blobs_pending", "blobs_pending"),
        ("writer", "UPDATE portcullis.blobs_pending SET bytes = 'x'", "blobs_pending"),
        ("writer", "UPDATE portcullis.checkpoint SET size = 0", "checkpoint"),
        ("writer", "DELETE FROM portcullis.checkpoint", "checkpoint"),
        ("writer", "INSERT INTO portcullis.checkpoint VALUES ('x', 0, '')", "checkpoint"),
        ("writer", "INSERT INTO portcullis.writers VALUES ('x', 'y', 9, '', '')", "writers"),
        ("writer", "UPDATE portcullis.writers SET sequenced = 9", "writers"),
        ("writer", "INSERT INTO portcullis.placed VALUES ('x', 'y', 0, 1, 0)", "placed"),
        ("writer", "UPDATE portcullis.version SET version = 9", "version"),
        ("sequencer", "UPDATE portcullis.entries_pending SET leaf = 'x'", "entries_pending"),
        ("sequencer", "INSERT INTO portcullis.entries_pending VALUES ('x', 'y', 0, '')", "entries_pending"),
        ("sequencer", "INSERT INTO portcullis.blobs_pending VALUES ('x', sha256(''), '')", "blobs_pending"),
        ("sequencer", "DELETE FROM portcullis.checkpoint", "checkpoint"),
        ("sequencer", "DELETE FROM portcullis.writers", "writers"),
        ("sequencer", "UPDATE portcullis.version SET version = 9", "version"),
    ] {
        let refused = world.cluster.sql_as(user, statement).unwrap_err();
        assert!(
            refused.contains(&format!("permission denied for table {table}")),
            "{user}: {statement}: {refused}"
        );
    }
    world.cluster.sql("CREATE ROLE stranger LOGIN");
    let refused = world.cluster.sql_as("stranger", "SELECT * FROM portcullis.entries_pending").unwrap_err();
    assert!(refused.contains("permission denied for schema portcullis"), "{refused}");
    // a name for bytes that are others would keep the true ones out
    let wrong = "INSERT INTO portcullis.blobs_pending VALUES ('x', sha256('a'), 'b')";
    let refused = world.cluster.sql_as("writer", wrong).unwrap_err();
    assert!(refused.contains("violates check constraint"), "{refused}");
}

#[test]
fn a_changed_blob_is_not_taken_into_the_log() {
    let world = World::new();
    let mut a = world.open(&world.config(), "a");
    a.write(1);
    a.settle();
    drop(a.target);
    a.target = open(&world.writing(), ORIGIN, &signer(), "a").unwrap();
    a.write(1);
    world.cluster.sql(
        "ALTER TABLE portcullis.blobs_pending DROP CONSTRAINT blobs_pending_check; \
         UPDATE portcullis.blobs_pending SET bytes = 'x'",
    );
    a.target = open(&world.config(), ORIGIN, &signer(), "a").unwrap();
    let why = a.refusal();
    assert!(why.contains("was changed in the database: its bytes have sha256:"), "{why}");
    assert_eq!(world.checkpoint().size, 1);
}

#[test]
fn tables_of_another_version_are_refused() {
    let world = World::new();
    world.cluster.sql("UPDATE portcullis.version SET version = 2");
    match open(&world.config(), ORIGIN, &signer(), "a") {
        Err(OpenError::Database(why)) => {
            assert!(why.starts_with("the log's tables have version 2, wanted 1"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    let mut owner = world.config();
    owner.writer.user = "postgres".to_owned();
    assert!(matches!(replicas::create(&owner, ORIGIN, signer()), Err(CreateError::Newer(2))));
    let refused = replicas::create(&world.config(), ORIGIN, signer()).unwrap_err().to_string();
    assert!(refused.contains("permission denied"), "{refused}");
}

/// A certificate for a name, by an authority of its own.
fn certificate(dir: &std::path::Path, name: &str, subject: &str) {
    let text = format!(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={subject} \
         -addext subjectAltName={subject} -addext basicConstraints=critical,CA:FALSE -keyout {0}/{name}.key -out {0}/{name}.crt 2>/dev/null && chmod 600 {0}/{name}.key",
        dir.display()
    );
    let text = text.replacen(&format!("/CN={subject}"), "/CN=postgresql", 1);
    assert!(Command::new("sh").arg("-c").arg(text).status().unwrap().success());
}

#[test]
fn tls_is_verified_and_the_password_is_nowhere() {
    let mut world = World::new();
    let data = world.cluster.data();
    certificate(&data, "server", "IP:127.0.0.1");
    certificate(world.dir.path(), "other", "IP:127.0.0.1");
    certificate(world.dir.path(), "elsewhere", "DNS:elsewhere.example");
    let chown =
        Command::new("sh").arg("-c").arg(format!("chown 65534:65534 {}/server.*", data.display())).status();
    assert!(chown.unwrap().success() || !rustix::process::geteuid().is_root());
    world.cluster.sql("ALTER ROLE writer PASSWORD 'swordfish-1'");
    world.cluster.down("fast");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    world.cluster.port = free;
    let tls = format!(
        "-c listen_addresses=127.0.0.1 -c ssl=on -c ssl_cert_file={0}/server.crt -c ssl_key_file={0}/server.key",
        data.display()
    );
    world.cluster.up(&tls);
    let mut config = world.writing();
    config.server.host = "127.0.0.1".to_owned();
    config.server.ca = Some(data.join("server.crt"));
    std::fs::write(world.path("password"), "swordfish-1\n").unwrap();
    config.writer.password_file = Some(world.path("password"));
    let mut a = world.open(&config, "a");
    a.write(1);
    assert!(!format!("{:?} {config:?}", a.target).contains("swordfish"));
    let encrypted = "SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.usename = 'writer' AND s.ssl";
    assert_eq!(world.cluster.sql(encrypted), "1");

    let refused = |config: &replicas::Config| match open(config, ORIGIN, &signer(), "b") {
        Err(OpenError::Database(why)) => why,
        other => panic!("{other:?}"),
    };
    let mut wrong = config.clone();
    wrong.server.ca = Some(world.path("other.crt"));
    let why = refused(&wrong);
    assert!(why.contains("certificate"), "another authority: {why}");
    std::fs::write(world.path("password"), "swordfish-2\n").unwrap();
    let why = refused(&config);
    assert!(why.contains("password authentication failed") && !why.contains("swordfish"), "{why}");
    std::fs::remove_file(world.path("password")).unwrap();
    let why = refused(&config);
    assert!(why.contains("cannot read the password file"), "{why}");
    // the server's own log has what it was sent
    assert!(!world.cluster.log().contains("swordfish-2"));

    // a certificate of the authority, for another name
    world.cluster.down("fast");
    let elsewhere = |end: &str| world.path(&format!("elsewhere.{end}"));
    for end in ["crt", "key"] {
        std::fs::copy(elsewhere(end), data.join(format!("server.{end}"))).unwrap();
    }
    world.cluster.up(&tls);
    std::fs::write(world.path("password"), "swordfish-1").unwrap();
    config.server.ca = Some(elsewhere("crt"));
    let why = refused(&config);
    assert!(why.to_lowercase().contains("not valid for name"), "{why}");
    // and a server without TLS is not spoken to at all
    world.cluster.down("fast");
    world.cluster.up("-c listen_addresses=127.0.0.1");
    let why = refused(&config);
    assert!(why.contains("server does not support TLS"), "{why}");
    config.server.ca = None;
    config.server.host = "db.example.org".to_owned();
    assert!(refused(&config).contains("no `ca` by which db.example.org could be known"));
}
