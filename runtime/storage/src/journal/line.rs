//! Lines of a segment as they stand on the disk.

use domain::event::{Actor, EVENT_VERSION, Event, Record};
use std::io::Write as _;

use domain::{ComponentId, Timestamp};
use serde::ser::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::Digest as _;

use super::FORMAT;

/// Digest in place of that of a line before the first line of all.
const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The end of what was written last: its sequence number and the digest of its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Sequence number of the last record, 0 if there is none.
    pub(crate) seq: u64,
    /// Digest of the last line, a header's as well, as 64 hexadecimal digits.
    pub(crate) hash: String,
}

impl Head {
    /// Before the first line of all.
    pub(crate) fn start() -> Self {
        Self { seq: 0, hash: NOTHING.to_owned() }
    }
}

/// What is wrong with a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LineError {
    /// Its bytes are not those that were written.
    Broken(String),
    /// A later version wrote it.
    Newer {
        /// What, for messages.
        what: &'static str,
        /// Its version.
        found: u32,
        /// The newest known one.
        known: u32,
    },
}

pub(super) fn broken(reason: impl Into<String>) -> LineError {
    LineError::Broken(reason.into())
}

/// Beginning of the last field; the eight hexadecimal digits of the crc32c of all bytes before it follow, then `"}`.
pub(crate) const CHECKSUM_FIELD: &[u8] = b",\"crc\":\"";
const CHECKSUM_BYTES: usize = 18;

/// Puts the checksum field at the end of a JSON object.
pub(crate) fn seal(mut json: Vec<u8>) -> Vec<u8> {
    seal_from(&mut json, 0);
    json
}

/// Puts the checksum field at the end of the JSON object that begins at `start` and ends the text.
fn seal_from(text: &mut Vec<u8>, start: usize) {
    text.pop();
    let checksum = crc32c::crc32c(text.get(start..).unwrap_or_default());
    text.extend(CHECKSUM_FIELD);
    text.extend(format!("{checksum:08x}\"}}").bytes());
}

/// Tells whether a line, without its line feed, has the checksum that it says.
pub(crate) fn is_intact(line: &[u8]) -> bool {
    let Some((body, field)) = line.len().checked_sub(CHECKSUM_BYTES).and_then(|at| line.split_at_checked(at)) else {
        return false;
    };
    let digits = field.strip_prefix(CHECKSUM_FIELD).and_then(|rest| rest.strip_suffix(b"\"}"));
    let said = digits.and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|d| u32::from_str_radix(d, 16).ok());
    said == Some(crc32c::crc32c(body))
}

/// Returns the digest of a line without its line feed, as 64 hexadecimal digits.
pub(crate) fn hash(line: &[u8]) -> String {
    domain::Digest::from_bytes(sha2::Sha256::digest(line).into()).to_hex()
}

/// The first line of a segment.
#[derive(Serialize, Deserialize)]
pub(crate) struct HeaderLine {
    /// Format of the segment.
    pub(crate) format: u32,
    /// Always `journal`.
    kind: String,
    /// Sequence number of the segment's first record.
    pub(crate) first: u64,
    /// When it was begun.
    pub(crate) at: Timestamp,
    /// Digest of the last line of the segment before.
    pub(crate) prev: String,
}

impl HeaderLine {
    /// Writes the header of the segment after `head`.
    pub(crate) fn write(head: &Head, at: Timestamp) -> Result<Vec<u8>, serde_json::Error> {
        let kind = "journal".to_owned();
        serde_json::to_vec(&Self { format: FORMAT, kind, first: head.seq + 1, at, prev: head.hash.clone() }).map(seal)
    }

    /// Reads a header.
    pub(crate) fn read(line: &[u8]) -> Result<Self, LineError> {
        /// All that must stay the same in every later format.
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        if !is_intact(line) {
            return Err(broken("the header's checksum is wrong"));
        }
        let Format { format } = serde_json::from_slice(line).map_err(|error| broken(error.to_string()))?;
        if format > FORMAT {
            return Err(LineError::Newer { what: "journal", found: format, known: FORMAT });
        }
        serde_json::from_slice(line).map_err(|error| broken(error.to_string()))
    }
}

/// How a record's line begins.
#[derive(Serialize)]
struct Beginning<'a> {
    seq: u64,
    at: Timestamp,
    actor: &'a str,
    event: &'a str,
    v: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<&'a str>,
}

