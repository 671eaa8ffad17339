//! Texts for sizes and durations, as people write them in a manifest and on the command line.

use std::time::Duration;

/// A size or duration is not written as expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// The text is not a size.
    #[error("`{text}` is not a size: write a whole number and B, KiB, MiB or GiB, for instance `64MiB`")]
    Size {
        /// What was given, escaped.
        text: String,
    },
    /// The text is not a duration.
    #[error("`{text}` is not a duration: write a number and ms, s, m, h or d, for instance `5s` or `250ms`")]
    Duration {
        /// What was given, escaped.
        text: String,
    },
}

/// Reads a size in bytes: `64MiB`, `512 KiB`, `1GiB`, `1048576`.
///
/// # Errors
/// [`UnitError::Size`] if the text has another form or the number does not fit.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let error = || UnitError::Size { text: crate::text::escape_line(&crate::text::truncate(text, 40)).into_owned() };
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(error()),
    };
    number.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).ok_or_else(error)
}

/// Writes a size the way [`parse_size`] reads it, in the largest unit that divides it.
pub fn format_size(bytes: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes >= 1 << shift && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

/// Reads a duration: `5s`, `250ms`, `1.5s`, `2m`, `1h`, `90d`.
///
/// # Errors
/// [`UnitError::Duration`] if the text has another form, is negative, or is above a year.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let error =
        || UnitError::Duration { text: crate::text::escape_line(&crate::text::truncate(text, 40)).into_owned() };
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(end);
    let seconds_each = match unit.trim_start() {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 24.0 * 3600.0,
        _ => return Err(error()),
    };
    let seconds = number.parse::<f64>().map_err(|_| error())? * seconds_each;
    if !(0.0..=366.0 * 24.0 * 3600.0).contains(&seconds) {
        return Err(error());
    }
    // Whole microseconds, so that `250ms` is exactly that.
    Ok(Duration::from_micros((seconds * 1e6).round() as u64))
}

/// Writes a duration the way [`parse_duration`] reads it.
pub fn format_duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    if micros.is_multiple_of(1_000_000) {
        format!("{}s", micros / 1_000_000)
    } else if micros.is_multiple_of(1_000) {
        format!("{}ms", micros / 1_000)
    } else {
        format!("{micros}us")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_trip() {
        for text in ["64MiB", "1GiB", "3KiB", "17B"] {
            assert_eq!(format_size(parse_size(text).unwrap()), text);
        }
        assert_eq!(parse_size("64 MiB").unwrap(), 64 << 20);
        for text in ["", "MiB", "-1B", "64MB", "1e9", "99999999999GiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_round_trip() {
        for text in ["5s", "250ms", "7us", "90s"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(parse_duration("1.5s").unwrap(), Duration::from_millis(1500));
        for text in ["", "s", "-1s", "5", "5 days", "1..2s", "9999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
