//! Bytes of a path, and how they were written.

use super::Unknown;

/// A byte of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) byte: u8,
    /// Whether it was percent-encoded.
    pub(super) is_encoded: bool,
}

/// The bytes of a path, percent-decoded once.
///
/// # Errors
/// If it is not known what it means.
pub(super) fn decoded(path: &[u8]) -> Result<Vec<Unit>, Unknown> {
    let mut units = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, behind @ ..] = rest {
        let (unit, behind) = match (first, behind) {
            (b'%', [high, low, behind @ ..]) => {
                let byte = byte(*high, *low).ok_or(Unknown::Triplet)?;
                let unit = Unit {
                    byte,
                    is_encoded: true,
                };
                (unit, behind)
            }
            (b'%', _) => return Err(Unknown::Triplet),
            (&byte, behind) => {
                let unit = Unit {
                    byte,
                    is_encoded: false,
                };
                (unit, behind)
            }
        };
        units.push(unit);
        rest = behind;
    }
    checked(units)
}

/// The same decoded once more, where that makes a difference.
///
/// # Errors
/// If it is not known then what it means, or it could be decoded yet again.
pub(super) fn decoded_again(once: &[Unit]) -> Result<Option<Vec<Unit>>, Unknown> {
    if !has_triplet(once) {
        return Ok(None);
    }
    let mut twice = Vec::with_capacity(once.len());
    let mut rest = once;
    while let [first, behind @ ..] = rest {
        let decoded = triplet(rest).map(|byte| Unit {
            byte,
            is_encoded: true,
        });
        twice.push(decoded.unwrap_or(*first));
        rest = decoded.map_or(behind, |_| &rest[3..]);
    }
    if has_triplet(&twice) {
        return Err(Unknown::Depth);
    }
    checked(twice).map(Some)
}

/// Whether a byte stands in a path as it is (RFC 3986, section 3.3).
pub(super) fn stands_as_it_is(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

/// The byte that two hexadecimal digits are.
fn byte(high: u8, low: u8) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = digit(high)? << 4 | digit(low)?;
    u8::try_from(byte).ok()
}

fn has_triplet(units: &[Unit]) -> bool {
    (0..units.len()).any(|at| triplet(&units[at..]).is_some())
}

/// The byte that `units` begin with, in a percent-encoding.
fn triplet(units: &[Unit]) -> Option<u8> {
    match units {
        [percent, high, low, ..] if percent.byte == b'%' => byte(high.byte, low.byte),
        _ => None,
    }
}

/// The units, unless some servers would see something else in them than bytes of a name.
fn checked(units: Vec<Unit>) -> Result<Vec<Unit>, Unknown> {
    if units.iter().any(|unit| unit.byte.is_ascii_control()) {
        return Err(Unknown::Control);
    }
    let mut pairs = units.windows(2).map(|pair| (pair[0].byte, pair[1].byte));
    let is_overlong = |pair: (u8, u8)| {
        matches!(
            pair,
            (0xc0 | 0xc1, 0x80..=0xbf) | (0xe0, 0x80..=0x9f) | (0xf0, 0x80..=0x8f)
        )
    };
    if pairs.any(is_overlong) {
        return Err(Unknown::Overlong);
    }
    Ok(units)
}
