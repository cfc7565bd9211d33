//! What servers make of the path of a request (RFC 3986, section 6.2.2).
//!
//! A path has many spellings: `/admin`, `//admin`, `/%61dmin` and `/x/../admin` are one file to most
//! servers. What is decided by a path is decided by what a backend will make of it, or a request
//! goes around the decision. Of some paths servers make different things. Then every one of these is
//! a reading, and a decision stands only if it is the same for all of them.

mod reader;
#[cfg(test)]
mod tests;
mod unit;

use std::borrow::Cow;

use self::reader::Reader;

/// What a path means to those who may read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning<'p> {
    /// One thing to all of them: the path in its normal form. Everything is decoded that may stand
    /// as it is, all else is percent-encoded in upper case; no slash follows another, and no segment
    /// is `.` or `..`.
    Certain(Cow<'p, str>),
    /// Different things, each in its normal form; at least two, and none twice.
    Several(Vec<String>),
    /// Nobody can tell.
    Unknown(Unknown),
}

/// Why nobody can tell what a path means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// A `%` is not followed by two hexadecimal digits.
    #[error("a path with a `%` that encodes nothing")]
    Triplet,
    /// A control character, where some end a path, some leave it out.
    #[error("a path with a control character")]
    Control,
    /// A character of ASCII in more bytes than it has: no UTF-8 (RFC 3629, section 3), but taken
    /// for it by some.
    #[error("a path with a character in a longer form than it has")]
    Overlong,
    /// It is encoded more often than twice.
    #[error("a path that is encoded more than twice")]
    Depth,
    /// Servers do not agree on more than one thing about it.
    #[error("a path that can be read in too many ways")]
    Doubts,
    /// `..` leads out of the root.
    #[error("a path that leads above its root")]
    AboveRoot,
}

/// Returns what the path of a request means. Never fails, and takes time in proportion to its length.
///
/// What does not begin with `/`, as the `*` of an OPTIONS request, means itself.
#[must_use]
pub fn meaning(path: &str) -> Meaning<'_> {
    if !path.starts_with('/') || is_normal(path.as_bytes()) {
        return Meaning::Certain(Cow::Borrowed(path));
    }
    match readings(path) {
        Ok(mut readings) if readings.len() == 1 => {
            Meaning::Certain(Cow::Owned(readings.swap_remove(0)))
        }
        Ok(readings) => Meaning::Several(readings),
        Err(unknown) => Meaning::Unknown(unknown),
    }
}

/// What all readers make of a path, none of it twice.
fn readings(path: &str) -> Result<Vec<String>, Unknown> {
    let once = unit::decoded(path.as_bytes())?;
    let twice = unit::decoded_again(&once)?;
    let mut readings = Vec::new();
    for units in std::iter::once(&once).chain(&twice) {
        for reader in Reader::all_for(units)? {
            let reading = reader.read(units)?;
            if !readings.contains(&reading) {
                readings.push(reading);
            }
        }
    }
    Ok(readings)
}

/// Whether a path is in its normal form, and everybody reads it as such. May say no where it is.
fn is_normal(path: &[u8]) -> bool {
    let mut before = b' ';
    path.iter().all(|&byte| {
        let is_plain = match byte {
            // A segment of dots begins with one; others that do are looked at closely too.
            b'/' | b'.' => before != b'/',
            b';' => false,
            _ => unit::stands_as_it_is(byte),
        };
        before = byte;
        is_plain
    })
}
