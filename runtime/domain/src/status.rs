//! The life of an entry.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where an entry stands.
///
/// ```text
/// discovered → registered → active ⇄ inactive        any → error        error → registered (cleared) | active (recovered)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Found by a scan, not in the registry yet.
    Discovered,
    /// In the registry, never activated since it was registered or cleared.
    Registered,
    /// Linked and callable.
    Active,
    /// Taken out of service in order.
    Inactive,
    /// Its activation failed, it failed too often, or it was marked; refused until cleared or activated again, and one in quarantine until
    /// it was tried and did not fail.
    Error,
}

impl Status {
    /// All statuses in the order of an entry's life.
    pub const ALL: [Self; 5] = [Self::Discovered, Self::Registered, Self::Active, Self::Inactive, Self::Error];

    /// Returns the word people read and write.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Discovered => "discovered",
            Self::Registered => "registered",
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Error => "error",
        }
    }

    /// Tells whether an entry may go from here to `next` in one step.
    pub fn can_become(self, next: Self) -> bool {
        match (self, next) {
            (_, Self::Error) => true,
            (Self::Discovered | Self::Error, Self::Registered) => true,
            (Self::Registered | Self::Inactive | Self::Error, Self::Active) => true,
            (Self::Active, Self::Inactive) => true,
            (
                Self::Discovered | Self::Registered | Self::Active | Self::Inactive | Self::Error,
                Self::Discovered | Self::Registered | Self::Active | Self::Inactive,
            ) => false,
        }
    }

    /// Checks the step from here to `next`.
    ///
    /// # Errors
    /// [`TransitionError`] names both ends and what is possible from here.
    pub fn step_to(self, next: Self) -> Result<Self, TransitionError> {
        if self.can_become(next) { Ok(next) } else { Err(TransitionError { from: self, to: next }) }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The word is not a status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a status: use discovered, registered, active, inactive or error")]
pub struct StatusError(String);

impl FromStr for Status {
    type Err = StatusError;

    fn from_str(text: &str) -> Result<Self, StatusError> {
        let same = |status: &Self| status.as_str() == text;
        Self::ALL.into_iter().find(same).ok_or_else(|| StatusError(crate::text::escape_line(text).into_owned()))
    }
}

/// The status machine has no such step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an entry cannot go from {from} to {to}")]
pub struct TransitionError {
    /// Where the entry stands.
    pub from: Status,
    /// Where it should go.
    pub to: Status,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allows_the_drawn_steps_and_no_others() {
        let drawn = [
            (Status::Discovered, Status::Registered),
            (Status::Registered, Status::Active),
            (Status::Active, Status::Inactive),
            (Status::Inactive, Status::Active),
            (Status::Error, Status::Registered),
            (Status::Error, Status::Active),
        ];
        for from in Status::ALL {
            for to in Status::ALL {
                let expected = to == Status::Error || drawn.contains(&(from, to));
                assert_eq!(from.step_to(to).is_ok(), expected, "{from} to {to}");
            }
        }
    }

    #[test]
    fn words_round_trip() {
        for status in Status::ALL {
            assert_eq!(status.to_string().parse::<Status>().unwrap(), status);
        }
        assert!("ACTIVE".parse::<Status>().is_err());
    }
}
