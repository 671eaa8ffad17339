//! Calls in WAVE: `function(value, …)`.

use domain::text::{escape_line, truncate};
use wasmtime::component::wasm_wave::ast::Node;
use wasmtime::component::wasm_wave::lex::{Lexer, Token};
use wasmtime::component::wasm_wave::parser::{ParserError, ParserErrorKind};
use wasmtime::component::wasm_wave::untyped::UntypedValue;
use wasmtime::component::{Type, Val};

use super::wrong_count;
use crate::unit::Param;
use crate::wit::type_text;

/// Longest expression, in bytes.
const EXPRESSION_MAX: usize = 16 << 20;

/// Longest reason, in bytes: it can have a type with a thousand cases in it.
const REASON_MAX: usize = 300;

/// What WAVE has for values of its own.
const WORDS: [&str; 8] = ["true", "false", "some", "none", "ok", "err", "inf", "nan"];

/// Most characters of a line shown around a mark, on each side.
const SHOWN_AROUND: usize = 60;

/// A call cut into its function's name and the rest.
pub(super) struct Split<'a> {
    source: &'a str,
    pub(super) name: &'a str,
    /// Where the opening parenthesis is.
    open: usize,
}

/// Finds the function's name.
pub(super) fn split(source: &str) -> Result<Split<'_>, String> {
    if source.len() > EXPRESSION_MAX {
        return Err(format!("the expression has {} bytes, at most {EXPRESSION_MAX} are read", source.len()));
    }
    let Some(open) = source.find('(') else {
        return Err(marked("expected `(` and the arguments", source, source.trim_end().len()));
    };
    let (before, _) = source.split_at(open);
    let name = before.trim();
    if name.is_empty() {
        return Err(marked("expected a function's name", source, open));
    }
    if let Some(space) = name.find(char::is_whitespace) {
        let start = before.len() - before.trim_start().len();
        return Err(marked("expected `(` after the function's name", source, start + space));
    }
    Ok(Split { source, name, open })
}

impl Split<'_> {
    /// Reads the arguments as values of the parameters' types; trailing options may be left out.
    pub(super) fn args(&self, params: &[Param]) -> Result<Vec<Val>, String> {
        let (_, list) = self.source.split_at(self.open);
        let types: Vec<Type> = params.iter().map(|(_, ty)| ty.clone()).collect();
        if let Some(rest) = list.strip_prefix('(').and_then(|inner| inner.trim_start().strip_prefix(')')) {
            return if rest.trim().is_empty() {
                self.none(params)
            } else {
                let at = self.source.len() - rest.trim_start().len();
                Err(marked("unexpected text after the call", self.source, at))
            };
        }
        let parsed = UntypedValue::parse(list).map_err(|error| self.syntax(&error, false))?;
        if let Ok(values) = parsed.node().as_tuple() {
            let given = values.count();
            let required = params.iter().rposition(|(_, ty)| !matches!(ty, Type::Option(_))).map_or(0, |i| i + 1);
            if given > params.len() || given < required {
                return Err(wrong_count(params.len(), given));
            }
        }
        let values = parsed.node().to_wasm_params::<Val>(&types, list).map_err(|error| {
            let spans = parsed.node().as_tuple().ok().into_iter().flatten().map(Node::span);
            let wrong = params.iter().zip(spans).find(|(_, span)| span.contains(&error.span().start));
            match wrong {
                Some(((name, ty), _)) => {
                    let said = self.syntax(&error, has_cases(ty));
                    format!("argument `{name}` ({}): {said}", type_text(ty))
                }
                None => self.syntax(&error, false),
            }
        })?;
        match self.overflowing(list, &types, &values) {
            Some(reason) => Err(reason),
            None => Ok(values),
        }
    }

    /// Says which number of `list` is too large for the float that it stands for: read as it is, it would be infinite.
    fn overflowing(&self, list: &str, types: &[Type], values: &[Val]) -> Option<String> {
        let infinite: usize = values.iter().map(infinities).sum();
        let mut numbers = Lexer::new(list);
        while let Some(token) = numbers.next().filter(|_| infinite > 0) {
            let digits = numbers.slice();
            if !matches!(token, Ok(Token::Number))
                || digits == "-inf"
                || digits.parse::<f32>().is_ok_and(f32::is_finite)
            {
                continue;
            }
            // What type stands where is for the reader of values to know: another number in its place tells.
            let span = numbers.span();
            let (before, after) = (list.get(..span.start)?, list.get(span.end..)?);
            let other = format!("{before}0{after}");
            let parsed = UntypedValue::parse(&other).ok()?;
            let read = parsed.node().to_wasm_params::<Val>(types, &other).ok()?;
            if read.iter().map(infinities).sum::<usize>() < infinite {
                let reason = "the number is too large for its type; `inf` and `-inf` are infinite";
                return Some(marked(reason, self.source, self.open + span.start));
            }
        }
        None
    }

    fn none(&self, params: &[Param]) -> Result<Vec<Val>, String> {
        if params.iter().all(|(_, ty)| matches!(ty, Type::Option(_))) {
            Ok(params.iter().map(|_| Val::Option(None)).collect())
        } else {
            Err(wrong_count(params.len(), 0))
        }
    }

    /// Says what is wrong and where; `has_cases` if a name of the component's could stand there.
    fn syntax(&self, error: &ParserError, has_cases: bool) -> String {
        let at = self.open + error.span().start;
        let word = self.source.get(at..).unwrap_or_default();
        let word = word.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().unwrap_or_default();
        if has_cases && WORDS.contains(&word) {
            return marked(
                &format!("`{word}` is a word of WAVE: a case of that name is written `%{word}`"),
                self.source,
                at,
            );
        }
        let mut reason = error.kind().to_string();
        if error.kind() == ParserErrorKind::WasmValueError
            && let Some(source) = std::error::Error::source(error)
        {
            reason = truncate(&source.to_string(), REASON_MAX).into_owned();
        } else if let Some(detail) = error.detail() {
            reason = format!("{reason}: {}", symbol(detail));
        }
        marked(&reason, self.source, at)
    }
}

