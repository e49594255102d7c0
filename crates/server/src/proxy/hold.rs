//! Bodies that wait until they were decided about: on disk, in files that nobody else can open or change, hashed while
//! they come in. What is sent on is read from the very same file.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use attest::{Algorithm, Digest, DigestSet};
use aws_lc_rs::digest::{Context, SHA256, SHA512};
use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;

/// A piece of a held body.
const PIECE: usize = 256 << 10;
/// Who sends nothing for so long is gone.
const STALL: Duration = Duration::from_secs(30);

/// How many bytes all proxies hold, and may hold.
#[derive(Debug)]
pub(crate) struct Room {
    held: AtomicU64,
    most: u64,
}

/// Bytes that count as held until this is dropped.
#[derive(Debug)]
struct Taken {
    room: Arc<Room>,
    bytes: u64,
}

/// A body that was taken whole.
#[derive(Debug)]
pub(crate) struct Held {
    file: Arc<File>,
    length: u64,
    digests: DigestSet,
    _taken: Taken,
}

/// Why a body was not taken.
#[derive(Debug)]
pub(crate) enum HoldError {
    /// It is larger than a body may be; the field says how large that is.
    TooLarge(u64),
    /// All that is held is as much as may be.
    Full,
    /// It broke off, or came too slowly.
    Body(String),
    /// The disk.
    Io(io::Error),
}

impl fmt::Display for HoldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(most) => write!(f, "the body has more than {most} bytes"),
            Self::Full => f.write_str("too much waits to be decided about; come again later"),
            Self::Body(why) => write!(f, "the body broke off: {why}"),
            Self::Io(e) => write!(f, "the body cannot be held: {e}"),
        }
    }
}

impl Room {
    pub(crate) fn of(most: u64) -> Arc<Self> {
        Arc::new(Self { held: AtomicU64::new(0), most })
    }
}

impl Taken {
    fn more(&mut self, bytes: u64) -> bool {
        let before = self.room.held.fetch_add(bytes, Ordering::AcqRel);
        self.bytes += bytes;
        before.saturating_add(bytes) <= self.room.most
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.held.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

impl Held {
    /// Takes a body, and nothing of it stays where it cannot be taken whole.
    pub(crate) async fn take(
        body: Body,
        folder: &Path,
        room: &Arc<Room>,
        most: u64,
    ) -> Result<Self, HoldError> {
        let mut file = tempfile::tempfile_in(folder).map_err(HoldError::Io)?;
        let mut taken = Taken { room: Arc::clone(room), bytes: 0 };
        let (mut sha256, mut sha512) = (Context::new(&SHA256), Context::new(&SHA512));
        let mut pieces = body.into_data_stream();
        loop {
            let next = tokio::time::timeout(STALL, pieces.next()).await;
            let Some(piece) =
                next.or(Err(HoldError::Body(format!("nothing came for {} s", STALL.as_secs()))))?
            else {
                break;
            };
            let piece = piece.map_err(|e| HoldError::Body(e.to_string()))?;
            let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            if !taken.more(length) {
                return Err(HoldError::Full);
            }
            if taken.bytes > most {
                return Err(HoldError::TooLarge(most));
            }
            (sha256, sha512, file) = tokio::task::spawn_blocking(move || {
                sha256.update(&piece);
                sha512.update(&piece);
                file.write_all(&piece).map(|()| (sha256, sha512, file))
            })
            .await
            .map_err(|e| HoldError::Io(io::Error::other(e)))?
            .map_err(HoldError::Io)?;
        }
        let digest =
            |algorithm, context: Context| Digest::from_bytes(algorithm, context.finish().as_ref().to_vec());
        let digests = [digest(Algorithm::Sha256, sha256), digest(Algorithm::Sha512, sha512)];
        let digests = digests.into_iter().flatten().collect();
        Ok(Self { file: Arc::new(file), length: taken.bytes, digests, _taken: taken })
    }

    /// How many bytes it has.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// SHA-256 and SHA-512 of it.
    pub(crate) fn digests(&self) -> &DigestSet {
        &self.digests
    }

    /// All of it, where it has at most so many bytes.
    pub(crate) fn bytes(&self, most: u64) -> Result<Vec<u8>, HoldError> {
        if self.length > most {
            return Err(HoldError::TooLarge(most));
        }
        let mut file = self.file.try_clone().map_err(HoldError::Io)?;
        file.seek(SeekFrom::Start(0)).map_err(HoldError::Io)?;
        let mut bytes = Vec::new();
        file.take(self.length).read_to_end(&mut bytes).map_err(HoldError::Io)?;
        Ok(bytes)
    }

    /// The same bytes as a body, read from the file piece by piece.
    pub(crate) fn body(&self) -> Body {
        use std::os::unix::fs::FileExt as _;
        let (file, length) = (Arc::clone(&self.file), self.length);
        let pieces = futures_util::stream::unfold(0_u64, move |at| {
            let file = Arc::clone(&file);
            async move {
                let wanted = usize::try_from(length.saturating_sub(at)).unwrap_or(PIECE).min(PIECE);
                if wanted == 0 {
                    return None;
                }
                let read = tokio::task::spawn_blocking(move || {
                    let mut piece = vec![0; wanted];
                    file.read_exact_at(&mut piece, at).map(|()| Bytes::from(piece))
                });
                let piece = read.await.unwrap_or_else(|e| Err(io::Error::other(e)));
                Some((piece, at.saturating_add(u64::try_from(wanted).unwrap_or(0))))
            }
        });
        Body::from_stream(pieces)
    }
}
