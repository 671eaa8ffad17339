//! Makes large and odd components of small texts, so that no binary has to be kept.

use std::fmt::Write as _;

use crate::binary::{
    COMPONENT, SECTION_CODE, SECTION_COMPONENT, SECTION_FUNCTION, SECTION_MODULE, leb, read_leb, section, sections,
};

/// Longest text that a template may become.
const TEXT_MAX: usize = 256 << 20;

/// A text with everything written out, and what is to be done with the binary made of it.
pub(crate) struct Expanded {
    pub(crate) text: String,
    wrap: usize,
    multiply: usize,
}

/// Writes a template out: `;;@repeat N` … `;;@end` repeats lines, `%n%` and `%n+1%` count in them (and in copies of a whole
/// component), `%TEXT*N%` repeats a text, `%bits%` is a list of types that differs with each count, `;;@wrap N` puts the component
/// into N others, `;;@multiply N` repeats the last function of its first core module.
pub(crate) fn expand(template: &str, n: Option<u64>) -> Expanded {
    let mut expanded = Expanded { text: String::new(), wrap: 0, multiply: 1 };
    let mut repeated: Option<(u64, Vec<&str>)> = None;
    for line in template.lines() {
        let mut words = line.trim().split(' ');
        let (word, number) = (words.next(), words.next().and_then(|word| word.parse::<u64>().ok()));
        match (word, number, &mut repeated) {
            (Some(";;@repeat"), Some(times), None) => repeated = Some((times, Vec::new())),
            (Some(";;@end"), _, Some((times, lines))) => {
                for n in 0..*times {
                    lines.iter().for_each(|line| expanded.line(line.trim_start(), Some(n)));
                }
                repeated = None;
            }
            (_, _, Some((_, lines))) => lines.push(line),
            (Some(";;@wrap"), Some(times), None) => expanded.wrap = usize::try_from(times).unwrap(),
            (Some(";;@multiply"), Some(times), None) => expanded.multiply = usize::try_from(times).unwrap(),
            _ => expanded.line(line, n),
        }
    }
    assert!(repeated.is_none(), "`;;@repeat` without `;;@end`");
    expanded
}

impl Expanded {
    fn line(&mut self, line: &str, n: Option<u64>) {
        for (at, piece) in line.split('%').enumerate() {
            // Between two signs stands what is replaced.
            match (at % 2, n) {
                (0, _) => self.text.push_str(piece),
                (_, Some(n)) if piece == "n" => write!(self.text, "{n}").unwrap(),
                (_, Some(n)) if piece == "n+1" => write!(self.text, "{}", n + 1).unwrap(),
                (_, Some(n)) if piece == "bits" => self.text.push_str(&types(n)),
                _ => match piece.rsplit_once('*').map(|(text, times)| (text, times.parse())) {
                    Some((text, Ok(times))) => self.text.push_str(&text.repeat(times)),
                    _ => panic!("`%{piece}%` means nothing here"),
                },
            }
        }
        self.text.push('\n');
        assert!(self.text.len() < TEXT_MAX, "the template becomes too long");
    }

    /// Makes the binary.
    pub(crate) fn binary(&self) -> Result<Vec<u8>, String> {
        let mut bytes = wat::parse_str(&self.text).map_err(|error| error.to_string())?;
        if self.multiply > 1 {
            bytes = multiply(&bytes, self.multiply);
        }
        Ok(if self.wrap > 0 { wrap(bytes, self.wrap) } else { bytes })
    }
}

/// Types of parameters, others for each number below 262,144.
fn types(n: u64) -> String {
    (0..18).map(|bit| if n >> bit & 1 == 1 { "i64 " } else { "i32 " }).collect()
}

/// Puts a component into another one, that one into the next, and so on.
fn wrap(bytes: Vec<u8>, times: usize) -> Vec<u8> {
    // Written from its end to its beginning: what stands before is only known then.
    let mut reversed: Vec<u8> = bytes.into_iter().rev().collect();
    for _ in 0..times {
        let length = leb(reversed.len());
        reversed.extend(length.iter().rev());
        reversed.push(SECTION_COMPONENT);
        reversed.extend(COMPONENT.iter().rev());
    }
    reversed.reverse();
    reversed
}

/// Repeats the last function of the first core module.
fn multiply(component: &[u8], times: usize) -> Vec<u8> {
    let mut made = component[..8].to_vec();
    let mut is_first = true;
    for (id, content) in sections(&component[8..]) {
        if id == SECTION_MODULE && is_first {
            is_first = false;
            let mut module = content[..8].to_vec();
            for (id, content) in sections(&content[8..]) {
                match id {
                    SECTION_FUNCTION | SECTION_CODE => section(&mut module, id, &repeated(content, id, times)),
                    _ => section(&mut module, id, content),
                }
            }
            section(&mut made, id, &module);
        } else {
            section(&mut made, id, content);
        }
    }
    made
}

/// Returns the content of a section with its last entry repeated.
fn repeated(content: &[u8], id: u8, times: usize) -> Vec<u8> {
    let (count, mut at) = read_leb(content);
    let mut last = at;
    for _ in 0..count {
        last = at;
        let (number, length) = read_leb(&content[at..]);
        at += length + if id == SECTION_CODE { number } else { 0 };
    }
    let mut made = leb(count - 1 + times);
    made.extend(&content[count_length(count)..last]);
    (0..times).for_each(|_| made.extend(&content[last..at]));
    made
}

fn count_length(count: usize) -> usize {
    leb(count).len()
}

#[test]
fn a_template_counts_and_repeats() {
    let made = expand("a\n;;@repeat 2\n  b%n% %n+1%\n;;@end\n%xy*3%", None);
    assert_eq!(made.text, "a\nb0 1\nb1 2\nxyxyxy\n");
    assert_eq!(expand("%n%", Some(7)).text, "7\n");
}

#[test]
fn functions_are_multiplied_and_components_wrapped() {
    let wat = "(component (core module (func (param i32)) (func (local i64 i64))))";
    let many = expand(&format!(";;@multiply 300\n{wat}"), None).binary().unwrap();
    assert_eq!(many.len(), wat::parse_str(wat).unwrap().len() + 299 * (1 + 5) + 5);
    let deep = expand(&format!(";;@wrap 3\n{wat}"), None).binary().unwrap();
    assert!(deep.starts_with(COMPONENT) && deep.len() == wat::parse_str(wat).unwrap().len() + 3 * 10);
}
