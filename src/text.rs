//! What is done to every byte of a command on its way, or for every number beside it, and so must
//! be quick: to look whether a text can stand as it is, and to write a whole number.

/// Whether this holds of all the bytes.
///
/// It looks at each, even behind one of which it does not hold, and decides nothing before the end
/// (nor may `holds`: it takes `&` for `&&`). Of such a loop the compiler makes a few instructions
/// for many bytes at once.
#[inline] // with what `holds` does, or the loop would call it for each byte
pub fn all(bytes: &[u8], holds: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(true, |all, &byte| all & holds(byte))
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
    fn all_sees_every_byte() {
        for length in 0..50 {
            let mut bytes = vec![b'a'; length];
            assert!(all(&bytes, |byte| byte == b'a'), "of {length}");
            for place in 0..length {
                bytes[place] = b'b';
                assert!(!all(&bytes, |byte| byte == b'a'), "place {place} of {length}");
                bytes[place] = b'a';
            }
        }
    }
}
