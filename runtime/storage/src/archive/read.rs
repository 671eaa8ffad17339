use std::io::Read;

use super::{BLOCK, END_BYTES, header, padding};

/// What is wrong with an archive, and where.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The file, or `its end`.
    pub(crate) place: String,
    pub(crate) reason: String,
}

impl Fault {
    pub(crate) fn of(place: &str, reason: impl std::fmt::Display) -> Self {
        Self { place: place.to_owned(), reason: reason.to_string() }
    }
}

/// Reads an archive whose files are known beforehand, but for the first.
pub(crate) struct Reader<R> {
    from: R,
    /// The time that all files carry, as the first one says.
    mtime: u64,
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(from: R) -> Self {
        Self { from, mtime: 0 }
    }

    /// Reads the first file, of at most `max` bytes.
    pub(crate) fn first(&mut self, name: &str, max: u64) -> Result<Vec<u8>, Fault> {
        let wrong = |reason: String| Fault::of(name, reason);
        let found = self.block(name)?;
        let mut read = tar::Header::new_old();
        read.as_mut_bytes().copy_from_slice(&found);
        let not_ours = || wrong("it is not an archive of this kind".to_owned());
        let (size, mtime) = read.entry_size().and_then(|size| Ok((size, read.mtime()?))).map_err(|_| not_ours())?;
        let expected = header(name, size, mtime).map_err(|_| not_ours())?;
        if expected.as_bytes() != &found {
            return Err(not_ours());
        }
        if size > max {
            return Err(wrong(format!("it says that it has {size} bytes, it may have {max}")));
        }
        self.mtime = mtime;
        let mut bytes = Vec::new();
        let read = (&mut self.from).take(size).read_to_end(&mut bytes).map_err(|error| wrong(error.to_string()))?;
        if (read as u64) < size {
            return Err(wrong("the archive is cut".to_owned()));
        }
        self.end_file(name, size)?;
        Ok(bytes)
    }

    /// Begins the next file, which must be `name` with `size` bytes, and returns its bytes. [`Self::end_file`] must follow when they
    /// are read.
    pub(crate) fn file(&mut self, name: &str, size: u64) -> Result<std::io::Take<&mut R>, Fault> {
        let expected = header(name, size, self.mtime).map_err(|error| Fault::of(name, error))?;
        if expected.as_bytes() != &self.block(name)? {
            return Err(Fault::of(name, "another entry is in its place"));
        }
        Ok((&mut self.from).take(size))
    }

    /// Checks the rest of a file's last block.
    pub(crate) fn end_file(&mut self, name: &str, size: u64) -> Result<(), Fault> {
        let mut rest = Vec::new();
        let wanted = padding(size);
        (&mut self.from).take(wanted).read_to_end(&mut rest).map_err(|error| Fault::of(name, error))?;
        if (rest.len() as u64) < wanted {
            return Err(Fault::of(name, "the archive is cut"));
        }
        if rest.iter().any(|byte| *byte != 0) {
            return Err(Fault::of(name, "there is something between it and the next file"));
        }
        Ok(())
    }

    /// Checks that the archive ends here.
    pub(crate) fn finish(mut self) -> Result<(), Fault> {
        let wrong = |reason: String| Fault::of("its end", reason);
        let mut rest = Vec::new();
        let max = END_BYTES as u64 + 1;
        (&mut self.from).take(max).read_to_end(&mut rest).map_err(|error| wrong(error.to_string()))?;
        if rest != [0; END_BYTES] {
            return Err(wrong("the archive is cut, or something follows the last file".to_owned()));
        }
        Ok(())
    }

    fn block(&mut self, name: &str) -> Result<[u8; BLOCK as usize], Fault> {
        let mut block = [0; BLOCK as usize];
        match self.from.read_exact(&mut block) {
            Ok(()) => Ok(block),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(Fault::of(name, "the archive is cut"))
            }
            Err(error) => Err(Fault::of(name, error)),
        }
    }
}
