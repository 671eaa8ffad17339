//! What stands at the end of each file, and whether it is of what stands before.

use std::fs::File;
use std::mem::MaybeUninit;

use rustix::fs::{Advice, SeekFrom};

/// Ends each file: four letters and four bytes for the crc32c of all before them.
const SEAL: &[u8; SEAL_BYTES] = b"RTCC\0\0\0\0";
pub(super) const SEAL_BYTES: usize = 8;

/// Bytes that are read at once to check a file.
const READ_BYTES: usize = 32 << 10;

/// What is in a hole.
const ZEROS: &[u8] = &[0; 4_096];

/// Returns what stands after the code in its file.
pub(super) fn seal(checksum: u32) -> [u8; SEAL_BYTES] {
    let mut seal = *SEAL;
    for (to, from) in seal.iter_mut().skip(SEAL_BYTES - 4).zip(checksum.to_le_bytes()) {
        *to = from;
    }
    seal
}

/// Reads the file of `size` bytes and tells whether it ends in the seal of what is before.
pub(super) fn is_sealed(file: &File, size: u64) -> bool {
    let Some(code) = size.checked_sub(SEAL_BYTES as u64) else { return false };
    // The system keeps in memory what it reads, and holes are not worth that: neither read nor read ahead. Where it cannot be told, it
    // takes more memory.
    let _ = rustix::fs::fadvise(file, 0, None, Advice::Random);
    let mut buffer = [MaybeUninit::<u8>::uninit(); READ_BYTES];
    let (mut at, mut checksum, mut found) = (0, 0, Vec::with_capacity(SEAL_BYTES));
    while at < size {
        let (from, to) = data_from(file, at, size);
        let mut hole = from.min(code).saturating_sub(at);
        while hole > 0 {
            let zeros = ZEROS.get(..usize::try_from(hole).unwrap_or(usize::MAX)).unwrap_or(ZEROS);
            checksum = crc32c::crc32c_append(checksum, zeros);
            hole -= zeros.len() as u64;
        }
        at = from;
        while at < to {
            let most = usize::try_from(to - at).unwrap_or(usize::MAX).min(READ_BYTES);
            let piece = match rustix::io::pread(file, buffer.get_mut(..most).unwrap_or_default(), at) {
                Ok((piece, _)) if !piece.is_empty() => piece,
                Err(rustix::io::Errno::INTR) => continue,
                Ok(_) | Err(_) => return false,
            };
            let left = usize::try_from(code.saturating_sub(at)).unwrap_or(usize::MAX);
            let (code, rest) = piece.split_at(left.min(piece.len()));
            checksum = crc32c::crc32c_append(checksum, code);
            found.extend_from_slice(rest);
            at += piece.len() as u64;
        }
    }
    found == seal(checksum)
}

/// Returns from where to where the next data of the file is, from `at` on; what is before it are zeros. Nothing but data where the system
/// does not know of holes.
fn data_from(file: &File, at: u64, size: u64) -> (u64, u64) {
    let seek = |to| rustix::fs::seek(file, to);
    match seek(SeekFrom::Data(at)) {
        Ok(from) => (from.min(size), seek(SeekFrom::Hole(from)).map_or(size, |to| to.min(size))),
        Err(rustix::io::Errno::NXIO) => (size, size),
        Err(_) => (at, size),
    }
}
