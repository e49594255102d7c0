//! The tables. Texts and digests are written once and named by number: ten million records stay small.

/// Another version of the index is thrown away, and made again from the log.
pub(crate) const VERSION: i64 = 1;

/// The index. A number of 0 is nothing, so that unique indexes see two absences as the same.
///
/// - `progress`: how much of which log was read: the roots of the complete subtrees, from which the root follows.
/// - `places`: where something was deployed: environment, workload, the artifact's name.
/// - `answers`: decision, basis, outcome, choke point and rules, which few combinations have.
/// - `facts`: what proven evidence says of an artifact. `learnt`: which sets of evidence were opened.
pub(crate) const INDEX: &str = "
CREATE TABLE progress (id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, subtrees BLOB NOT NULL,
    unread INTEGER NOT NULL);
CREATE TABLE texts (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE digests (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL UNIQUE);
CREATE TABLE places (id INTEGER PRIMARY KEY, environment INTEGER NOT NULL, workload INTEGER NOT NULL,
    uri INTEGER NOT NULL, UNIQUE (environment, workload, uri));
CREATE INDEX places_by_workload ON places (workload);
CREATE INDEX places_by_uri ON places (uri);
CREATE TABLE answers (id INTEGER PRIMARY KEY, decision TEXT NOT NULL, basis TEXT NOT NULL, outcome TEXT NOT NULL,
    chokepoint TEXT NOT NULL, rules TEXT NOT NULL, UNIQUE (decision, basis, outcome, chokepoint, rules));
CREATE TABLE decisions (log_index INTEGER PRIMARY KEY, at INTEGER NOT NULL, admitted INTEGER NOT NULL,
    place INTEGER NOT NULL, digest INTEGER NOT NULL, answer INTEGER NOT NULL, requester INTEGER NOT NULL,
    held INTEGER NOT NULL, case_digest BLOB NOT NULL);
CREATE TABLE events (log_index INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX events_by_kind ON events (kind, log_index);
CREATE TABLE facts (digest INTEGER NOT NULL, kind INTEGER NOT NULL, value INTEGER NOT NULL, detail INTEGER NOT NULL,
    PRIMARY KEY (digest, kind, value, detail)) WITHOUT ROWID;
CREATE TABLE learnt (evidence BLOB PRIMARY KEY) WITHOUT ROWID;
INSERT INTO progress VALUES (1, 0, x'', 0);
";

/// Forgets everything that was read.
pub(crate) const FORGET: &str = "
DROP TABLE progress; DROP TABLE texts; DROP TABLE digests; DROP TABLE places; DROP TABLE answers;
DROP TABLE decisions; DROP TABLE events; DROP TABLE facts; DROP TABLE learnt;
";

/// Made when a log was read to its end for the first time: filling a sorted index at once costs a fraction of filling it
/// record by record. Before that nothing is asked.
pub(crate) const QUESTIONS: &str = "
CREATE INDEX IF NOT EXISTS decisions_by_digest ON decisions (digest, admitted, at);
CREATE INDEX IF NOT EXISTS decisions_by_place ON decisions (place, admitted, at);
CREATE INDEX IF NOT EXISTS decisions_by_requester ON decisions (requester, admitted, at);
CREATE INDEX IF NOT EXISTS decisions_by_grant ON decisions (held, at) WHERE held != 0;
CREATE INDEX IF NOT EXISTS facts_by_value ON facts (kind, value, digest);
";

/// What clusters reported. Texts stand here in full: the index's numbers are others after it was made again.
pub(crate) const OBSERVED: &str = "
CREATE TABLE IF NOT EXISTS clusters (name TEXT PRIMARY KEY, since INTEGER NOT NULL, heard INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS instances (id INTEGER PRIMARY KEY, cluster TEXT NOT NULL, instance TEXT NOT NULL,
    environment TEXT NOT NULL, workload TEXT NOT NULL, image TEXT NOT NULL, digest BLOB, node TEXT,
    since INTEGER NOT NULL, until INTEGER);
CREATE UNIQUE INDEX IF NOT EXISTS instances_open ON instances (cluster, instance) WHERE until IS NULL;
CREATE INDEX IF NOT EXISTS instances_running ON instances (id) WHERE until IS NULL;
CREATE INDEX IF NOT EXISTS instances_by_workload ON instances (workload);
CREATE INDEX IF NOT EXISTS instances_by_digest ON instances (digest);
CREATE INDEX IF NOT EXISTS instances_by_image ON instances (image);
";