/// Returns how many bytes an event's JSON begins with before what is neither its name nor its component.
fn known_fields(event: &[u8], name: &str, component: Option<&str>) -> Option<usize> {
    let mut rest = event.strip_prefix(b"{\"event\":\"")?.strip_prefix(name.as_bytes())?.strip_prefix(b"\"")?;
    if let Some(id) = component {
        rest = rest.strip_prefix(b",\"component\":\"")?.strip_prefix(id.as_bytes())?.strip_prefix(b"\"")?;
    }
    let rest = rest.strip_prefix(b",").unwrap_or(rest);
    Some(event.len() - rest.len())
}

/// A record's line.
#[derive(Deserialize)]
pub(crate) struct RecordLine {
    /// Position in the journal.
    seq: u64,
    at: Timestamp,
    actor: String,
    event: String,
    /// Version of the event's form.
    v: u32,
    #[serde(default)]
    component: Option<String>,
    payload: Map<String, Value>,
    /// First record of the group that was synced together with this one.
    group: u64,
    /// How many records of the same decision follow.
    #[serde(default)]
    rest: usize,
    /// Digest of the line before.
    prev: String,
}

impl RecordLine {
    /// Adds a record's line, without a line feed, to the end of `text`. It follows the line whose digest is `prev`.
    pub(crate) fn write(
        text: &mut Vec<u8>,
        record: &Record,
        group: u64,
        rest: usize,
        prev: &str,
    ) -> Result<(), serde_json::Error> {
        let start = text.len();
        let component = record.event.component().map(ComponentId::as_str);
        let beginning = Beginning {
            seq: record.seq,
            at: record.at,
            actor: &record.actor.to_string(),
            event: record.event.name(),
            v: record.version,
            component,
        };
        serde_json::to_writer(&mut *text, &beginning)?;
        text.pop();
        text.extend(b",\"payload\":{");
        // The event's own JSON begins with its name and its component, which stand in fields of the line already.
        let event = text.len();
        serde_json::to_writer(&mut *text, &record.event)?;
        let written = text.get(event..).unwrap_or_default();
        let known = known_fields(written, beginning.event, component);
        let known = known.ok_or_else(|| serde_json::Error::custom("an event does not begin with its name"))?;
        text.drain(event..event + known);
        let written = match rest {
            0 => write!(text, ",\"group\":{group},\"prev\":\"{prev}\"}}"),
            rest => write!(text, ",\"group\":{group},\"rest\":{rest},\"prev\":\"{prev}\"}}"),
        };
        written.map_err(serde_json::Error::io)?;
        seal_from(text, start);
        Ok(())
    }

    /// Reads a line whose checksum is known to be right.
    pub(crate) fn read(line: &[u8]) -> Result<Self, LineError> {
        serde_json::from_slice(line).map_err(|error| broken(error.to_string()))
    }

    /// Returns where the line stands.
    pub(crate) fn position(&self) -> Position<'_> {
        Position { seq: self.seq, group: self.group, rest: self.rest, prev: &self.prev }
    }

    /// Makes the record.
    pub(crate) fn into_record(self) -> Result<Record, LineError> {
        if self.v > EVENT_VERSION {
            return Err(LineError::Newer { what: "journal event", found: self.v, known: EVENT_VERSION });
        }
        let mut fields = self.payload;
        fields.insert("event".to_owned(), Value::String(self.event));
        if let Some(component) = self.component {
            fields.insert("component".to_owned(), Value::String(component));
        }
        let event: Event = serde_json::from_value(Value::Object(fields)).map_err(|error| broken(error.to_string()))?;
        let actor = read_actor(&self.actor).ok_or_else(|| broken("the actor is not known"))?;
        Ok(Record { seq: self.seq, at: self.at, actor, version: self.v, event })
    }
}

/// Where a record's line stands, read without its payload.
#[derive(Deserialize)]
pub(crate) struct Position<'a> {
    /// Position in the journal.
    pub(crate) seq: u64,
    /// First record of the group that was synced together with this one.
    pub(crate) group: u64,
    /// How many records of the same decision follow.
    #[serde(default)]
    pub(crate) rest: usize,
    /// Digest of the line before.
    pub(crate) prev: &'a str,
}

