//! How deep JSON is nested, without building anything.

/// Whether `json`, which is valid, is nested at most so deep.
pub(crate) fn is_within(json: &str, max_depth: usize) -> bool {
    let mut depth = 0_usize;
    let mut is_in_text = false;
    let mut is_escaped = false;
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_in_text => is_escaped = true,
            b'"' => is_in_text = !is_in_text,
            b'[' | b'{' if !is_in_text => {
                depth += 1;
                if depth > max_depth {
                    return false;
                }
            }
            b']' | b'}' if !is_in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}
