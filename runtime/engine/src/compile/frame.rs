//! What host and worker say to each other: frames of one byte for the kind, four for the length, and a bounded payload.

use std::io::{self, Read, Write};

/// Most bytes in one frame: longer contents are cut into several.
pub(super) const FRAME_BYTES_MAX: usize = 1 << 20;

const HEADER_BYTES: usize = 5;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// To the worker: what is to be done, as JSON; the component's bytes follow as they are.
    Job = 1,
    /// From the worker: it is confined and works, as JSON.
    Ready = 2,
    /// From the worker: a piece of native code.
    Code = 3,
    /// From the worker: that was all of the code, as JSON.
    Done = 4,
    /// From the worker: why there is no code, as JSON.
    Failed = 5,
    /// From the worker: a piece of the table of source lines.
    Lines = 6,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        let all = [Self::Job, Self::Ready, Self::Code, Self::Done, Self::Failed, Self::Lines];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// The other side does not speak this language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    /// No frame begins with this byte.
    #[error("a frame of the unknown kind {0}")]
    Kind(u8),
    /// The frame claims to be longer than any may be.
    #[error("a frame of {0} bytes, where {FRAME_BYTES_MAX} are the most")]
    Length(u32),
}

fn header(kind: Kind, length: usize) -> [u8; HEADER_BYTES] {
    // Callers cut contents to `FRAME_BYTES_MAX`, which fits.
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    [kind as u8, a, b, c, d]
}

fn read_header(header: [u8; HEADER_BYTES]) -> Result<(Kind, usize), FrameError> {
    let [kind, a, b, c, d] = header;
    let kind = Kind::of(kind).ok_or(FrameError::Kind(kind))?;
    let length = u32::from_le_bytes([a, b, c, d]);
    match usize::try_from(length) {
        Ok(bytes) if bytes <= FRAME_BYTES_MAX => Ok((kind, bytes)),
        _ => Err(FrameError::Length(length)),
    }
}

/// Writes `content` as frames of `kind`, at least one.
pub(super) fn write(to: &mut impl Write, kind: Kind, content: &[u8]) -> io::Result<()> {
    let mut rest = content;
    loop {
        let (piece, after) = rest.split_at(rest.len().min(FRAME_BYTES_MAX));
        to.write_all(&header(kind, piece.len()))?;
        to.write_all(piece)?;
        rest = after;
        if rest.is_empty() {
            return to.flush();
        }
    }
}

/// Reads one frame, waiting for it.
pub(super) fn read(from: &mut impl Read) -> io::Result<(Kind, Vec<u8>)> {
    let mut start = [0; HEADER_BYTES];
    from.read_exact(&mut start)?;
    let (kind, length) = read_header(start).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let mut payload = vec![0; length];
    from.read_exact(&mut payload)?;
    Ok((kind, payload))
}

/// Cuts frames out of bytes as they come.
#[derive(Default)]
pub(super) struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    /// Adds bytes that came.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Takes the next whole frame, if there is one: what is kept is never more than one frame and what was pushed last.
    ///
    /// # Errors
    /// [`FrameError`] as soon as a header is wrong, before its payload is waited for.
    pub(super) fn next(&mut self) -> Result<Option<(Kind, Vec<u8>)>, FrameError> {
        let Some(start) = self.buffer.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let (kind, length) = read_header(*start)?;
        let end = HEADER_BYTES + length;
        let Some(payload) = self.buffer.get(HEADER_BYTES..end) else { return Ok(None) };
        let payload = payload.to_vec();
        self.buffer.drain(..end);
        Ok(Some((kind, payload)))
    }

    /// Tells whether a frame has begun and is not whole.
    pub(super) fn is_cut(&self) -> bool {
        !self.buffer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_decoded_whatever_the_pieces() {
        let long: Vec<u8> = (0..FRAME_BYTES_MAX + 3).map(|n| n as u8).collect();
        let mut bytes = Vec::new();
        write(&mut bytes, Kind::Job, b"{}").unwrap();
        write(&mut bytes, Kind::Code, &long).unwrap();
        write(&mut bytes, Kind::Done, b"").unwrap();
        let expected = [(Kind::Job, 2), (Kind::Code, FRAME_BYTES_MAX), (Kind::Code, 3), (Kind::Done, 0)];
        let mut reader = bytes.as_slice();
        let read: Vec<_> =
            (0..4).map(|_| read(&mut reader).map(|(kind, payload)| (kind, payload.len())).unwrap()).collect();
        assert_eq!(read, expected);
        for step in [1, 7, 65_536, bytes.len()] {
            let (mut decoder, mut decoded, mut content) = (Decoder::default(), Vec::new(), Vec::new());
            for piece in bytes.chunks(step) {
                decoder.push(piece);
                while let Some((kind, payload)) = decoder.next().unwrap() {
                    decoded.push((kind, payload.len()));
                    if kind == Kind::Code {
                        content.extend(payload);
                    }
                }
            }
            assert_eq!((decoded.as_slice(), decoder.is_cut()), (expected.as_slice(), false));
            assert!(content == long);
        }
    }

    #[test]
    fn a_length_is_not_believed_and_a_kind_has_to_be_known() {
        let decode = |bytes: &[u8]| {
            let mut decoder = Decoder::default();
            decoder.push(bytes);
            decoder.next()
        };
        assert_eq!(decode(&[3, 0xff, 0xff, 0xff, 0xff]), Err(FrameError::Length(u32::MAX)));
        assert_eq!(decode(b"hello"), Err(FrameError::Kind(b'h')));
        assert_eq!(decode(&[3, 1, 0, 0]), Ok(None));
        assert_eq!(decode(&[3, 1, 0, 0, 0]), Ok(None));
        assert_eq!(decode(&[3, 1, 0, 0, 0, 9]), Ok(Some((Kind::Code, vec![9]))));
        assert!(read(&mut [3, 0xff, 0xff, 0xff, 0xff].as_slice()).is_err());
    }
}
