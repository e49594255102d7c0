//! Bodies that wait until they were decided about: small ones in memory, others on disk in files that nobody else can
//! open or change, hashed while they come in. What is sent on is read from the very same bytes.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use attest::{Algorithm, Digest, DigestSet};
use aws_lc_rs::digest::{Context, SHA256, SHA512};
use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::proxy::room::{Room, Taken};
use crate::proxy::share::Full;

/// What of a body is hashed and written at once, and read again at once.
const PIECE: usize = 128 << 10;
/// A body that is no larger never sees the disk.
const SMALL: usize = 64 << 10;
/// Who sends nothing for so long is gone.
const STALL: Duration = Duration::from_secs(30);
/// A body may come slowly, and no slower than this.
const RATE: u64 = 1 << 10;
/// From when on the rate counts.
const GRACE: Duration = Duration::from_secs(60);

/// What may be taken of one body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    /// Bytes.
    pub(crate) bytes: u64,
    /// How long it may take to come in.
    pub(crate) time: Duration,
}

/// A body that was taken whole.
#[derive(Debug)]
pub(crate) struct Held {
    kept: Kept,
    length: u64,
    digests: DigestSet,
    taken: Arc<Taken>,
}

#[derive(Clone, Debug)]
enum Kept {
    Memory(Bytes),
    /// Without a name: gone with the process that has it open.
    File(Arc<File>),
}

/// A part of a held body.
#[derive(Debug)]
pub(crate) struct Part {
    kept: Kept,
    at: u64,
    end: u64,
}

impl io::Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use std::os::unix::fs::FileExt as _;
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX).min(buffer.len());
        let Some(wanted) = buffer.get_mut(..left) else { return Ok(0) };
        let read = match &self.kept {
            Kept::File(file) => file.read_at(wanted, self.at)?,
            Kept::Memory(bytes) => {
                let from = bytes.get(usize::try_from(self.at).unwrap_or(usize::MAX)..).unwrap_or_default();
                io::Read::read(&mut &*from, wanted)?
            }
        };
        self.at = self.at.saturating_add(u64::try_from(read).unwrap_or(0));
        Ok(read)
    }
}

/// Why a body was not taken.
#[derive(Debug)]
pub(crate) enum HoldError {
    /// It is larger than a body may be; the field says how large that is.
    TooLarge(u64),
    /// All that is held, or all of this requester's, is as much as may be.
    Full(Full),
    /// It came too slowly; the field says what of it.
    Slow(String),
    /// It broke off.
    Body(String),
    /// The disk.
    Io(io::Error),
}

impl fmt::Display for HoldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(most) => write!(f, "the body has more than {most} bytes"),
            Self::Full(full) => {
                write!(f, "too much waits to be decided about: {}", full.text("bytes of `limits: held`"))
            }
            Self::Slow(why) => write!(f, "the body comes too slowly: {why}"),
            Self::Body(why) => write!(f, "the body broke off: {why}"),
            Self::Io(e) => write!(f, "the body cannot be held: {e}"),
        }
    }
}

/// Where the pieces go: hashed and kept, one after the other.
struct Sink {
    sha256: Context,
    sha512: Context,
    file: Option<File>,
}

impl Sink {
    fn new() -> Self {
        Self { sha256: Context::new(&SHA256), sha512: Context::new(&SHA512), file: None }
    }

    fn hash(&mut self, pieces: &[Bytes]) {
        for piece in pieces {
            self.sha256.update(piece);
            self.sha512.update(piece);
        }
    }

