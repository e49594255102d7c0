//! Migrations against a real PostgreSQL, whose only user for them needs the password that only an admission reads.

use std::fs;
use std::process::Command;

use crate::cluster::Cluster;
use crate::tools::{expect, path};
use crate::world::World;

const MIGRATION: &[u8] = b"CREATE TABLE orders (id bigint PRIMARY KEY);\nINSERT INTO orders VALUES (1);\n";

/// A server with a role whose password is asked for, and a program that gives it.
struct Database {
    world: World,
    cluster: Cluster,
    vault: String,
}

impl Database {
    fn new() -> Self {
        let (world, cluster) = (World::new(), Cluster::start());
        let rules = fs::read_to_string(cluster.data().join("pg_hba.conf")).unwrap();
        fs::write(cluster.data().join("pg_hba.conf"), format!("local all deployer scram-sha-256\n{rules}"))
            .unwrap();
        cluster.sql("CREATE ROLE deployer LOGIN PASSWORD 'hunter2'");
        cluster.sql("GRANT CREATE, USAGE ON SCHEMA public TO deployer");
        cluster.sql("SELECT pg_reload_conf()");
        let vault = world.vault("hunter2", "");
        Self { world, cluster, vault }
    }

    /// Deploys with psql; `how` it gets the bytes.
    fn deploy(&self, exit: i32, name: &str, more: &[&str], how: &[&str]) -> String {
        let (host, port) = (path(self.cluster.dir()).to_owned(), self.cluster.port.to_string());
        let psql = [
            "psql",
            "-X",
            "-h",
            &host,
            "-p",
            &port,
            "-U",
            "deployer",
            "-d",
            "postgres",
            "-v",
            "ON_ERROR_STOP=1",
        ];
        let all = [&["--credential", &self.vault], more].concat();
        self.world.deploy(exit, name, &all, &[&psql[..], how].concat())
    }

    fn schema(&self) -> String {
        self.cluster.sql(
            "SELECT string_agg(tablename, ',' ORDER BY tablename) FROM pg_tables WHERE schemaname = 'public'",
        )
    }

    /// Refused for this reason; the database and the credential were not touched.
    fn refused(&self, name: &str, more: &[&str], rule: &str, reason: &str) {
        let (schema, asked) = (self.schema(), self.world.asked());
        let text = self.deploy(1, name, more, &["-f", "{}"]);
        assert!(
            text.contains(&format!("error[{rule}]")) && text.contains(reason),
            "{rule}: {reason}: {text}"
        );
        assert_eq!((self.schema(), self.world.asked()), (schema, asked), "{rule}");
    }
}

#[test]
fn a_reviewed_migration_is_applied_and_every_other_leaves_the_schema_as_it_was() {
    let database = Database::new();
    let world = &database.world;
    world.good("0001.sql", MIGRATION);
    // unreviewed: its author approved it
    let honest = fs::read(world.at("review.json")).unwrap();
    world.reviewed("own.json", "alice@acme.example");
    fs::rename(world.at("own.json"), world.at("review.json")).unwrap();
    database.refused("0001.sql", &[], "source-reviewed", "alice wrote part of it and cannot approve it");
    fs::write(world.at("review.json"), &honest).unwrap();
    // changed by one byte
    fs::write(world.at("0001.sql"), String::from_utf8_lossy(MIGRATION).replace("(1)", "(2)")).unwrap();
    database.refused("0001.sql", &[], "evidence-applies", "the provenance applies to another artifact");
    fs::write(world.at("0001.sql"), MIGRATION).unwrap();
    // another environment, and another artifact
    database.refused("0001.sql", &["--environment", "stage/orders"], "policy-missing", "stage/orders");
    database.refused(
        "0001.sql",
        &["--as", "sql://billing/migrations"],
        "policy-missing",
        "sql://billing/migrations",
    );
    // an old scan, and an old build
    let scan = fs::read(world.at("0001.sql.scan.json")).unwrap();
    fs::remove_file(world.at("0001.sql.scan.json")).unwrap();
    world.scanned("0001.sql", "0001.sql.scan.json", Some("2026-09-01T09:00:00Z"));
    database.refused("0001.sql", &[], "scanned", "7d");
    fs::write(world.at("0001.sql.scan.json"), &scan).unwrap();
    let bundle = fs::read(world.at("0001.sql.sigstore.json")).unwrap();
    fs::remove_file(world.at("0001.sql.sigstore.json")).unwrap();
    world.built(
        "0001.sql",
        MIGRATION,
        &["--started", "2026-08-01T09:00:00Z", "--finished", "2026-08-01T09:05:00Z"],
    );
    database.refused("0001.sql", &[], "built-within", "30d");
    fs::write(world.at("0001.sql.sigstore.json"), &bundle).unwrap();
    assert_eq!((database.schema().as_str(), world.asked()), ("", 0));

    database.deploy(0, "0001.sql", &["--stdin"], &["--single-transaction", "-f", "-"]);
    assert_eq!((database.schema().as_str(), world.asked()), ("orders", 1));
    assert_eq!(database.cluster.sql("SELECT id FROM orders"), "1");
    // psql's own status, and nothing of a transaction that failed
    let text = database.deploy(3, "0001.sql", &[], &["--single-transaction", "-f", "{}"]);
    assert!(text.contains("relation \"orders\" already exists"), "{text}");
    let records = world.records();
    assert_eq!(records.iter().filter(|record| *record == "admit policy").count(), 2, "{records:?}");
    assert_eq!(records.iter().filter(|record| *record == "reject policy").count(), 6, "{records:?}");
}

