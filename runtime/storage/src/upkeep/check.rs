//! Reading every blob and comparing it with its digest.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use domain::Digest;
use domain::ports::{BlobCheck, BytesProgress, DamagedBlob, Stop, StorageError};
use sha2::Digest as _;

use super::{Kind, kind_of, shelves};
use crate::blobs::FileBlobs;
use crate::files;

/// How much is read at once.
const PIECE_BYTES: usize = 64 << 10;

/// Checks all blobs, and that those of `needed` are there.
pub(crate) fn check(
    blobs: &FileBlobs,
    needed: &HashSet<Digest>,
    progress: &mut dyn FnMut(BytesProgress),
    stop: &Stop,
) -> Result<BlobCheck, StorageError> {
    let mut found = Vec::new();
    for shelf in shelves(blobs)? {
        found.extend(files::list(&shelf)?);
    }
    let mut said = BytesProgress { done: 0, total: found.iter().map(|file| file.bytes).sum() };
    let mut checked = BlobCheck::default();
    let mut there = HashSet::with_capacity(found.len());
    for file in found {
        stop.check()?;
        progress(said);
        match kind_of(&file) {
            Kind::Partial => {}
            Kind::Strange => checked.damaged.push(DamagedBlob {
                digest: None,
                path: file.path,
                reason: "its name is not that of a blob of this folder".to_owned(),
            }),
            Kind::Blob(digest) => {
                let reason = match digest_of_file(&file.path, &mut |_| !stop.is_set()) {
                    Ok(None) => continue,
                    Ok(Some((actual, bytes))) => {
                        checked.bytes += bytes;
                        (actual != digest).then(|| format!("its bytes have the digest {actual}"))
                    }
                    Err(error) => Some(format!("it cannot be read: {error}")),
                };
                checked.blobs += 1;
                there.insert(digest);
                let damage = reason.map(|reason| DamagedBlob { digest: Some(digest), path: file.path, reason });
                checked.damaged.extend(damage);
            }
        }
        said.done += file.bytes;
    }
    stop.check()?;
    progress(BytesProgress { done: said.total, ..said });
    // What was put since the folders were read is there as well.
    let missing: BTreeSet<_> = needed.difference(&there).filter(|digest| !blobs.path(digest).exists()).collect();
    checked.missing = missing.into_iter().copied().collect();
    Ok(checked)
}

/// Returns digest and size of a file's bytes, read piece by piece; `None` if it is gone. `goes_on` hears of the size of each piece
/// and may break off, which is `None` as well.
pub(super) fn digest_of_file(
    path: &Path,
    goes_on: &mut dyn FnMut(usize) -> bool,
) -> std::io::Result<Option<(Digest, u64)>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut hasher = sha2::Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(Some((Digest::from_bytes(hasher.finalize().into()), bytes)));
        }
        hasher.update(piece.get(..read).unwrap_or_default());
        bytes += read as u64;
        if !goes_on(read) {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::ports::BlobStore;

    use super::*;

    #[test]
    fn names_what_is_damaged_and_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = FileBlobs::new(folder.path());
        let good = blobs.put(b"good").unwrap();
        let bad = blobs.put(b"bad").unwrap();
        let long = blobs.put(&vec![7; 3 * PIECE_BYTES + 1]).unwrap();
        std::fs::write(blobs.path(&bad), b"bat").unwrap();
        let strange = blobs.path(&good).with_file_name("what");
        std::fs::write(&strange, b"?").unwrap();
        let gone = Digest::of(b"never put");
        let mut steps = Vec::new();
        let needed = HashSet::from([good, gone, long]);
        let checked = check(&blobs, &needed, &mut |step| steps.push(step), &Stop::default()).unwrap();
        assert_eq!((checked.blobs, checked.bytes), (3, 7 + 3 * PIECE_BYTES as u64 + 1));
        assert_eq!(checked.missing, [gone]);
        let mut damaged: Vec<_> =
            checked.damaged.iter().map(|damaged| (damaged.digest, damaged.path.clone())).collect();
        damaged.sort();
        assert_eq!(damaged, [(None, strange), (Some(bad), blobs.path(&bad))]);
        assert!(steps.is_sorted_by_key(|step| step.done));
        assert_eq!(steps.last().map(|step| step.done), Some(checked.bytes + 1));
    }

    #[test]
    fn breaks_off_between_two_blobs_and_in_the_middle_of_one() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = FileBlobs::new(folder.path());
        let digests: HashSet<_> = (0..20_u8).map(|n| blobs.put(&[n; 10]).unwrap()).collect();
        for after in 1..=20 {
            let (stop, mut heard) = (Stop::default(), 0);
            let mut progress = |_| {
                heard += 1;
                if heard == after {
                    stop.stop();
                }
            };
            let error = check(&blobs, &digests, &mut progress, &stop).unwrap_err();
            assert!(matches!(error, StorageError::BrokenOff), "{error}");
            assert_eq!(heard, after, "nothing is begun after that");
        }
        let long = blobs.path(&blobs.put(&vec![7; 10 * PIECE_BYTES]).unwrap());
        let mut pieces = 0;
        let read = digest_of_file(&long, &mut |_| {
            pieces += 1;
            pieces < 3
        });
        assert_eq!((read.unwrap(), pieces), (None, 3));
    }
}