    fn write(&mut self, pieces: &[Bytes], folder: &Path) -> io::Result<()> {
        self.hash(pieces);
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile_in(folder)?);
        }
        let mut slices: Vec<io::IoSlice<'_>> = pieces.iter().map(|piece| io::IoSlice::new(piece)).collect();
        let mut left = slices.as_mut_slice();
        while let (Some(file), false) = (&mut self.file, left.is_empty()) {
            match file.write_vectored(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => io::IoSlice::advance_slices(&mut left, count),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn digests(self) -> (DigestSet, Option<File>) {
        let digest =
            |algorithm, context: Context| Digest::from_bytes(algorithm, context.finish().as_ref().to_vec());
        let digests = [digest(Algorithm::Sha256, self.sha256), digest(Algorithm::Sha512, self.sha512)];
        (digests.into_iter().flatten().collect(), self.file)
    }
}

/// One body on its way to the disk: while a thread writes what came, more comes in.
struct Writing {
    folder: Arc<Path>,
    room: Arc<Room>,
    sink: Option<Sink>,
    under_way: Option<JoinHandle<io::Result<Sink>>>,
    pieces: Vec<Bytes>,
    waiting: usize,
}

impl Writing {
    async fn add(&mut self, piece: Bytes) -> Result<(), HoldError> {
        self.waiting += piece.len();
        self.pieces.push(piece);
        if self.waiting < PIECE {
            return Ok(());
        }
        self.flush().await
    }

    /// Hands over what waits, once the thread before is done with what it has.
    async fn flush(&mut self) -> Result<(), HoldError> {
        self.settle().await?;
        let Some(mut sink) = self.sink.take() else { return Ok(()) };
        let (pieces, folder) = (std::mem::take(&mut self.pieces), Arc::clone(&self.folder));
        self.waiting = 0;
        let writer = self.room.writer().await.map_err(HoldError::Io)?;
        self.under_way = Some(tokio::task::spawn_blocking(move || {
            let written = sink.write(&pieces, &folder);
            drop(writer);
            written.map(|()| sink)
        }));
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), HoldError> {
        if let Some(under_way) = self.under_way.take() {
            let done = under_way.await.unwrap_or_else(|e| Err(io::Error::other(e)));
            self.sink = Some(done.map_err(HoldError::Io)?);
        }
        Ok(())
    }

    /// What came, kept and hashed.
    async fn finish(mut self, length: u64) -> Result<(Kept, DigestSet), HoldError> {
        let lost = || HoldError::Io(io::Error::other("what was written is not there"));
        if length <= u64::try_from(SMALL).unwrap_or(0) {
            let mut sink = self.sink.take().ok_or_else(lost)?;
            sink.hash(&self.pieces);
            let bytes = match self.pieces.as_slice() {
                [one] => one.clone(),
                many => many.concat().into(),
            };
            return Ok((Kept::Memory(bytes), sink.digests().0));
        }
        self.flush().await?;
        self.settle().await?;
        let (digests, file) = self.sink.take().ok_or_else(lost)?.digests();
        Ok((Kept::File(Arc::new(file.ok_or_else(lost)?)), digests))
    }
}

impl Held {
    /// Takes a body, and nothing of it stays where it cannot be taken whole.
    pub(crate) async fn take(
        body: Body,
        folder: &Path,
        mut taken: Taken,
        most: Most,
    ) -> Result<Self, HoldError> {
        let mut writing = Writing {
            folder: folder.into(),
            room: Arc::clone(taken.room()),
            sink: Some(Sink::new()),
            under_way: None,
            pieces: Vec::new(),
            waiting: 0,
        };
        let (mut pieces, clock) = (body.into_data_stream(), Patience::new(most.time));
        while let Some(piece) = clock.next(&mut pieces, taken.bytes()).await? {
            let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            if taken.bytes().saturating_add(length) > most.bytes {
                return Err(HoldError::TooLarge(most.bytes));
            }
            taken.more(length).map_err(HoldError::Full)?;
            if !piece.is_empty() {
                writing.add(piece).await?;
            }
        }
        let length = taken.bytes();
        let (kept, digests) = writing.finish(length).await?;
        Ok(Self { kept, length, digests, taken: Arc::new(taken) })
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
        let file = match &self.kept {
            Kept::Memory(bytes) => return Ok(bytes.to_vec()),
            Kept::File(file) => file,
        };
        let mut file = file.try_clone().map_err(HoldError::Io)?;
        file.seek(SeekFrom::Start(0)).map_err(HoldError::Io)?;
        let mut bytes = Vec::new();
        file.take(self.length).read_to_end(&mut bytes).map_err(HoldError::Io)?;
        Ok(bytes)
    }

    /// A part of it, to be read on a thread that may wait; each has a place of its own.
    pub(crate) fn part(&self, at: u64, length: u64) -> Part {
        let at = at.min(self.length);
        Part { kept: self.kept.clone(), at, end: at.saturating_add(length).min(self.length) }
    }

    /// The same bytes as a body, read from the file piece by piece, the next one while one is on its way.
    pub(crate) fn body(&self) -> Body {
        let file = match &self.kept {
            Kept::Memory(bytes) => return Body::from(bytes.clone()),
            Kept::File(file) => Arc::clone(file),
        };
        let first = Reading { file, length: self.length, at: 0, _taken: Arc::clone(&self.taken) };
        let pieces = futures_util::stream::unfold(first.next(), |next| async move {
            let (reading, piece) = next?;
            let piece = piece.await.unwrap_or_else(|e| Err(io::Error::other(e)));
            // what cannot be read breaks the body off, and nothing comes behind it
            let further = if piece.is_ok() { reading.next() } else { None };
            Some((piece, further))
        });
        Body::from_stream(pieces)
    }
}

/// How far a body was read again.
struct Reading {
    file: Arc<File>,
    length: u64,
    at: u64,
    /// The bytes count as held until they are sent.
    _taken: Arc<Taken>,
}

impl Reading {
    /// Has the next piece read; nothing at the end.
    fn next(self) -> Option<(Self, JoinHandle<io::Result<Bytes>>)> {
        use std::os::unix::fs::FileExt as _;
        let wanted = usize::try_from(self.length.saturating_sub(self.at)).unwrap_or(PIECE).min(PIECE);
        if wanted == 0 {
            return None;
        }
        let (file, at) = (Arc::clone(&self.file), self.at);
        let piece = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; wanted];
            file.read_exact_at(&mut piece, at).map(|()| Bytes::from(piece))
        });
        let at = at.saturating_add(u64::try_from(wanted).unwrap_or(0));
        Some((Self { at, ..self }, piece))
    }
}

/// How long a body may take.
struct Patience {
    began: Instant,
    time: Duration,
}

impl Patience {
    fn new(time: Duration) -> Self {
        Self { began: Instant::now(), time }
    }

    /// The next piece; nothing at the end.
    async fn next(
        &self,
        pieces: &mut axum::body::BodyDataStream,
        until_now: u64,
    ) -> Result<Option<Bytes>, HoldError> {
        let elapsed = self.began.elapsed();
        if elapsed > GRACE && until_now / elapsed.as_secs().max(1) < RATE {
            return Err(HoldError::Slow(format!("less than {RATE} bytes a second")));
        }
        let whole = self.time.saturating_sub(elapsed);
        match tokio::time::timeout(STALL.min(whole), pieces.next()).await {
            Ok(None) => Ok(None),
            Ok(Some(piece)) => piece.map(Some).map_err(|e| HoldError::Body(e.to_string())),
            Err(_) if whole < STALL => {
                Err(HoldError::Slow(format!("it was not there within {} s", self.time.as_secs())))
            }
            Err(_) => Err(HoldError::Slow(format!("nothing came for {} s", STALL.as_secs()))),
        }
    }
}