impl<'a> Position<'a> {
    /// Reads the position of a record's line; `None` if it is a header or no line at all.
    pub(crate) fn read(line: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// Checks that the record follows `head`.
    pub(crate) fn check_link(&self, head: &Head) -> Result<(), LineError> {
        if self.seq != head.seq + 1 {
            return Err(broken(format!("record {} follows record {}", self.seq, head.seq)));
        }
        if self.prev != head.hash {
            return Err(broken("it does not follow the line before it"));
        }
        Ok(())
    }
}

fn read_actor(text: &str) -> Option<Actor> {
    match text.split_once(':') {
        Some(("cli", user)) => Some(Actor::Cli(user.to_owned())),
        Some(("api", name)) => Some(Actor::Api(name.to_owned())),
        Some(("component", id)) => id.parse().ok().map(Actor::Component),
        None if text == "system" => Some(Actor::System),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(record: &Record, group: u64, rest: usize, prev: &str) -> Vec<u8> {
        let mut text = b"before\n".to_vec();
        RecordLine::write(&mut text, record, group, rest, prev).unwrap();
        text.split_off(7)
    }

    fn record(actor: Actor, event: Event) -> Record {
        Record { seq: 7, at: Timestamp::from_micros(5), actor, version: event.version(), event }
    }

    fn refused(component: Option<&str>) -> Event {
        Event::Refused {
            component: component.map(|id| id.parse().unwrap()),
            operation: "activate".to_owned(),
            kind: domain::ErrorKind::Conflict,
            error: "two providers".to_owned(),
            count: 2,
        }
    }

    fn granted() -> Event {
        let grants = ["env LANG", "env A=ä\u{1b}", "folder /srv --at /data --mode rw", "clocks precise"];
        Event::Granted {
            component: "demo:log".parse().unwrap(),
            grants: grants.iter().map(|grant| grant.parse().unwrap()).collect(),
            rule: Some("a rule".to_owned()),
        }
    }

    fn fused() -> Event {
        let with = vec!["demo:log".parse().unwrap(), "demo:text".parse().unwrap()];
        Event::Fused { component: "demo:report".parse().unwrap(), with, shares_grants: true }
    }

    #[test]
    fn a_line_reads_back_and_is_json_for_people() {
        let id: domain::ComponentId = "demo:a".parse().unwrap();
        for actor in [Actor::Cli("a:b".into()), Actor::Api(String::new()), Actor::Component(id), Actor::System] {
            for event in [refused(Some("demo:log")), refused(None), granted(), fused()] {
                let record = record(actor.clone(), event);
                let line = written(&record, 6, 1, NOTHING);
                assert!(is_intact(&line));
                let read = RecordLine::read(&line).unwrap();
                assert_eq!((read.group, read.rest, read.prev.as_str()), (6, 1, NOTHING));
                assert_eq!(read.into_record().unwrap(), record);
            }
        }
        let line = written(&record(Actor::System, refused(Some("demo:log"))), 7, 0, "ab");
        let text = String::from_utf8(line).unwrap();
        let start = r#"{"seq":7,"at":"1970-01-01T00:00:00.000005Z","actor":"system","event":"refused","v":1,"component":"demo:log","payload":{"#;
        assert!(text.starts_with(start), "{text}");
    }

    #[test]
    fn any_changed_byte_shows() {
        let line = written(&record(Actor::System, refused(None)), 7, 0, NOTHING);
        for at in 0..line.len() {
            let mut changed = line.clone();
            changed[at] ^= 1;
            assert!(!is_intact(&changed), "byte {at}");
            assert!(!is_intact(&line[..at]), "cut at {at}");
        }
    }

    #[test]
    fn later_versions_are_refused_by_name() {
        let mut later = record(Actor::System, refused(None));
        later.version = EVENT_VERSION + 1;
        let line = written(&later, 7, 0, NOTHING);
        let error = RecordLine::read(&line).unwrap().into_record().unwrap_err();
        assert!(matches!(error, LineError::Newer { what: "journal event", .. }), "{error:?}");
        let header = seal(br#"{"format":9,"anything":true}"#.to_vec());
        let error = HeaderLine::read(&header).err().unwrap();
        assert_eq!(error, LineError::Newer { what: "journal", found: 9, known: FORMAT });
    }
}
