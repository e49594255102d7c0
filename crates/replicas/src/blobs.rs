//! Blobs that wait in the database, a piece at a time: after a long pause there may be more than memory holds.

use attest::Digest;
use sqlx::PgConnection;

use crate::connect::Fault;

/// So many bytes are taken at once, and one blob more.
const PIECE: i64 = 32 << 20;
const MOST: i64 = 1024;

const NEXT: &str = "
SELECT digest, bytes FROM (
  SELECT digest, bytes, sum(octet_length(bytes)) OVER (ORDER BY digest) - octet_length(bytes) AS before
  FROM (SELECT digest, bytes FROM portcullis.blobs_pending WHERE origin = $1 ORDER BY digest LIMIT $2) first) summed
WHERE before < $3";
const REMOVE: &str = "DELETE FROM portcullis.blobs_pending WHERE origin = $1 AND digest = ANY($2)";

/// Some blobs.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    digests: Vec<Vec<u8>>,
    pub(crate) blobs: Vec<Vec<u8>>,
    /// Whether there may be more.
    pub(crate) is_full: bool,
}

pub(crate) async fn read(connection: &mut PgConnection, origin: &str) -> Result<Piece, sqlx::Error> {
    let query = sqlx::query_as(NEXT).bind(origin).bind(MOST).bind(PIECE);
    let rows: Vec<(Vec<u8>, Vec<u8>)> = query.fetch_all(connection).await?;
    let bytes: usize = rows.iter().map(|(_, bytes)| bytes.len()).sum();
    let is_full =
        i64::try_from(rows.len()).is_ok_and(|n| n >= MOST) || i64::try_from(bytes).is_ok_and(|n| n >= PIECE);
    let (digests, blobs) = rows.into_iter().unzip();
    Ok(Piece { digests, blobs, is_full })
}

/// Once they are in the folder.
pub(crate) async fn remove(
    connection: &mut PgConnection,
    origin: &str,
    piece: &Piece,
) -> Result<(), sqlx::Error> {
    if piece.digests.is_empty() {
        return Ok(());
    }
    sqlx::query(REMOVE).bind(origin).bind(&piece.digests).execute(connection).await.map(|_| ())
}

impl Piece {
    /// The database checks this when it takes them; whoever can change tables can change that.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        for (digest, bytes) in self.digests.iter().zip(&self.blobs) {
            let found = Digest::sha256(bytes);
            if found.bytes() != digest.as_slice() {
                let named = Digest::from_bytes(attest::Algorithm::Sha256, digest.clone());
                let named = named.map_or_else(|_| "no digest at all".to_owned(), |digest| digest.to_string());
                return Err(Fault(format!(
                    "the blob {named} was changed in the database: its bytes have {found}"
                )));
            }
        }
        Ok(())
    }
}
