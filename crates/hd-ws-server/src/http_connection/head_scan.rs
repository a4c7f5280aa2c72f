//! Where a request's head ends, and whether all of its lines end with CRLF.

/// Follows one head through the pieces that it arrives in.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    has_begun: bool,
    /// The request line is behind, and the empty lines before it.
    is_in_head: bool,
    /// Bytes of the line that has not ended.
    line_len: usize,
    ends_with_cr: bool,
}

/// What one piece holds of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scanned {
    /// How many of its bytes belong to the head.
    pub(super) len: usize,
    /// Whether the last of them ends it.
    pub(super) is_whole: bool,
    /// Whether a line ended with LF alone.
    pub(super) has_bare_lf: bool,
}

impl HeadScan {
    /// Whether the head's first byte has arrived.
    pub(super) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Follows the head through the next piece.
    ///
    /// An LF without a CR before it is overwritten with NUL, which no parser
    /// takes: RFC 9112 §2.2 lets a server read it as the end of a line, and a
    /// proxy that does not would see another request than this server.
    pub(super) fn scan(&mut self, bytes: &mut [u8]) -> Scanned {
        self.has_begun = true;
        let mut has_bare_lf = false;
        let mut start = 0;
        while let Some(found) = memchr::memchr(b'\n', &bytes[start..]) {
            let lf = start + found;
            let ends_with_cr = match found {
                0 => self.ends_with_cr,
                _ => bytes[lf - 1] == b'\r',
            };
            self.line_len += found;
            self.ends_with_cr = false;
            start = lf + 1;
            if !ends_with_cr {
                bytes[lf] = b'\0';
                has_bare_lf = true;
                self.line_len += 1;
                continue;
            }
            // Nothing but the CR.
            let is_empty = self.line_len == 1;
            self.line_len = 0;
            if is_empty && self.is_in_head {
                return Scanned {
                    len: start,
                    is_whole: true,
                    has_bare_lf,
                };
            }
            self.is_in_head |= !is_empty;
        }
        self.line_len += bytes.len() - start;
        if let Some(last) = bytes[start..].last() {
            self.ends_with_cr = *last == b'\r';
        }
        Scanned {
            len: bytes.len(),
            is_whole: false,
            has_bare_lf,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(pieces: &[&str]) -> (Vec<u8>, Scanned) {
        let mut scan = HeadScan::default();
        let mut seen = Vec::new();
        let mut last = None;
        for piece in pieces {
            let mut bytes = piece.as_bytes().to_vec();
            last = Some(scan.scan(&mut bytes));
            seen.extend(bytes);
        }
        (seen, last.unwrap())
    }

    #[test]
    fn a_head_ends_with_its_first_empty_line() {
        let head = "\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n";
        for cut in 1..head.len() {
            let (before, after) = head.split_at(cut);
            let (seen, scanned) = scan(&[before, &format!("{after}body\n\n")]);
            assert_eq!(scanned.len, after.len(), "{cut}");
            assert!(scanned.is_whole && !scanned.has_bare_lf, "{cut}");
            assert_eq!(seen, format!("{head}body\n\n").into_bytes());
        }
    }

    #[test]
    fn a_bare_lf_is_overwritten_wherever_it_is() {
        for head in [
            "\nGET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\n\r\n\r\n",
            "GET / HTTP/1.1\r\na: b\nc: d\r\n\r\n",
            "GET / HTTP/1.1\r\n\n\r\n\r\n",
        ] {
            let (seen, scanned) = scan(&[head]);
            assert!(scanned.has_bare_lf && scanned.is_whole, "{head:?}");
            assert!(seen.contains(&0), "{head:?}");
        }
    }
}
