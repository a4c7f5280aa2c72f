//! `.env` files, as Node's `dotenv` reads them.
//!
//! help-desk-back reads its own `.env` with that library, and the same line must give the same
//! bytes here, or the two services would sign and verify with different secrets. So nothing is
//! expanded: `$` and `\` are ordinary characters. Lines that Node would take in a surprising
//! way (a `#` inside a value cuts it off) are refused instead.

use thiserror::Error;

/// One `NAME=value`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) value: String,
}

/// A line that cannot be read. It holds nothing of the line: that may be a secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) error: LineError,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum LineError {
    #[error("has no `=`; write NAME=value, or begin a comment with #")]
    NoEquals,
    #[error("has no valid name before its `=`; use letters, digits, `_`, `.` and `-`")]
    Name,
    #[error("opens a quote that is never closed; close it, or put other quotes around the value")]
    UnclosedQuote,
    #[error("goes on after its closing quote; put the whole value between quotes")]
    AfterQuote,
    #[error(
        "has a # inside its value; put the value between quotes, or a space before the comment"
    )]
    Comment,
}

/// Reads a whole file. Later entries win over earlier ones of the same name.
pub(super) fn parse(text: &str) -> (Vec<Entry>, Vec<BadLine>) {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut line = 1;
    let (mut entries, mut bad_lines) = (Vec::new(), Vec::new());
    while !rest.is_empty() {
        let consumed = match parse_line(rest) {
            Ok((entry, consumed)) => {
                entries.extend(entry);
                consumed
            }
            Err(error) => {
                bad_lines.push(BadLine { line, error });
                line_len(rest)
            }
        };
        line += rest[..consumed].matches('\n').count();
        rest = &rest[consumed..];
    }
    (entries, bad_lines)
}

/// Parses what `text` begins with, and says how many bytes that was, its line feed included.
fn parse_line(text: &str) -> Result<(Option<Entry>, usize), LineError> {
    let line = &text[..line_len(text)];
    if matches!(line.trim_start().chars().next(), None | Some('#')) {
        return Ok((None, line.len()));
    }

    let equals = line.find('=').ok_or(LineError::NoEquals)?;
    let name = line[..equals].trim();
    let name = match name.strip_prefix("export") {
        Some(exported) if exported.starts_with(char::is_whitespace) => exported.trim_start(),
        _ => name,
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if name.is_empty() || !name.chars().all(is_name) {
        return Err(LineError::Name);
    }

    let unparsed = &line[equals + 1..];
    let value = unparsed.trim_start_matches([' ', '\t']);
    let start = equals + 1 + (unparsed.len() - value.len());
    let (value, consumed) = match value.chars().next() {
        Some(quote @ ('"' | '\'' | '`')) => {
            let (value, consumed) = quoted(&text[start + 1..], quote)?;
            (value, start + 1 + consumed)
        }
        _ => (unquoted(value)?.to_owned(), line.len()),
    };
    let name = name.to_owned();
    Ok((Some(Entry { name, value }), consumed))
}

fn unquoted(value: &str) -> Result<&str, LineError> {
    let Some(hash) = value.find('#') else {
        return Ok(value.trim());
    };
    let value = &value[..hash];
    if value.is_empty() || value.ends_with(char::is_whitespace) {
        Ok(value.trim())
    } else {
        Err(LineError::Comment)
    }
}

/// Parses from behind the opening quote to the end of the line of the closing one.
fn quoted(text: &str, quote: char) -> Result<(String, usize), LineError> {
    let mut is_escaped = false;
    let end = text
        .find(|c| {
            let is_end = c == quote && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            is_end
        })
        .ok_or(LineError::UnclosedQuote)?;
    let after = &text[end + quote.len_utf8()..];
    let after = &after[..line_len(after)];
    if !matches!(after.trim_start().chars().next(), None | Some('#')) {
        return Err(LineError::AfterQuote);
    }
    let value = &text[..end];
    let value = match quote {
        '"' => value.replace("\\n", "\n").replace("\\r", "\r"),
        _ => value.to_owned(),
    };
    Ok((value, end + quote.len_utf8() + after.len()))
}

/// The length of the first line, its line feed included.
fn line_len(text: &str) -> usize {
    text.find('\n').map_or(text.len(), |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let (entries, bad_lines) = parse(text);
        let entries: Vec<_> = entries
            .iter()
            .map(|entry| (entry.name.as_str(), entry.value.as_str()))
            .collect();
        assert_eq!((&*entries, bad_lines), (expected, vec![]), "{text:?}");
    }

    fn check_bad(text: &str, line: usize, error: LineError) {
        let (_, bad_lines) = parse(text);
        assert_eq!(bad_lines, [BadLine { line, error }], "{text:?}");
    }

    // Each value here is what dotenv 16.6 for Node gives.
    #[test]
    fn values_are_those_of_node() {
        check("A=1\nB = 2 \n  C=3", &[("A", "1"), ("B", "2"), ("C", "3")]);
        check("\u{feff}A=1\r\nB=2\r", &[("A", "1"), ("B", "2")]);
        check("# no\n\n   # no\nA=1 # yes", &[("A", "1")]);
        check("export A=1\nexported=2", &[("A", "1"), ("exported", "2")]);
        check(
            "A=\nB= \nC=#\nD=''",
            &[("A", ""), ("B", ""), ("C", ""), ("D", "")],
        );
        check("A=pa$$word${X}\\n", &[("A", "pa$$word${X}\\n")]);
        check("A=a=b== ", &[("A", "a=b==")]);
        check("A=it's", &[("A", "it's")]);
        check("A='a # b' # c\nB=1", &[("A", "a # b"), ("B", "1")]);
        check("A=\" a \"\nB=`'\"`", &[("A", " a "), ("B", "'\"")]);
        check("A=\"x\\ny\\r\\t\"", &[("A", "x\ny\r\\t")]);
        check("A='x\\ny'", &[("A", "x\\ny")]);
        check("A='x\ny'\nB=1", &[("A", "x\ny"), ("B", "1")]);
        check("A=\"a\\\"b\"", &[("A", "a\\\"b")]);
        check("A=\"a\\\\\"", &[("A", "a\\\\")]);
        check("A=ñ", &[("A", "ñ")]);
    }

    #[test]
    fn lines_that_cannot_be_read_are_named() {
        check_bad("A=1\nhello\nB=2", 2, LineError::NoEquals);
        check_bad("A='x\ny'\nhello", 3, LineError::NoEquals);
        check_bad("=1", 1, LineError::Name);
        check_bad("A B=1", 1, LineError::Name);
        check_bad("A=1\n\nB='x", 3, LineError::UnclosedQuote);
        check_bad("A='x' y", 1, LineError::AfterQuote);
        check_bad("A=x#y", 1, LineError::Comment);
    }

    #[test]
    fn reading_goes_on_after_a_bad_line() {
        let (entries, bad_lines) = parse("hello\nA='x\nB=2\nC=x#y\nD=4");
        let names: Vec<_> = entries.iter().map(|entry| &*entry.name).collect();
        assert_eq!(names, ["B", "D"]);
        assert_eq!(
            bad_lines.iter().map(|bad| bad.line).collect::<Vec<_>>(),
            [1, 2, 4]
        );
    }
}
