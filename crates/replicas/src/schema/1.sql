-- Version 1 of the log's tables. `portcullis log create --postgres` runs this as the owner of the database.
-- Two roles carry the privileges; the users that replicas log in as are members of one or both.
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'portcullis_writer') THEN
    CREATE ROLE portcullis_writer NOLOGIN;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'portcullis_sequencer') THEN
    CREATE ROLE portcullis_sequencer NOLOGIN;
  END IF;
END $$;

CREATE TABLE portcullis.entries_pending (
  origin text NOT NULL,
  writer text NOT NULL CHECK (char_length(writer) <= 100),
  sequence bigint NOT NULL CHECK (sequence >= 0),
  leaf bytea NOT NULL CHECK (octet_length(leaf) <= 65535),
  -- the log's key, over place and leaf: whoever inserts without it writes what is taken out again
  proof bytea NOT NULL CHECK (octet_length(proof) = 64),
  -- where somebody else has the place already, the true entry stands beside it, where only the same bytes could be
  aside bytea NOT NULL DEFAULT '' CHECK (aside = '' OR aside = proof || sha256(leaf)),
  PRIMARY KEY (origin, writer, sequence, aside)
);
-- JSON with signatures does not get smaller: no time is spent on trying
ALTER TABLE portcullis.entries_pending ALTER COLUMN leaf SET STORAGE EXTERNAL;
-- rows live for a second: without this the table is mostly dead rows
ALTER TABLE portcullis.entries_pending SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

CREATE TABLE portcullis.blobs_pending (
  origin text NOT NULL,
  digest bytea NOT NULL CHECK (digest = sha256(bytes)),
  bytes bytea NOT NULL,
  PRIMARY KEY (origin, digest)
);
ALTER TABLE portcullis.blobs_pending SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

-- How many entries of each writer are in the tree, the leaf hash of the last one, and that one with its proof.
CREATE TABLE portcullis.writers (
  origin text NOT NULL,
  writer text NOT NULL,
  sequenced bigint NOT NULL,
  last bytea NOT NULL,
  newest bytea NOT NULL,
  proof bytea NOT NULL,
  PRIMARY KEY (origin, writer)
);

-- Where they are: a row for each run of one writer's entries in one batch.
CREATE TABLE portcullis.placed (
  origin text NOT NULL,
  writer text NOT NULL,
  sequence bigint NOT NULL,
  count bigint NOT NULL CHECK (count > 0),
  index bigint NOT NULL,
  PRIMARY KEY (origin, writer, sequence)
);

-- One row for each log. `epoch` counts sequencers: only the newest one moves `size` and `root`.
-- `published` and `note`, the signed checkpoint, follow once that is in the folder.
CREATE TABLE portcullis.checkpoint (
  origin text PRIMARY KEY,
  size bigint NOT NULL,
  root bytea NOT NULL,
  epoch bigint NOT NULL DEFAULT 0,
  published bigint NOT NULL DEFAULT 0,
  note text NOT NULL DEFAULT ''
);

REVOKE ALL ON ALL TABLES IN SCHEMA portcullis FROM PUBLIC;
GRANT USAGE ON SCHEMA portcullis TO portcullis_writer, portcullis_sequencer;
GRANT SELECT ON ALL TABLES IN SCHEMA portcullis TO portcullis_writer, portcullis_sequencer;
GRANT INSERT ON portcullis.entries_pending, portcullis.blobs_pending TO portcullis_writer;
GRANT DELETE ON portcullis.entries_pending, portcullis.blobs_pending TO portcullis_sequencer;
GRANT INSERT, UPDATE ON portcullis.writers TO portcullis_sequencer;
GRANT INSERT, DELETE ON portcullis.placed TO portcullis_sequencer;
GRANT UPDATE ON portcullis.checkpoint TO portcullis_sequencer;
