//! What a writer asks of the database.

/// How far a writer is in the tree, and what of it waits from there on, a page of it: places, leaf hashes, proofs.
pub(super) const WAITS: &str = "
SELECT w.sequenced, e.sequence, e.hash, e.proof, e.aside
FROM (SELECT coalesce((SELECT sequenced FROM portcullis.writers WHERE origin = $1 AND writer = $2), 0) AS sequenced) w
LEFT JOIN LATERAL (
  SELECT sequence, sha256('\\x00'::bytea || leaf) AS hash, proof, aside FROM portcullis.entries_pending
  WHERE origin = $1 AND writer = $2 AND sequence >= w.sequenced AND (sequence, aside) > ($3, $4)
  ORDER BY sequence, aside LIMIT $5) e ON true
ORDER BY e.sequence, e.aside";
/// One statement, one transaction, no row that two writers share.
pub(super) const INSERT: &str = "
WITH blobs AS (
  INSERT INTO portcullis.blobs_pending (origin, digest, bytes)
  SELECT $1, b.digest, b.bytes FROM unnest($6::bytea[], $7::bytea[]) b(digest, bytes) ON CONFLICT DO NOTHING)
INSERT INTO portcullis.entries_pending (origin, writer, sequence, leaf, proof)
SELECT $1, $2, e.sequence, e.leaf, e.proof
FROM unnest($3::bigint[], $4::bytea[], $5::bytea[]) e(sequence, leaf, proof)
WHERE e.sequence >= coalesce((SELECT sequenced FROM portcullis.writers WHERE origin = $1 AND writer = $2), 0)
ON CONFLICT DO NOTHING";
/// The same for what somebody else has the places of.
pub(super) const INSERT_ASIDE: &str = "
INSERT INTO portcullis.entries_pending (origin, writer, sequence, leaf, proof, aside)
SELECT $1, $2, n.sequence, n.leaf, n.proof, n.proof || sha256(n.leaf)
FROM unnest($3::bigint[], $4::bytea[], $5::bytea[]) n(sequence, leaf, proof)
WHERE n.sequence >= coalesce((SELECT sequenced FROM portcullis.writers WHERE origin = $1 AND writer = $2), 0)
AND NOT EXISTS (SELECT FROM portcullis.entries_pending e WHERE e.origin = $1 AND e.writer = $2
  AND e.sequence = n.sequence AND e.aside = '' AND e.leaf = n.leaf AND e.proof = n.proof)
ON CONFLICT DO NOTHING";
/// Other entries in these places.
pub(super) const OTHERS: &str = "
SELECT e.sequence, e.leaf, e.proof FROM unnest($3::bigint[], $4::bytea[]) n(sequence, leaf)
JOIN portcullis.entries_pending e ON e.origin = $1 AND e.writer = $2 AND e.sequence = n.sequence
WHERE e.leaf <> n.leaf ORDER BY e.sequence LIMIT 1024";
pub(super) const LAST: &str =
    "SELECT sequenced, last FROM portcullis.writers WHERE origin = $1 AND writer = $2";
/// How many of a writer's entries are below an index of the tree; by default, below what is published.
pub(super) const REACHED: &str = "
SELECT coalesce(max(p.sequence + least(p.count, upto.size - p.index)), 0)
FROM (SELECT coalesce($3, (SELECT published FROM portcullis.checkpoint WHERE origin = $1)) AS size) upto
CROSS JOIN LATERAL (SELECT sequence, count, index FROM portcullis.placed
  WHERE origin = $1 AND writer = $2 AND index < upto.size ORDER BY sequence DESC LIMIT 1) p";
pub(super) const INDEX: &str = "
SELECT index + $3 - sequence FROM portcullis.placed
WHERE origin = $1 AND writer = $2 AND sequence <= $3 AND $3 < sequence + count";
/// An entry that waits, by its place, leaf hash and proof; or the writer's newest one in the tree.
pub(super) const OWN: &str = "
SELECT leaf, proof FROM portcullis.entries_pending
WHERE origin = $1 AND writer = $2 AND sequence = $3 AND proof = $5 AND sha256('\\x00'::bytea || leaf) = $4
UNION ALL
SELECT newest, proof FROM portcullis.writers WHERE origin = $1 AND writer = $2 AND sequenced = $3 + 1 LIMIT 1";
pub(super) const NEWEST: &str =
    "SELECT writer, sequenced - 1, newest, proof FROM portcullis.writers WHERE origin = $1";
pub(super) const WAITING: &str = "
SELECT writer, sequence, leaf, proof FROM portcullis.entries_pending WHERE origin = $1 ORDER BY sequence DESC LIMIT 256";
