//! Looking at an index without making it fit its journal.

use std::path::Path;

use domain::ports::StorageError;

use super::head::HeadFile;
use super::image::Image;
use super::recover::{Truth, follow, misfit, over_image};
use super::rows::Rows;
use super::sled::{Mark, OpenedSled, SledRows};
use crate::journal::JournalFolder;

/// What an index holds that was only looked at.
pub(crate) enum Looked {
    /// Its rows, with what the journal has since, and how those on disk differ from what was written, where they do.
    Rows(Box<dyn Rows>, Option<String>),
    /// It would be made anew, because of this.
    Unfit(String),
}

/// Looks at the index in a folder that is changed by that, so at a copy: through its image, or through sled.
///
/// # Errors
/// [`StorageError::NewerFormat`], and errors of the disk.
pub(crate) fn look(
    index_folder: &Path,
    journal: &JournalFolder,
    end: &Mark,
    with_image: bool,
) -> Result<Looked, StorageError> {
    let said = HeadFile::read(index_folder)?;
    if with_image {
        let Some(image) = Image::load(index_folder)? else { return Ok(Looked::Unfit("it is damaged".to_owned())) };
        let told = said.unwrap_or_else(|| image.taken.mark.clone());
        let truth = Truth { journal, end: end.clone(), told };
        if let Some(reason) = misfit(&truth) {
            return Ok(Looked::Unfit(reason));
        }
        return Ok(match over_image(index_folder, image, &truth)? {
            Some(followed) => Looked::Rows(Box::new(followed.layers), None),
            None => Looked::Unfit("it is too far behind the journal".to_owned()),
        });
    }
    match SledRows::open(index_folder)? {
        // One that nothing was written to yet lacks nothing that would not be noticed.
        OpenedSled::New(_) if end.seq > 0 => Ok(Looked::Unfit("there is none".to_owned())),
        OpenedSled::New(sled) => Ok(Looked::Rows(Box::new(sled), None)),
        OpenedSled::Earlier(_, reason) | OpenedSled::Unfit(reason) => Ok(Looked::Unfit(reason)),
        OpenedSled::Whole(sled, mark) => {
            let told = said.filter(|said| said.seq > mark.seq).unwrap_or_else(|| mark.clone());
            let truth = Truth { journal, end: end.clone(), told };
            let misfit = match sled.misfit() {
                Ok(misfit) => misfit,
                Err(reason) => return Ok(Looked::Unfit(reason)),
            };
            Ok(match follow(index_folder, sled, mark, &truth) {
                Ok(followed) => Looked::Rows(Box::new(followed.layers), misfit),
                Err(discarded) => Looked::Unfit(discarded.reason),
            })
        }
    }
}