#[test]
fn a_tar_of_migrations_is_applied_in_the_order_of_their_names_in_one_transaction() {
    let database = Database::new();
    let world = &database.world;
    let folder = world.at("migrations");
    fs::create_dir(&folder).unwrap();
    for (name, text) in [
        ("0002_more.sql", "ALTER TABLE orders ADD COLUMN paid boolean"),
        ("0001_orders.sql", "CREATE TABLE orders (id bigint);"),
        ("0010_last.sql", "CREATE TABLE payments (id bigint); -- without an end of line"),
        ("README.md", "DROP TABLE orders;"),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
    let pack = |out: &str, flags: &str| {
        let out = world.text(out);
        let status = Command::new("tar")
            .args([flags, &out, "--sort=name", "--mtime=@0", "-C"])
            .arg(&folder)
            .arg(".")
            .status();
        assert!(status.unwrap().success());
    };
    pack("m.tar", "-cf");
    pack("m.tar.gz", "-czf");
    world.good("m.tar", &fs::read(world.at("m.tar")).unwrap());
    world.good("m.tar.gz", &fs::read(world.at("m.tar.gz")).unwrap());
    database.deploy(0, "m.tar", &["--members", ".sql"], &["--single-transaction", "--file={}"]);
    assert_eq!(database.schema(), "orders,payments");
    assert_eq!(
        database.cluster.sql("SELECT count(*) FROM information_schema.columns WHERE table_name = 'orders'"),
        "2"
    );
    // the same by one stream of a packed one: the second statement has no end, so the third runs into it and all is undone
    database.cluster.sql("DROP TABLE orders, payments");
    let text = database.deploy(
        3,
        "m.tar.gz",
        &["--members", ".sql", "--stdin"],
        &["--single-transaction", "-f", "-"],
    );
    assert!(text.contains("syntax error"), "{text}");
    assert_eq!(database.schema(), "");
    // what is no tar, and what has no such file: admitted, and nothing was run
    let asked = world.asked();
    world.good("0001.sql", MIGRATION);
    let text = database.deploy(2, "0001.sql", &["--members", ".sql"], &["-f", "{}"]);
    assert!(text.contains("the admitted archive cannot be unpacked"), "{text}");
    let text = database.deploy(2, "m.tar", &["--members", ".ddl"], &["-f", "{}"]);
    assert!(text.contains("no file whose name ends with `.ddl`"), "{text}");
    assert_eq!(world.asked(), asked);
    // a link in it is no file
    std::os::unix::fs::symlink("/etc/passwd", folder.join("0011_link.sql")).unwrap();
    pack("l.tar", "-cf");
    world.good("l.tar", &fs::read(world.at("l.tar")).unwrap());
    let text = database.deploy(2, "l.tar", &["--members", ".sql"], &["-f", "{}"]);
    assert!(text.contains("0011_link.sql is no plain file"), "{text}");
    assert_eq!(database.schema(), "");
    expect(0, &["log", "verify", &world.text("log")]);
}

#[test]
fn a_password_file_of_libpq_is_one_that_only_psql_has() {
    let database = Database::new();
    let world = &database.world;
    world.good("0001.sql", MIGRATION);
    fs::write(world.at("pgpass"), "*:*:*:*:hunter2\n").unwrap();
    let more = ["--credential-file", &format!("PGPASSFILE=file:{}", world.text("pgpass"))];
    let (host, port) = (path(database.cluster.dir()).to_owned(), database.cluster.port.to_string());
    let psql = ["psql", "-X", "-h", &host, "-p", &port, "-U", "deployer", "-d", "postgres", "-w", "-f", "{}"];
    let text = world.deploy(0, "0001.sql", &more, &psql);
    assert!(!text.contains("hunter2") && !text.contains("WARNING"), "{text}");
    assert_eq!(database.schema(), "orders");
}
