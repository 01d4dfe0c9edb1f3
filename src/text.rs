//! What is done to every byte of a command on its way, or for every number beside it, and so must
//! be quick: to look whether a text can stand as it is, and to write a whole number.

/// How many bytes are looked at at a time where the first is sought that is not as it must be.
const PIECE: usize = 16;

/// Whether this holds of all the bytes.
///
/// It looks at each, even behind one of which it does not hold: of a loop that never leaves early,
/// and counts where it could decide, the compiler makes a few instructions for many bytes at once.
/// `holds` must not decide either: it takes `&` for `&&`.
#[inline] // with what `holds` does, or the loop would call it for each byte
pub fn all(bytes: &[u8], holds: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(0, |failures, &byte| failures | u8::from(!holds(byte))) == 0
}

/// How many bytes stand before the first of which this does not hold.
#[inline] // as `all`
pub fn count_while(bytes: &[u8], holds: impl Fn(u8) -> bool) -> usize {
    let mut count = 0;
    for piece in bytes.as_chunks::<PIECE>().0 {
        if !all(piece, &holds) {
            break;
        }
        count += PIECE;
    }
    let more = bytes[count..].iter().position(|&byte| !holds(byte));
    more.map_or(bytes.len(), |more| count + more)
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
/// raftlet::text::put_number(123, &mut |digits| text.push_str(digits));
/// assert_eq!(text, "123");
/// ```
#[inline] // with what `put` does
pub fn put_number(number: u64, put: &mut impl FnMut(&str)) {
    let pair = &PAIRS[number as usize % 100 * 2..][..2];
    match number {
        ..10 => return put(&pair[1..]),
        10..100 => {}
        100.. => put_number(number / 100, put),
    }
    put(pair);
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
    fn count_while_finds_the_first_wherever_it_stands() {
        let is_small = |byte: u8| byte.is_ascii_lowercase();
        for length in 0..50 {
            let mut bytes = vec![b'a'; length];
            assert_eq!(count_while(&bytes, is_small), length);
            assert!(all(&bytes, is_small));
            for place in (0..length).rev() {
                bytes[place] = b'A';
                assert_eq!(count_while(&bytes, is_small), place, "of {length}");
                assert!(!all(&bytes, is_small));
            }
        }
    }
}
