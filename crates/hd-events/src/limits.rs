/// The largest payload, in bytes of JSON: 256 KiB, the largest message of AWS SNS. The replaced
/// service let 100 kB pass, the default of Express for a whole body.
pub const DEFAULT_MAX_PAYLOAD_BYTES: usize = 256 * 1024;

/// The deepest nesting of arrays and objects in a payload: the default recursion limit of
/// `serde_json`, and well below what the parsers of other clients bear (Python's: some 1,000).
pub const DEFAULT_MAX_PAYLOAD_DEPTH: usize = 128;

/// The bounds of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmitLimits {
    /// The largest payload, in bytes of JSON as it stands in the body. Default:
    /// [`DEFAULT_MAX_PAYLOAD_BYTES`].
    pub max_payload_bytes: usize,
    /// The deepest nesting of arrays and objects. Default: [`DEFAULT_MAX_PAYLOAD_DEPTH`].
    pub max_payload_depth: usize,
}

impl Default for EmitLimits {
    fn default() -> Self {
        Self {
            max_payload_bytes: DEFAULT_MAX_PAYLOAD_BYTES,
            max_payload_depth: DEFAULT_MAX_PAYLOAD_DEPTH,
        }
    }
}