/// Counts the infinite floats in a value.
fn infinities(value: &Val) -> usize {
    match value {
        Val::Float32(value) => usize::from(value.is_infinite()),
        Val::Float64(value) => usize::from(value.is_infinite()),
        Val::List(values) | Val::Tuple(values) | Val::FixedLengthList(values) => values.iter().map(infinities).sum(),
        Val::Record(fields) => fields.iter().map(|(_, value)| infinities(value)).sum(),
        Val::Variant(_, value) | Val::Option(value) | Val::Result(Ok(value) | Err(value)) => {
            value.as_deref().map_or(0, infinities)
        }
        Val::Map(pairs) => pairs.iter().map(|(key, value)| infinities(key) + infinities(value)).sum(),
        Val::Bool(_)
        | Val::S8(_)
        | Val::U8(_)
        | Val::S16(_)
        | Val::U16(_)
        | Val::S32(_)
        | Val::U32(_)
        | Val::S64(_)
        | Val::U64(_)
        | Val::Char(_)
        | Val::String(_)
        | Val::Enum(_)
        | Val::Flags(_)
        | Val::Resource(_)
        | Val::Future(_)
        | Val::Stream(_)
        | Val::ErrorContext(_) => 0,
    }
}

/// Tells whether values of the type are written with names that the component gave.
fn has_cases(ty: &Type) -> bool {
    matches!(ty, Type::Enum(_) | Type::Variant(_) | Type::Flags(_))
}

/// Writes a value.
pub(super) fn write(value: &Val) -> Result<String, String> {
    Ok(match value {
        // What calls return most often, without the writer's detour.
        Val::Bool(value) => value.to_string(),
        Val::U8(value) => value.to_string(),
        Val::S8(value) => value.to_string(),
        Val::U16(value) => value.to_string(),
        Val::S16(value) => value.to_string(),
        Val::U32(value) => value.to_string(),
        Val::S32(value) => value.to_string(),
        Val::U64(value) => value.to_string(),
        Val::S64(value) => value.to_string(),
        other => other.to_wave().map_err(|error| format!("{error:#}"))?,
    })
}

/// Returns the character behind the parser's name of a token, which is all that it tells.
fn symbol(token: &str) -> &str {
    match token {
        "BraceOpen" => "`{`",
        "BraceClose" => "`}`",
        "ParenOpen" => "`(`",
        "ParenClose" => "`)`",
        "BracketOpen" => "`[`",
        "BracketClose" => "`]`",
        "Colon" => "`:`",
        "Comma" => "`,`",
        other => other,
    }
}

