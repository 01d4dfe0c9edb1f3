//! What is done to every byte of a command on its way, or for every number beside it, and so must
//! be quick: to look how far a text can stand as it is, and to write a whole number or an array.

/// How many bytes there are before the first that is not plain. Plain are the printable letters of
/// ASCII, but for `"` and `\`: they stand for themselves wherever a text is written. Nearly all
/// text is plain, and each command is looked through a dozen times on its way.
///
/// ```
/// assert_eq!(raftlet::json::text::plain(b"plain, but not \"quoted\""), 15);
/// ```
pub fn plain(bytes: &[u8]) -> usize {
    let (pieces, _) = bytes.as_chunks();
    let mut count = 0;
    for piece in pieces {
        match specials(*piece) {
            0 => count += piece.len(),
            specials => return count + specials.trailing_zeros() as usize / 8,
        }
    }
    let is_plain = |byte: &&u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    count + bytes[count..].iter().take_while(is_plain).count()
}

/// Has the top bit of the first byte that is not plain, and perhaps of some behind it; of none
/// before. The bytes are taken as one number: what is done to it is done to all eight at once. A
/// byte that is less than what is taken from it borrows from the next; so the first is right.
fn specials(bytes: [u8; 8]) -> u64 {
    const EACH: u64 = u64::MAX / 255; // a 1 in each of the bytes
    let bytes = u64::from_le_bytes(bytes);
    let control = bytes.wrapping_sub(EACH * u64::from(b' ')); // only those less than a space
    // Only 0 is less than 1.
    let is = |byte: u8| (bytes ^ (EACH * u64::from(byte))).wrapping_sub(EACH);
    let beyond_ascii = bytes;
    (control | is(b'"') | is(b'\\') | is(0x7f) | beyond_ascii) & (EACH << 7)
}

/// All numbers of two digits.
const PAIRS: &str = "\
    00010203040506070809101112131415161718192021222324252627282930313233343536373839\
    40414243444546474849505152535455565758596061626364656667686970717273747576777879\
    8081828384858687888990919293949596979899";

/// Puts the digits of a whole number somewhere, one or two at a time. `write!` can do the same and
/// much more, and takes several times as long.
///
/// ```
/// let mut text = String::new();
/// raftlet::json::text::put_number(123, &mut |digits| text.push_str(digits));
/// assert_eq!(text, "123");
/// ```
#[inline] // with what `put` does
pub fn put_number(number: u64, put: &mut impl FnMut(&str)) {
    let pair = |number: u64| &PAIRS[2 * number as usize..][..2];
    match number {
        ..10 => put(&pair(number)[1..]),
        10..100 => put(pair(number)),
        100.. => {
            put_number(number / 100, put);
            put(pair(number % 100));
        }
    }
}

/// Appends the digits of a whole number.
pub fn append_number(bytes: &mut Vec<u8>, number: u64) {
    put_number(number, &mut |digits| bytes.extend_from_slice(digits.as_bytes()));
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
    fn put_number_is_what_display_writes() {
        let powers = (0..20).map(|power| 10_u64.pow(power));
        let around = powers.flat_map(|power| [power - 1, power, power + 1]);
        for number in (0..2000).chain(around).chain([u64::MAX - 1, u64::MAX]) {
            let mut text = String::new();
            put_number(number, &mut |digits| text.push_str(digits));
            assert_eq!(text, number.to_string());
        }
    }

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
