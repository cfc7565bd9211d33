//! The ways in which servers take a path apart.

use std::fmt::Write;

use super::{
    Unknown,
    unit::{Unit, stands_as_it_is},
};

/// A way to take a path apart.
///
/// By default a segment ends where an unencoded `/` is, and empty ones are left out before dots are
/// resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reader {
    otherwise: Option<Doubt>,
}

/// Something that servers do not agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// Whether `%2F` separates segments, as where a path is decoded before it is split.
    EncodedSlash,
    /// Whether a backslash does, as where paths are those of Windows, and in browsers.
    Backslash,
    /// The same for `%5C`.
    EncodedBackslash,
    /// Whether a segment ends at `;` and the rest are parameters, as in servlet containers.
    Parameters,
    /// The same for `%3B`.
    EncodedParameters,
    /// Whether `..` takes away an empty segment, as where slashes are not merged (RFC 3986, section
    /// 5.2.4).
    EmptySegment,
}

impl Reader {
    /// The readers that may differ about these units.
    ///
    /// # Errors
    /// If there is more than one doubt: then it depends on the order too in which a server goes
    /// about them.
    pub(super) fn all_for(units: &[Unit]) -> Result<Vec<Self>, Unknown> {
        let mut readers = vec![Self::default()];
        readers.extend(Doubt::all_in(units).map(|doubt| Self {
            otherwise: Some(doubt),
        }));
        match readers.len() {
            1 | 2 => Ok(readers),
            _ => Err(Unknown::Doubts),
        }
    }

    /// What it makes of the units of a path, which begin with a `/`, in normal form.
    ///
    /// # Errors
    /// If the path leads above its root.
    pub(super) fn read(self, units: &[Unit]) -> Result<String, Unknown> {
        let keeps_empty = self.otherwise == Some(Doubt::EmptySegment);
        let mut segments = Vec::new();
        let mut ends_open = false;
        for written in units[1..].split(|unit| self.separates(*unit)) {
            let segment = self.name(written);
            ends_open = segment.is_empty() || is_dots(segment, 1) || is_dots(segment, 2);
            if is_dots(segment, 2) {
                segments.pop().ok_or(Unknown::AboveRoot)?;
            } else if !is_dots(segment, 1) && (keeps_empty || !segment.is_empty()) {
                segments.push(segment);
            }
        }
        Ok(written(&segments, ends_open))
    }

    fn separates(self, unit: Unit) -> bool {
        match unit.byte {
            b'/' if !unit.is_encoded => true,
            b'/' | b'\\' => self.doubts(unit),
            _ => false,
        }
    }

    /// A segment without its parameters, if this reader knows of any.
    fn name(self, segment: &[Unit]) -> &[Unit] {
        let ends = |unit: &Unit| unit.byte == b';' && self.doubts(*unit);
        let end = segment.iter().position(ends);
        &segment[..end.unwrap_or(segment.len())]
    }

    /// Whether it takes a unit otherwise than as a part of a name.
    fn doubts(self, unit: Unit) -> bool {
        self.otherwise.is_some() && self.otherwise == Doubt::about(unit)
    }
}

impl Doubt {
    /// Every doubt about a path, once.
    fn all_in(units: &[Unit]) -> impl Iterator<Item = Self> {
        let doubts = [
            Self::EncodedSlash,
            Self::Backslash,
            Self::EncodedBackslash,
            Self::Parameters,
            Self::EncodedParameters,
        ];
        let is_there = |doubt: &Self| units.iter().any(|unit| Self::about(*unit) == Some(*doubt));
        let of_units = doubts.into_iter().filter(is_there);
        of_units.chain(Some(Self::EmptySegment).filter(|_| steps_over_nothing(units)))
    }

    fn about(unit: Unit) -> Option<Self> {
        Some(match (unit.byte, unit.is_encoded) {
            (b'/', true) => Self::EncodedSlash,
            (b'\\', false) => Self::Backslash,
            (b'\\', true) => Self::EncodedBackslash,
            (b';', false) => Self::Parameters,
            (b';', true) => Self::EncodedParameters,
            _ => return None,
        })
    }
}

/// Whether a path has `..`, and what may be an empty segment.
fn steps_over_nothing(units: &[Unit]) -> bool {
    let has = |wanted: fn(u8, u8) -> bool| {
        let mut pairs = units.windows(2);
        pairs.any(|pair| wanted(pair[0].byte, pair[1].byte))
    };
    has(|one, other| (one, other) == (b'.', b'.'))
        && has(|one, other| matches!((one, other), (b'/' | b'\\', b'/' | b'\\' | b';')))
}

fn is_dots(segment: &[Unit], count: usize) -> bool {
    segment.len() == count && segment.iter().all(|unit| unit.byte == b'.')
}

/// The path of these segments, the empty ones left out.
fn written(segments: &[&[Unit]], ends_open: bool) -> String {
    let mut path = String::new();
    for segment in segments.iter().filter(|segment| !segment.is_empty()) {
        path.push('/');
        for unit in *segment {
            if stands_as_it_is(unit.byte) {
                path.push(char::from(unit.byte));
            } else {
                // A String takes everything.
                let _ = write!(path, "%{:02X}", unit.byte);
            }
        }
    }
    if ends_open || path.is_empty() {
        path.push('/');
    }
    path
}
