//! The form in which the facts are handed from one instance to the next.
//!
//! `facts`, one byte of version (1), then each fact: key, value, source, revision. Texts are a little-endian `u32` length and
//! UTF-8; a value is one byte (0 text, 1 number, 2 flag) and its content; a source is one byte (0 none, 1 some) and its
//! text. Nothing follows the last fact.

use std::fmt;

use crate::exports::demo::facts::store::{Fact, Value};

/// What a snapshot of this form begins with.
const MAGIC: &[u8] = b"facts\x01";

/// Why a snapshot cannot be read.
#[derive(Debug, PartialEq)]
pub(crate) enum DecodeError {
    /// It does not begin as snapshots of this version do.
    Foreign,
    /// It breaks off, or has a byte that means nothing, at this offset.
    Damaged(usize),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("not a snapshot of facts in version 1"),
            Self::Damaged(offset) => write!(f, "snapshot damaged at byte {offset}"),
        }
    }
}

/// Writes facts into bytes.
pub(crate) fn encode<'a>(facts: impl Iterator<Item = &'a Fact>) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    for fact in facts {
        put_text(&mut out, &fact.key);
        match &fact.value {
            Value::Text(text) => {
                out.push(0);
                put_text(&mut out, text);
            }
            Value::Number(number) => {
                out.push(1);
                out.extend(number.to_le_bytes());
            }
            Value::Flag(flag) => out.extend([2, u8::from(*flag)]),
        }
        match &fact.source {
            None => out.push(0),
            Some(source) => {
                out.push(1);
                put_text(&mut out, source);
            }
        }
        out.extend(fact.revision.to_le_bytes());
    }
    out
}

/// Reads facts from bytes.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Fact>, DecodeError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(DecodeError::Foreign)?;
    let mut reader = Reader { rest, whole: bytes.len() };
    let mut facts = Vec::new();
    while !reader.rest.is_empty() {
        facts.push(reader.fact()?);
    }
    Ok(facts)
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    // Texts are bounded far below 4 GiB where they come in.
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

/// The bytes that are still to be read.
struct Reader<'a> {
    rest: &'a [u8],
    whole: usize,
}

impl Reader<'_> {
    fn damaged(&self) -> DecodeError {
        DecodeError::Damaged(self.whole - self.rest.len())
    }

    fn take(&mut self, length: usize) -> Result<&[u8], DecodeError> {
        let (head, tail) = self.rest.split_at_checked(length).ok_or_else(|| self.damaged())?;
        self.rest = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// Reads a byte below `limit`.
    fn tag(&mut self, limit: u8) -> Result<u8, DecodeError> {
        let damaged = self.damaged();
        let [byte] = self.array()?;
        if byte < limit { Ok(byte) } else { Err(damaged) }
    }

    fn text(&mut self) -> Result<String, DecodeError> {
        let length = u32::from_le_bytes(self.array()?) as usize;
        let damaged = self.damaged();
        let bytes = self.take(length)?;
        String::from_utf8(bytes.to_vec()).map_err(|_invalid| damaged)
    }

    fn fact(&mut self) -> Result<Fact, DecodeError> {
        let key = self.text()?;
        let value = match self.tag(3)? {
            0 => Value::Text(self.text()?),
            1 => Value::Number(f64::from_le_bytes(self.array()?)),
            _ => Value::Flag(self.tag(2)? == 1),
        };
        let source = if self.tag(2)? == 1 { Some(self.text()?) } else { None };
        let revision = u32::from_le_bytes(self.array()?);
        Ok(Fact { key, value, source, revision })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<Fact> {
        let fact = |key: &str, value, source: Option<&str>, revision| Fact {
            key: key.into(),
            value,
            source: source.map(Into::into),
            revision,
        };
        vec![
            fact("city", Value::Text("Zürich".into()), Some("atlas"), 3),
            fact("empty", Value::Text(String::new()), None, 1),
            fact("price", Value::Number(-0.5), Some(""), u32::MAX),
            fact("open", Value::Flag(true), None, 2),
        ]
    }

    #[test]
    fn facts_come_back_as_they_were() {
        let bytes = encode(sample().iter());
        let back = decode(&bytes).expect("own snapshot");
        assert_eq!(format!("{back:?}"), format!("{:?}", sample()));
        assert!(decode(&encode([].iter())).expect("an empty snapshot").is_empty());
    }

    #[test]
    fn foreign_bytes_are_refused() {
        for bytes in [&b""[..], b"fact", b"facts\x02", b"{\"facts\":[]}"] {
            assert_eq!(decode(bytes).err(), Some(DecodeError::Foreign));
        }
    }

    #[test]
    fn a_cut_snapshot_is_refused_or_ends_between_two_facts() {
        let facts = sample();
        let bytes = encode(facts.iter());
        let whole: Vec<usize> = (0..=facts.len()).map(|n| encode(facts[..n].iter()).len()).collect();
        for end in MAGIC.len()..bytes.len() {
            assert_eq!(decode(&bytes[..end]).is_ok(), whole.contains(&end), "cut at {end}");
        }
    }
}
