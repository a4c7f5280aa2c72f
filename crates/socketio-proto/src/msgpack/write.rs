//! Values of MessagePack, each in the shortest of its encodings, as notepack.io
//! writes them.

/// Appends values to bytes.
pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

impl Writer<'_> {
    pub(super) fn nil(&mut self) {
        self.0.push(0xc0);
    }

    pub(super) fn bool(&mut self, value: bool) {
        self.0.push(if value { 0xc3 } else { 0xc2 });
    }

    pub(super) fn unsigned(&mut self, number: u64) {
        let bytes = number.to_be_bytes();
        let (head, len) = match number {
            0..0x80 => return self.0.push(bytes[7]),
            0x80..0x100 => (0xcc, 1),
            0x100..0x1_0000 => (0xcd, 2),
            0x1_0000..0x1_0000_0000 => (0xce, 4),
            _ => (0xcf, 8),
        };
        self.0.push(head);
        self.0.extend_from_slice(&bytes[8 - len..]);
    }

    pub(super) fn signed(&mut self, number: i64) {
        if let Ok(number) = u64::try_from(number) {
            return self.unsigned(number);
        }
        let bytes = number.to_be_bytes();
        let (head, len) = match number {
            -0x20.. => return self.0.push(bytes[7]),
            -0x80.. => (0xd0, 1),
            -0x8000.. => (0xd1, 2),
            -0x8000_0000.. => (0xd2, 4),
            _ => (0xd3, 8),
        };
        self.0.push(head);
        self.0.extend_from_slice(&bytes[8 - len..]);
    }

    pub(super) fn float(&mut self, number: f64) {
        self.0.push(0xcb);
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.head(&TEXT, text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(super) fn binary(&mut self, data: &[u8]) {
        self.head(&BINARY, data.len());
        self.0.extend_from_slice(data);
    }

    /// The head of an array; its elements follow.
    pub(super) fn array(&mut self, len: usize) {
        self.head(&ARRAY, len);
    }

    /// The head of a map; its keys and values follow.
    pub(super) fn map(&mut self, len: usize) {
        self.head(&MAP, len);
    }

    /// The smallest head that has room for a length.
    fn head(&mut self, heads: &Heads, len: usize) {
        let len = u32::try_from(len).expect("invariant: what is sent is not 4 GB");
        let [a, b, c, d] = len.to_be_bytes();
        match (heads.fixed, heads.one) {
            (Some((fixed, below)), _) if len < below => self.0.push(fixed | d),
            (_, Some(one)) if len < 0x100 => self.0.extend_from_slice(&[one, d]),
            _ if len < 0x1_0000 => self.0.extend_from_slice(&[heads.two, c, d]),
            _ => self.0.extend_from_slice(&[heads.four, a, b, c, d]),
        }
    }
}

/// The heads that values of one kind may have.
struct Heads {
    /// With the length in the byte itself, below so much.
    fixed: Option<(u8, u32)>,
    /// With a length of one byte.
    one: Option<u8>,
    two: u8,
    four: u8,
}

const TEXT: Heads = Heads {
    fixed: Some((0xa0, 0x20)),
    one: Some(0xd9),
    two: 0xda,
    four: 0xdb,
};
const BINARY: Heads = Heads {
    fixed: None,
    one: Some(0xc4),
    two: 0xc5,
    four: 0xc6,
};
const ARRAY: Heads = Heads {
    fixed: Some((0x90, 0x10)),
    one: None,
    two: 0xdc,
    four: 0xdd,
};
const MAP: Heads = Heads {
    fixed: Some((0x80, 0x10)),
    one: None,
    two: 0xde,
    four: 0xdf,
};
