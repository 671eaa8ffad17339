use std::io::{Read, Write};

use super::{END_BYTES, header, padding};

/// Writes an archive, file by file.
pub(crate) struct Writer<W> {
    out: W,
    /// The time that all files carry, in seconds.
    mtime: u64,
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(out: W, mtime: u64) -> Self {
        Self { out, mtime }
    }

    /// Writes a file of exactly `size` bytes.
    pub(crate) fn file(&mut self, name: &str, size: u64, from: &mut dyn Read) -> std::io::Result<()> {
        self.begin_file(name, size)?;
        let copied = std::io::copy(&mut from.take(size), &mut self.out)?;
        if copied < size {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.end_file(size)
    }

    /// Writes the header of a file; its bytes must follow.
    pub(crate) fn begin_file(&mut self, name: &str, size: u64) -> std::io::Result<()> {
        self.out.write_all(header(name, size, self.mtime)?.as_bytes())
    }

    /// Returns where the bytes of the file go that was begun.
    pub(crate) fn bytes(&mut self) -> &mut W {
        &mut self.out
    }

    /// Fills the last block of a file.
    pub(crate) fn end_file(&mut self, size: u64) -> std::io::Result<()> {
        std::io::copy(&mut std::io::repeat(0).take(padding(size)), &mut self.out).map(drop)
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> std::io::Result<W> {
        self.out.write_all(&[0; END_BYTES])?;
        self.out.flush()?;
        Ok(self.out)
    }
}
