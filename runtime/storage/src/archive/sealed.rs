//! JSON objects whose last field is a checksum of all that comes before it.

use domain::Digest;

/// Begins the checksum: 64 hexadecimal digits follow, then `"}` and a line feed.
const FIELD: &[u8] = b",\"checksum\":\"";
const END: &[u8] = b"\"}\n";

/// Puts the checksum at the end of a JSON object that has fields.
pub(crate) fn seal(mut json: Vec<u8>) -> Vec<u8> {
    json.pop();
    let checksum = Digest::of(&json).to_hex();
    json.extend(FIELD);
    json.extend(checksum.bytes());
    json.extend(END);
    json
}

/// Checks that `bytes` are those that were sealed.
pub(crate) fn check(bytes: &[u8]) -> Result<(), &'static str> {
    let at = bytes.len().checked_sub(FIELD.len() + 64 + END.len()).ok_or("it is cut")?;
    let (body, field) = bytes.split_at_checked(at).ok_or("it is cut")?;
    let said = field.strip_prefix(FIELD).and_then(|rest| rest.strip_suffix(END)).ok_or("it has no checksum")?;
    match said == Digest::of(body).to_hex().as_bytes() {
        true => Ok(()),
        false => Err("its checksum is wrong"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_change_shows() {
        let sealed = seal(br#"{"a":1}"#.to_vec());
        check(&sealed).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&sealed).unwrap();
        assert_eq!(read["a"], 1);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            check(&changed).unwrap_err();
            check(&sealed[..at]).unwrap_err();
        }
    }
}
