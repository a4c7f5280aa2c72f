/// The largest payload, in bytes of JSON: 256 KiB, the largest message of AWS SNS. The replaced
/// service let 100 kB pass, the default of Express for a whole body.
pub const DEFAULT_MAX_PAYLOAD_BYTES: usize = 256 * 1024;

/// The deepest nesting of arrays and objects in a payload: the default recursion limit of
/// `serde_json`, and well below what the parsers of other clients bear (Python's: some 1,000).
pub const DEFAULT_MAX_PAYLOAD_DEPTH: usize = 128;

/// The most targets of one command, and again in its `except`. Ours: each is a room to look up,
/// during which nobody enters or leaves one, and a list that is longer is a role or a department.
pub const DEFAULT_MAX_TARGETS: usize = 1_000;

/// The most items of a batch. Ours: a request is over in the time of a hundred emits, and no more
/// than these have to be sent again after a broken connection.
pub const DEFAULT_MAX_BATCH_ITEMS: usize = 100;

/// The bounds of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmitLimits {
    /// The largest payload, in bytes of JSON as it stands in the body. Default:
    /// [`DEFAULT_MAX_PAYLOAD_BYTES`].
    pub max_payload_bytes: usize,
    /// The deepest nesting of arrays and objects. Default: [`DEFAULT_MAX_PAYLOAD_DEPTH`].
    pub max_payload_depth: usize,
    /// The most targets, and again in `except`. Default: [`DEFAULT_MAX_TARGETS`].
    pub max_targets: usize,
    /// The most items of a batch. Default: [`DEFAULT_MAX_BATCH_ITEMS`].
    pub max_batch_items: usize,
}

impl Default for EmitLimits {
    fn default() -> Self {
        Self {
            max_payload_bytes: DEFAULT_MAX_PAYLOAD_BYTES,
            max_payload_depth: DEFAULT_MAX_PAYLOAD_DEPTH,
            max_targets: DEFAULT_MAX_TARGETS,
            max_batch_items: DEFAULT_MAX_BATCH_ITEMS,
        }
    }
}