/// Writes `reason`, then the line of `source` in which byte `at` is, with a mark under the character.
fn marked(reason: &str, source: &str, at: usize) -> String {
    let at = (0..=at.min(source.len())).rev().find(|i| source.is_char_boundary(*i)).unwrap_or(0);
    let (before, after) = source.split_at(at);
    let before_in_line = before.rsplit('\n').next().unwrap_or_default();
    let after_in_line = after.split('\n').next().unwrap_or_default();
    let skipped = before_in_line.chars().count().saturating_sub(SHOWN_AROUND);
    let left: String = before_in_line.chars().skip(skipped).collect();
    let right: String = after_in_line.chars().take(SHOWN_AROUND).collect();
    let (dots, end) = (if skipped > 0 { "…" } else { "" }, if right.len() < after_in_line.len() { "…" } else { "" });
    let left = format!("{dots}{}", escape_line(&left));
    let line_number = before.matches('\n').count() + 1;
    let place = if source.contains('\n') { format!(" (line {line_number})") } else { String::new() };
    let mark = " ".repeat(left.chars().count());
    format!("{}{place}\n  {left}{}{end}\n  {mark}^", escape_line(reason), escape_line(&right))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(source: &str, types: &[(&str, Type)]) -> String {
        let types: Vec<Param> = types.iter().map(|(name, ty)| ((*name).into(), ty.clone())).collect();
        match split(source).and_then(|call| call.args(&types)) {
            Ok(values) => format!("{values:?}"),
            Err(reason) => reason,
        }
    }

    #[test]
    fn reads_arguments_of_the_parameters_types() {
        let two = [("a", Type::U32), ("b", Type::String)];
        assert_eq!(message(r#"add(1, "two")"#, &two), r#"[U32(1), String("two")]"#);
        assert_eq!(message("run( )", &[]), "[]");
        assert_eq!(message("x:y/z@1.0.0#run()", &[]), "[]");
    }

    #[test]
    fn a_number_that_a_float_cannot_hold_is_refused_and_infinity_is_a_word() {
        let floats = [("a", Type::Float32), ("b", Type::Float64)];
        assert_eq!(message("add(3.4e38, 1e39)", &floats), "[Float32(3.4e38), Float64(1e39)]");
        assert_eq!(message("add(inf, -inf)", &floats), "[Float32(inf), Float64(-inf)]");
        assert_eq!(message("add(nan, 1e308)", &floats), "[Float32(NaN), Float64(1e308)]");
        insta::assert_snapshot!(message("add(-1e39, inf)", &floats), @r"
        the number is too large for its type; `inf` and `-inf` are infinite
          add(-1e39, inf)
              ^
        ");
        insta::assert_snapshot!(message("add(inf, 1e309)", &floats), @r"
        the number is too large for its type; `inf` and `-inf` are infinite
          add(inf, 1e309)
                   ^
        ");
    }

    #[test]
    fn points_at_the_character_that_is_wrong() {
        let one = [("a", Type::U32)];
        insta::assert_snapshot!(message("add(1, ]", &one), @r"
        unexpected token: `]`
          add(1, ]
                 ^
        ");
        insta::assert_snapshot!(message("add(\"x\")", &one), @r#"
        argument `a` (u32): invalid value type
          add("x")
              ^
        "#);
        insta::assert_snapshot!(message("add(1) 2", &one), @r"
        trailing characters after value
          add(1) 2
                 ^
        ");
        insta::assert_snapshot!(message("add", &one), @r"
        expected `(` and the arguments
          add
             ^
        ");
        insta::assert_snapshot!(message("add 1", &one), @r"
        expected `(` and the arguments
          add 1
               ^
        ");
        insta::assert_snapshot!(message("(1)", &one), @r"
        expected a function's name
          (1)
          ^
        ");
        insta::assert_snapshot!(message("add(\n  1é,\n  %)", &one), @r"
        invalid token (line 2)
            1é,
             ^
        ");
        insta::assert_snapshot!(message("add()", &one), @"the function takes 1 argument, 0 were given");
        insta::assert_snapshot!(message("add(1, 2)", &one), @"the function takes 1 argument, 2 were given");
        insta::assert_snapshot!(message("add(4294967296)", &one), @r"
        argument `a` (u32): invalid value
          add(4294967296)
              ^
        ");
    }
}
