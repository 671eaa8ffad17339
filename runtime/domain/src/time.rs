//! Moments in time as values: the domain never asks a clock.

use std::fmt;
use std::str::FromStr;

/// A moment, in microseconds since 1970-01-01T00:00:00Z; printed as RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Makes a moment from microseconds since the Unix epoch.
    pub fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Returns the microseconds since the Unix epoch.
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// Returns the moment `time` later.
    pub fn after(self, time: std::time::Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Returns the time from `earlier` to here, zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(moment) => write!(f, "{moment:.6}"),
            // Out of the calendar's range: only a damaged record can hold such a number.
            Err(_) => write!(f, "@{}us", self.0),
        }
    }
}

/// The text is not an RFC 3339 moment.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not an RFC 3339 time")]
pub struct TimestampError {
    text: String,
    #[source]
    source: jiff::Error,
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let moment: jiff::Timestamp =
            text.parse().map_err(|source| TimestampError { text: text.to_owned(), source })?;
        Ok(Self(moment.as_microsecond()))
    }
}

crate::as_text::as_text!(Timestamp);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_utc_with_microseconds_and_reads_it_back() {
        let moment = Timestamp::from_micros(1_763_719_872_000_042);
        assert_eq!(moment.to_string(), "2025-11-21T10:11:12.000042Z");
        assert_eq!(moment.to_string().parse::<Timestamp>().unwrap(), moment);
    }

    #[test]
    fn refuses_what_is_not_a_time() {
        assert!("yesterday".parse::<Timestamp>().is_err());
    }
}
