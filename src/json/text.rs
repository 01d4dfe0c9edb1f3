//! What the writers of JSON, of HTTP and of the log's lines share: how far a text can stand as it
//! is, and how a number or an array is written.

use std::io::Write;

/// How many bytes there are before the first that is not plain. Plain are the printable letters of
/// ASCII, but for `"` and `\`: they stand for themselves wherever a text is written.
///
/// ```
/// assert_eq!(raftlet::json::text::plain(b"plain, but not \"quoted\""), 15);
/// ```
pub fn plain(bytes: &[u8]) -> usize {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    bytes.iter().position(|byte| !is_plain(byte)).unwrap_or(bytes.len())
}

/// Appends the digits of a whole number.
pub fn append_number(bytes: &mut Vec<u8>, number: u64) {
    let _ = write!(bytes, "{number}"); // a Vec takes everything
}

/// Appends an array of things to a text, each written by `append`.
pub fn append_array<'a, T>(text: &mut String, items: &'a [T], append: fn(&mut String, &'a T)) {
    text.push('[');
    append_separated(text, items, append);
    text.push(']');
}

/// Appends things with commas between them.
pub(super) fn append_separated<'a, T>(
    text: &mut String,
    items: &'a [T],
    append: impl Fn(&mut String, &'a T),
) {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        append(text, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_ends_at_the_first_byte_that_is_not() {
        let is_plain = |byte: u8| matches!(byte, 0x20..0x7f) && byte != 0x22 && byte != 0x5c;
        for (length, place) in (0..20).flat_map(|length| (0..length).map(move |at| (length, at))) {
            for byte in 0..=255 {
                for behind in [b'a', 0, 0x21, b'"', 0x80, 0xff] {
                    let mut bytes = vec![b'~'; place];
                    bytes.push(byte);
                    bytes.resize(length, behind);
                    let expected = bytes.iter().take_while(|byte| is_plain(**byte)).count();
                    assert_eq!(plain(&bytes), expected, "{bytes:?}");
                }
            }
        }
    }
}
